"""Gibbs sampling of a restricted Boltzmann machine, and the inverse temperatures beta along which it is annealed.

The base distribution (beta = 0) has independent visible units with the moments of the data. Between it and the machine
(beta = 1) lie the energies

    E_beta(v, h) = (1 - beta) V_0(v) + beta E(v, h),
    log p*_beta(v) = -(1 - beta) V_0(v) - beta V(v) + sum_j log(1 + exp(beta z_j)).

A sweep draws h ~ p_beta(h|v), then v ~ p_beta(v|h). It leaves p_beta invariant.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genlab.errors import GenlabError, did_you_mean
from genlab.models.boltzmann.layers import Layers
from genlab.models.boltzmann.negative_phase import TemperedChains
from genlab.models.conditioning import requested_classes
from genlab.models.kept_chains import continued
from genlab.models.tempering import annealed_betas
from genlab.numerics.rng import bernoulli
from genlab.numerics.softplus import SMALL, log_growth, softplus

STEPS = {"annealed": 200, "gibbs": 1000, "chains": 200, "tempered": 200}
"""Sampler -> its number of sweeps, where the user sets none."""
TEMPERATURES = 10  # of tempered sampling


def sweep(machine: Layers, v: Tensor, beta: float = 1.0) -> tuple[Tensor, Tensor]:
    """The next v, and the y = a + W h from which it was drawn."""
    h = bernoulli(machine.hidden_input(machine.inputs(v)).mul_(beta).sigmoid_())
    y = machine.visible_input(h)
    return machine.draw_visible(y.clone(), beta), y


@torch.no_grad()
def settle(machine: Layers, v: Tensor, sweeps: int) -> Tensor:
    """v after so many sweeps at beta = 1."""
    for _ in range(sweeps):
        v, _ = sweep(machine, v)
    return v


@torch.no_grad()
def chains(
    machine: Layers,
    v: Tensor,
    betas: Iterable[float],
    *,
    mean: bool,
    clamped: tuple[slice | Tensor, Tensor] | None = None,
) -> Iterator[Tensor]:
    """Examples after one sweep at each of `betas`, as E[x|h] with `mean`.

    `clamped` are visible units, and the values that they keep.
    """
    if clamped is not None:
        v[:, clamped[0]] = clamped[1]
    for beta in betas:
        v, y = sweep(machine, v, beta)
        state = machine.mean_visible(y) if mean else v
        if clamped is not None:
            v[:, clamped[0]] = clamped[1]
            state[:, clamped[0]] = clamped[1]
        yield machine.restore(state)


def sampler_of(sampler: str | None, fantasies: Tensor | None, labels: list[int] | int | None) -> str:
    """The sampler that is set, or else the default."""
    return sampler or ("annealed" if fantasies is None or labels is not None else "chains")


@torch.no_grad()
def sample(
    machine: Layers,
    fantasies: Tensor | None,
    n: int,
    sampler: str | None,
    steps: int | None,
    labels: list[int] | int | None,
    mean: bool,
    continue_from: list[int] | None,
) -> Iterator[Tensor]:
    """States (n, *shape) of n chains.

        annealed   starts at the base distribution; beta rises to 1 over the first four fifths of the sweeps
        gibbs      starts there too and runs at beta = 1
        tempered   runs at ten temperatures at once, which exchange their states, and yields those at beta = 1
        chains     continues persistent chains of the training, `fantasies` (chains, hidden): those that `continue_from` numbers
                   for each sample, or random ones

    Persistent chains have found in a whole training what a short annealing does not find. They are the default where there are
    some and no class is clamped. Samples that start from the same chain are correlated, the more so after fewer sweeps. `labels`
    clamps the classes of a conditional machine, in turns. Raises GenlabError where the machine cannot do that.
    """
    sampler = sampler_of(sampler, fantasies, labels)
    if sampler not in STEPS:
        raise GenlabError(f"sampler={sampler}: {did_you_mean(sampler, STEPS)}")
    clamped = None
    if labels is not None:
        classes = requested_classes(labels, n, machine.num_classes).to(machine.W)
        clamped = (slice(machine.data.dim, None), classes)
    if sampler == "tempered":
        if clamped is not None:
            raise GenlabError(f"labels={labels}: tempered chains hold no classes; set sampler=annealed")
        yield from tempered(machine, n, steps or STEPS[sampler], mean)
        return
    betas = [1.0] * (steps or STEPS[sampler])
    if sampler == "annealed":
        betas = annealed_betas(len(betas))
    if sampler == "chains":
        if fantasies is None:
            raise GenlabError("sampler=chains: no chains persist with model.negative=cd; set sampler=annealed")
        v = machine.draw_visible(machine.visible_input(continued(fantasies, continue_from, n)))
    else:
        v = machine.base_draws(n)
    yield from chains(machine, v, betas, mean=mean, clamped=clamped)


def tempered(machine: Layers, n: int, steps: int, mean: bool) -> Iterator[Tensor]:
    """Parallel tempering from noise: n chains at each of the temperatures."""
    levels = TemperedChains(1, n, machine.hidden, TEMPERATURES).to(machine.device, machine.W.dtype)
    u, h = machine.workspace("u_cold", n, len(machine.a)), machine.workspace("h_cold", n, machine.hidden)
    for _ in range(steps):
        v = levels(machine, h, u, h)
        yield machine.restore(machine.mean_visible(machine.visible_input(bernoulli(h))) if mean else v)


@torch.no_grad()
def inpaint(machine: Layers, x: Tensor, known: Tensor, steps: int, mean: bool) -> Iterator[Tensor]:
    """Annealed chains in which the components of x at `known` (*shape,) are clamped."""
    v = machine.visible(x)
    units = torch.zeros(v.shape[1], dtype=torch.bool, device=v.device)
    units[: machine.data.dim] = known.flatten()
    start = machine.base_draws(len(x))
    yield from chains(machine, start, annealed_betas(steps), mean=mean, clamped=(units, v[:, units]))


@torch.no_grad()
def anneal(machine: Layers, v: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
    """log p*(v) at `following` minus that at `beta`, (n,) in float64, and v, overwritten, after a sweep at `following`."""
    n, step = len(v), following - beta
    z, u = machine.workspace("z", n, machine.hidden), machine.workspace("v", *v.shape)
    machine.hidden_input(machine.inputs(v, out=u), out=z)
    increment = step * (machine.base_energy(v) - machine.visible_energy(v)).cpu().double()
    t = torch.mul(z, step, out=machine.workspace("t", n, machine.hidden))
    if z.dtype == torch.float32 and max(map(abs, torch.stack(t.aminmax()).tolist())) <= SMALL:
        p = torch.mul(z, beta, out=machine.workspace("p", n, machine.hidden)).sigmoid_()
        increment += log_growth(p, t).sum(1).cpu().double()
    else:
        increment += (softplus(following * z) - softplus(beta * z)).sum(1).cpu().double()
    h = bernoulli(z.mul_(following).sigmoid_(), out=z)
    return increment, machine.draw_visible(machine.visible_input(h, out=v), following)
