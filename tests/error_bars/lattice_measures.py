"""Observables of a lattice of 4 x 4 spins, all of which are enumerated: independent, in chains, and one after the other."""

from functools import cache, partial

import torch
from torch import Tensor

from genlab.data.sources.ising import Ising
from genlab.lattice.exact import Enumeration
from genlab.lattice.observables import ALLOWED
from genlab.lattice.statistics import thermodynamics
from tests.error_bars.study import Case, Measured

SIDE, T = 4, 2.269
SHORT = "of so few autocorrelation times the blocks are not independent"


@cache
def lattice() -> tuple[Tensor, Tensor]:
    """All configurations and their probabilities."""
    known = Enumeration(SIDE)
    return known.spins, known.log_p(T).exp()


def drawn(n: int) -> Tensor:
    spins, p = lattice()
    return spins[p.multinomial(n, replacement=True)]


def independent(n: int, _: int) -> Measured:
    return thermodynamics(drawn(n), tuple(ALLOWED), T)


def in_turns(n: int, tau: float, _: int) -> Measured:
    """States of one chain: each stays with the probability that makes the autocorrelation time tau, else is drawn anew."""
    stays = (tau - 1) / (tau + 1)
    new = torch.rand(n) >= stays
    new[0] = True
    return thermodynamics(drawn(int(new.sum()))[new.cumsum(0) - 1], tuple(ALLOWED), T)


def of_chains(n: int, chains: int, _: int) -> Measured:
    """Of every chain the same configuration, or one drawn anew, with the probability 1/2."""
    chain = torch.arange(n) % chains
    start, other = drawn(chains)[chain], drawn(n)
    s = torch.where(torch.rand(n, 1, 1) < 0.5, start, other)
    return thermodynamics(s, tuple(ALLOWED), T, chain)


def truth() -> dict[str, float]:
    known = Ising(SIDE, (T,))
    values = {name: known.exact(name, T) for name in independent(20, 0)}
    return {name: value for name, value in values.items() if value is not None}


NAMES = ["energy", "specific_heat", "magnetisation", "susceptibility", "binder", "correlation_1", "correlation_2"]

CASES = [
    Case("2,000 independent spins", partial(independent, 2000), truth),
    Case("2,000 of 200 chains", partial(of_chains, 2000, 200), truth),
    Case("4,000 of tau = 20", partial(in_turns, 4000, 20), truth),
    Case("1,000 of tau = 100", partial(in_turns, 1000, 100), truth, dict.fromkeys(NAMES, SHORT)),
]
