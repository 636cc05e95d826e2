"""Samples that go on from kept chains, drawn as genlab draws them: their errors hold whatever the chains remember.

The chains stand at exact draws of the very distribution that the model has, so that the truth is known: Ising spins of 4 x 4, the
energy of an EBM with a replay buffer, and a small Boltzmann machine; the configurations of both are enumerated.
"""

from functools import cache

import torch
from torch import Tensor, nn

from genlab.data.sources.ising import Ising
from genlab.inference.sampling import draw
from genlab.lattice.exact import Enumeration
from genlab.lattice.observables import ALLOWED
from genlab.lattice.statistics import thermodynamics
from genlab.metrics.estimate import mean
from genlab.models.boltzmann.negative_phase import PersistentChains
from genlab.models.boltzmann.rbm import RBM
from genlab.models.energy.ebm import EBM
from genlab.models.energy.reference import Reference
from tests.error_bars.study import Case, Measured
from tests.helpers.boltzmann_machines import log_joint, rbm
from tests.helpers.draws import states
from tests.helpers.support import configure, dataset_of, make_model

SIDE, T = 4, 2.269
SLOTS, PER_CHAIN = 600, 4  # of the buffer, whose older half goes on; samples of each chain
STEPS = {"ebm": 3, "rbm": 2}  # few, so that the samples of a chain are alike


class IsingEnergy(nn.Module):
    """The network f of an energy B + f = E/T, where B is uniform."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self.reference, self.unused = reference, nn.Parameter(torch.zeros(()))

    def forward(self, u: Tensor) -> Tensor:
        s = u.flatten(0, 1)
        energy: Tensor = -(s * (s.roll(1, -1) + s.roll(1, -2))).sum((-2, -1)) / T - self.reference.energy(u)
        return energy


@cache
def spins() -> tuple[EBM, Tensor, Tensor]:
    """A model of exactly the Ising energy, all configurations (2^16, 1, 4, 4), and their probabilities."""
    data = dataset_of((torch.rand(50, 1, SIDE, SIDE) < 0.5).byte(), levels=2)
    model = make_model(configure("model=ebm", "dataset=ising", f"model.buffer={SLOTS}"), data.spec).eval()
    assert isinstance(model, EBM)
    model.network, model.ema = IsingEnergy(model.reference), None  # type: ignore[assignment]
    lattice = Enumeration(SIDE)
    return model, lattice.spins.unsqueeze(1), lattice.log_p(T).exp()


def of_buffer(number: int) -> Measured:
    model, configurations, p = spins()
    assert model.replay_buffer is not None
    model.replay_buffer.states.copy_(configurations[p.multinomial(SLOTS, replacement=True)])
    samples = draw(model, PER_CHAIN * SLOTS // 2, number, steps=STEPS["ebm"])
    return thermodynamics(2 * samples.x[:, 0] - 1, tuple(ALLOWED), T, samples.chain)


@cache
def machine() -> tuple[RBM, Tensor]:
    """A machine with persistent chains, and the logits of its hidden configurations."""
    model = rbm(6, 5, strength=1.5, negative="pcd", chains=SLOTS // 6).eval()
    return model, log_joint(model, states(6), states(5)).logsumexp(0)


def of_persistent_chains(number: int) -> Measured:
    model, logits = machine()
    assert isinstance(model.negative, PersistentChains)
    h = states(5)
    model.negative.h.copy_(h[logits.softmax(0).multinomial(len(model.negative.h), replacement=True)])
    samples = draw(model, 10 * len(model.negative.h), number, steps=STEPS["rbm"])
    return {
        "mean of the units": mean(samples.x.mean(1), samples.chain),
        "share of samples": mean((samples.x.sum(1) >= 5).double(), samples.chain),
    }


def truth_of_machine() -> dict[str, float]:
    model, _ = machine()
    v = states(6)
    p = log_joint(model, v, states(5)).logsumexp(1).softmax(0)
    return {
        "mean of the units": float(p @ v.mean(1)),
        "share of samples": float(p @ (v.sum(1) >= 5).double()),
    }


def truth_of_spins() -> dict[str, float]:
    found, known = Ising(SIDE, (T,)), {}
    for name in of_buffer(0):
        value = found.exact(name, T)
        assert value is not None
        known[name] = value
    return known


CASES = [
    Case(f"EBM, {SLOTS // 2} kept chains x {PER_CHAIN}", of_buffer, truth_of_spins),
    Case(f"RBM, {SLOTS // 6} kept chains x 10", of_persistent_chains, truth_of_machine),
]
