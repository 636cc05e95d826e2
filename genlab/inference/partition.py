"""log Z of a model p(x) = p*(x)/Z: by enumeration where that is possible, and by annealed importance sampling (Neal 2001).

Between a distribution with a known Z_0 at beta_0 = 0 and the model at beta_K = 1 lie p*_1, ..., p*_(K-1). A chain starts at
a draw x_0 of the first one; with x_k drawn from x_(k-1) by a transition that leaves p_k as it is,

    w = prod_(k=1..K) p*_k(x_(k-1)) / p*_(k-1)(x_(k-1)),    E w = Z/Z_0.

The mean of w over chains is unbiased for Z, so that its logarithm is too small on average (Jensen) and log p(x) looks too large.
Chains that run the other way, from draws of the model to the base, have E 1/w = Z_0/Z and err to the other side: where the two
agree, both are right. From starts x ~ q that are no draws of the model p,

    E 1/w = (Z_0/Z) sum_x q(x) p_F(x)/p(x),

with the distribution p_F of the last states of forward chains, regardless of their weights (Crooks 1999). Where q has too much
of what forward chains reach too often, log Z is too small in reverse as well, and the order of the two is turned around. The
starts here are training examples after `sweeps` sweeps; where chains do not mix, these keep the shares that modes have in the
data. (Forward chains, weighted, would be better draws, and blind to a mode that they never reach.) Temperatures are spaced as
Salakhutdinov & Murray (2008) did: of 29 of them one below 1/2, eight between 0.5 and 0.9 and twenty above; or evenly.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from genlab.models.abilities import Anneals, Enumerates
from genlab.tracking.progress import tracked

MOST_UNITS = 20  # 2^20 configurations take seconds
AT_ONCE = 2**13  # configurations at a time


@dataclass(frozen=True)
class Annealing:
    """The `ais` section of conf/evaluate.yaml."""

    chains: Annotated[int, Field(ge=2)]
    temperatures: Annotated[int, Field(ge=2)]
    schedule: Literal["salakhutdinov", "even"]
    sweeps: Annotated[int, Field(ge=0)]
    """Gibbs sweeps of training examples before the reverse chains start from them."""

    @property
    def betas(self) -> Tensor:
        """Inverse temperatures from 0 to 1, float64."""
        if self.schedule == "even":
            return torch.linspace(0, 1, self.temperatures + 1, dtype=torch.float64)
        first, second = max(1, round(self.temperatures / 29)), max(1, round(8 * self.temperatures / 29))
        third = max(1, self.temperatures - first - second)
        parts = [(0.0, 0.5, first), (0.5, 0.9, second), (0.9, 1.0, third)]
        grids = [torch.linspace(low, high, n + 1, dtype=torch.float64)[:-1] for low, high, n in parts]
        return torch.cat([*grids, torch.ones(1, dtype=torch.float64)])


@dataclass(frozen=True)
class LogZ:
    """An estimate of log Z in nats."""

    value: float
    stderr: float
    """From the scatter of the weights; too small where only a few of them count (see `ess`)."""
    ess: float
    """Effective number of chains, (sum w)^2 / sum w^2: a few mean that the estimate is not to be trusted."""
    log_weights: Tensor
    """log w of each chain, with log Z_0 added; float64, (chains,). Of reverse chains, -log 1/w."""


@torch.no_grad()
def ais(model: Anneals, betas: Tensor, chains: int) -> LogZ:
    """Forward annealed importance sampling: log Z is too small on average."""
    log_w = _anneal(model, model.base_draws(chains), betas, "annealed importance sampling") + model.log_z_base
    return _estimate(log_w, sign=1)


@torch.no_grad()
def reverse_ais(model: Anneals, betas: Tensor, draws: Tensor) -> LogZ:
    """The same from draws of the model, in its own units, back to the base: log Z is too large on average."""
    log_w = model.log_z_base - _anneal(model, draws.clone(), betas.flip(0), "annealing in reverse")
    return _estimate(log_w, sign=-1)


def _anneal(model: Anneals, state: Tensor, betas: Tensor, title: str) -> Tensor:
    steps = betas.tolist()
    total = torch.zeros(len(state), dtype=torch.float64)
    for beta, following in tracked(pairwise(steps), title, len(steps) - 1):
        increment, state = model.anneal(state, beta, following)
        total += increment.cpu()
    return total


def _estimate(log_w: Tensor, sign: int) -> LogZ:
    """log of the mean of w (sign 1), or minus the log of the mean of 1/w (sign -1); errors by the delta method."""
    n = len(log_w)
    relative = torch.exp(sign * log_w - (sign * log_w).max())
    value = sign * float(torch.logsumexp(sign * log_w, 0) - math.log(n))
    stderr = float(relative.std() / relative.mean()) / n**0.5
    ess = float(relative.sum().square() / relative.square().sum())
    return LogZ(value, stderr, ess, log_w)


@torch.no_grad()
def exact_log_z(model: Enumerates) -> float | None:
    """log Z by summing over every configuration of the smaller side, in float64; None where both have too many units."""
    assert isinstance(model, nn.Module)
    double = copy.deepcopy(model).to("cpu", torch.float64).eval()
    assert isinstance(double, Enumerates)
    sides = [side for side in double.log_marginals() if side[0] <= MOST_UNITS]
    if not sides:
        return None
    units, log_sum_over_rest = min(sides, key=lambda side: side[0])
    parts = [log_sum_over_rest(bits).logsumexp(0) for bits in configurations(units)]
    return float(torch.stack(parts).logsumexp(0))


def configurations(units: int) -> Iterator[Tensor]:
    """All 2^units configurations of binary units, float64, a few at a time: (n, units)."""
    places = torch.arange(units)
    for numbers in torch.arange(2**units).split(AT_ONCE):
        yield (numbers.unsqueeze(1) >> places & 1).double()
