"""Gibbs sampling of a restricted Boltzmann machine, and the inverse temperatures beta along which it is annealed.

Between independent visible units with the moments of the data (beta = 0) and the machine (beta = 1) lie the energies

    E_beta(v, h) = (1 - beta) V_0(v) + beta E(v, h),
    log p*_beta(v) = -(1 - beta) V_0(v) - beta V(v) + sum_j log(1 + exp(beta z_j)).

A sweep draws h ~ p_beta(h|v), then v ~ p_beta(v|h), and leaves p_beta as it is.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genlab.errors import GenlabError, did_you_mean
from genlab.models.boltzmann.negative_phase import Tempered
from genlab.models.conditioning import requested_classes
from genlab.numerics.rng import bernoulli
from genlab.numerics.softplus import softplus

if TYPE_CHECKING:
    from genlab.models.boltzmann.machine import BoltzmannMachine

STEPS = {"annealed": 200, "gibbs": 1000, "chains": 200, "tempered": 200}
"""Sampler -> its sweeps, unless others are asked for."""
TEMPERATURES = 10  # of tempered sampling
RISING = 0.8  # of the sweeps of an annealed chain; the rest are at beta = 1


def sweep(machine: "BoltzmannMachine", v: Tensor, beta: float = 1.0) -> tuple[Tensor, Tensor]:
    """The next v, and y = a + W h from which it was drawn."""
    h = bernoulli(machine.hidden_input(machine.inputs(v)).mul_(beta).sigmoid_())
    y = machine.visible_input(h)
    return machine.draw_visible(y.clone(), beta), y


@torch.no_grad()
def settle(machine: "BoltzmannMachine", v: Tensor, sweeps: int) -> Tensor:
    """v after so many sweeps at beta = 1."""
    for _ in range(sweeps):
        v, _ = sweep(machine, v)
    return v


@torch.no_grad()
def chains(
    machine: "BoltzmannMachine",
    v: Tensor,
    betas: Iterable[float],
    *,
    mean: bool,
    held: tuple[slice | Tensor, Tensor] | None = None,
) -> Iterator[Tensor]:
    """Examples after one sweep at each of `betas`, as E[x|h] for `mean`; `held` are visible units and the values they keep."""
    if held is not None:
        v[:, held[0]] = held[1]
    for beta in betas:
        v, y = sweep(machine, v, beta)
        shown = machine.mean_visible(y) if mean else v
        if held is not None:
            v[:, held[0]] = held[1]
            shown[:, held[0]] = held[1]
        yield machine.restore(shown)


def annealed(sweeps: int) -> list[float]:
    """beta of each of so many sweeps: rising from 0 to 1 in even steps, then 1."""
    rising = max(1, round(RISING * sweeps))
    return [min(1.0, (i + 1) / rising) for i in range(sweeps)]


@torch.no_grad()
def sample(
    machine: "BoltzmannMachine",
    n: int,
    sampler: str | None,
    steps: int | None,
    labels: list[int] | int | None,
    mean: bool,
) -> Iterator[Tensor]:
    """States of n chains.

    `annealed` starts at the base distribution and raises beta to 1 over the first four fifths of its sweeps; `gibbs` starts
    there too and runs at beta = 1; `tempered` runs at ten temperatures at once, which exchange their states, and shows those
    at beta = 1; `chains` goes on from chains of the training, drawn at random. These have found in a whole training what no
    short annealing finds, and are the default where they persist and no class is held; samples from one of them are the
    more alike the fewer sweeps lie between. `labels` holds the classes of a conditional machine fixed, in turns where there
    are several. Raises GenlabError where the machine cannot do that.
    """
    kept = machine.negative.fantasies()
    if sampler is None:
        sampler = "annealed" if kept is None or labels is not None else "chains"
    if sampler not in STEPS:
        raise GenlabError(f"sampler={sampler}: {did_you_mean(sampler, STEPS)}")
    held = (
        None
        if labels is None
        else (slice(machine.data.dim, None), requested_classes(labels, n, machine.num_classes).to(machine.W))
    )
    if sampler == "tempered":
        if held is not None:
            raise GenlabError(f"labels={labels}: tempered chains hold no classes; set sampler=annealed")
        yield from tempered(machine, n, steps or STEPS[sampler], mean)
        return
    betas = [1.0] * (steps or STEPS[sampler])
    if sampler == "annealed":
        betas = annealed(len(betas))
    if sampler == "chains":
        if kept is None:
            raise GenlabError("sampler=chains: no chains persist with model.negative=cd; set sampler=annealed")
        v = machine.draw_visible(machine.visible_input(kept[torch.randint(len(kept), (n,), device=kept.device)]))
    else:
        v = machine.base_draws(n)
    yield from chains(machine, v, betas, mean=mean, held=held)


def tempered(machine: "BoltzmannMachine", n: int, steps: int, mean: bool) -> Iterator[Tensor]:
    """Parallel tempering from noise: n chains at each of the temperatures."""
    levels = Tempered(machine, 1, n, TEMPERATURES).to(machine.device, machine.W.dtype)
    u, h = machine.scratch("u_cold", n, len(machine.a)), machine.scratch("h_cold", n, machine.hidden)
    for _ in range(steps):
        v = levels(machine, h, u, h)
        yield machine.restore(machine.mean_visible(machine.visible_input(bernoulli(h))) if mean else v)


@torch.no_grad()
def inpaint(machine: "BoltzmannMachine", x: Tensor, known: Tensor, steps: int, mean: bool) -> Iterator[Tensor]:
    """Annealed chains in which the components of x at `known` (*shape,) are held."""
    v = machine.visible(x)
    units = torch.zeros(v.shape[1], dtype=torch.bool, device=v.device)
    units[: machine.data.dim] = known.flatten()
    yield from chains(machine, machine.base_draws(len(x)), annealed(steps), mean=mean, held=(units, v[:, units]))


@torch.no_grad()
def anneal(machine: "BoltzmannMachine", v: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
    """log p*(v) at `following` minus that at `beta`, (n,) in float64, and v, overwritten, after a sweep at `following`."""
    n, step = len(v), following - beta
    z, u = machine.scratch("z", n, machine.hidden), machine.scratch("v", *v.shape)
    machine.hidden_input(machine.inputs(v, out=u), out=z)
    increment = step * (machine.base_energy(v) - machine.visible_energy(v)).cpu().double()
    if abs(step) > 0.01:
        increment += (softplus(following * z) - softplus(beta * z)).sum(1).cpu().double()
    else:  # log((1 + e^(b'z))/(1 + e^(bz))) = log(1 + (e^((b' - b)z) - 1)/(1 + e^(-bz))), with fewer exponentials
        p = torch.mul(z, beta, out=machine.scratch("p", n, machine.hidden)).sigmoid_()
        growth = torch.mul(z, step, out=machine.scratch("growth", n, machine.hidden)).expm1_()
        increment += growth.mul_(p).log1p_().sum(1).cpu().double()
    h = bernoulli(z.mul_(following).sigmoid_(), out=z)
    return increment, machine.draw_visible(machine.visible_input(h, out=v), following)
