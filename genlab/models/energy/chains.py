"""Chains of an energy-based model: samples, missing parts of examples, and the path from the reference q to the model.

Along the path lie the energies E_beta = B + beta f (reference.py). A transition (langevin.py, flips.py) leaves
exp(-E_beta)/Z_beta as it is, or comes as near to that as an uncorrected one does.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlab.errors import GenlabError, did_you_mean
from genlab.models.energy.langevin import Energy, Langevin, Mala, Point
from genlab.models.tempering import annealed_betas

if TYPE_CHECKING:
    from genlab.models.energy.ebm import EBM

SAMPLERS = ("buffer", "noise", "annealed")
STEPS = 500  # from noise, unless others are asked for


@torch.no_grad()
def run(model: "EBM", energies: Iterable[Energy], u: Tensor) -> Iterator[Point]:
    """Where chains from u (n, ...) are after one transition with each of `energies`."""
    here = None
    for energy in energies:
        if here is None or energy is not here.at:
            here = Point(energy, u if here is None else here.u)
        here = model.transition(here)
        yield here


def betas(steps: int, rising: bool) -> list[float]:
    """beta of each of so many transitions: 1, or rising to 1 over the first four fifths of them."""
    return annealed_betas(steps) if rising else [1.0] * steps


def energies(model: "EBM", steps: int, rising: bool) -> list[Energy]:
    """E_beta for each of so many transitions, one object for each beta."""
    path = betas(steps, rising)
    known = {beta: model.at(beta) for beta in path}
    return [known[beta] for beta in path]


def sample(model: "EBM", n: int, sampler: str | None, steps: int | None) -> Iterator[Tensor]:
    """States (n, *shape) of n chains in the data's support.

    `buffer` goes on from chains of the training, k steps unless others are asked for: from those of its older half, which are
    no longer near the noise that they began as. `noise` starts at the reference and `annealed` does too, with beta rising
    from 0; both take 500 steps, and a model that was trained by short runs k of them from noise, as in its training.
    Raises GenlabError where there is no such sampler or no buffer.
    """
    if sampler is None:
        sampler = "buffer" if model.replay is not None else "annealed" if model.matches_scores else "noise"
    if sampler not in SAMPLERS:
        raise GenlabError(f"sampler={sampler}: {did_you_mean(sampler, SAMPLERS)}")
    if sampler == "buffer":
        if model.replay is None:
            raise GenlabError(
                "sampler=buffer: this model keeps no chains (model.negative, model.objective); set sampler=noise"
            )
        start, usual = model.replay.older(n), model.k
    else:
        start = model.reference.draw(n)
        usual = STEPS if model.replay is not None or model.matches_scores else model.k
    for here in run(model, energies(model, steps or usual, sampler == "annealed"), start):
        yield model.shown(here)


def walk(model: "EBM", x: Tensor | int, steps: int) -> Iterator[Tensor]:
    start = model.reference.draw(x) if isinstance(x, int) else model.scaling.inner(x)
    for here in run(model, energies(model, steps, False), start):
        yield model.scaling.restore(here.u)


def inpaint(model: "EBM", x: Tensor, known: Tensor, steps: int) -> Iterator[Tensor]:
    """Annealed chains of the components of x that are not `known` (*shape,), with the others held."""
    free = ~known

    def whole(w: Tensor) -> Tensor:
        u = held.clone()
        u[:, free] = w
        return u

    def given(energy: Energy) -> Energy:
        return lambda w: energy(whole(w))

    held = model.scaling.inner(x)
    path = energies(model, steps, True)
    of_rest = {energy: given(energy) for energy in path}
    rising = [of_rest[energy] for energy in path]
    for here in run(model, rising, model.reference.draw(len(x))[:, free]):
        yield torch.where(known, x, model.scaling.restore(whole(here.u)))


@torch.no_grad()
def descend(model: "EBM", u: Tensor) -> Tensor:
    """Where k steps down the energy, without noise, lead from u."""
    clip, box = (
        (model.transition.clip, model.transition.box) if isinstance(model.transition, Langevin | Mala) else (None, None)
    )
    down = Langevin(float(model.transition.step), 0.0, clip, box)
    here = Point(model.energy, u)
    for _ in range(model.k):
        here = down(here)
    return here.u


@torch.no_grad()
def settle(model: "EBM", u: Tensor, steps: int) -> Tensor:
    last = deque(run(model, energies(model, steps, False), u), maxlen=1)
    return last.pop().u if last else u


@torch.no_grad()
def anneal(model: "EBM", u: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
    """log p*(u) at `following` minus that at `beta`, (n,) in float64, and u after a transition at `following`."""
    increment = -(following - beta) * model.f(u).cpu().double()
    return increment, model.transition(Point(model.at(following), u)).u
