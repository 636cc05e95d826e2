"""Maps of the plane for data of two components: the density of a model beside the true one, and the scores of both.

A model's density is log p(x) itself where it is known, its free energy normalised on a grid, or its importance-weighted bound
(with many draws log p(x)). Its score d log p/dx is its own, or the gradient of its log p(x) or of minus its free energy. A
model that has neither is shown by its samples over the contours of the true density.
"""

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.densities import Rectangle, grid_over
from genlab.data.truth import KnowsEntropy, KnowsPlane
from genlab.inference.likelihood import importance_weighted
from genlab.inference.plane_grid import grid_log_z, in_blocks, is_plane
from genlab.models.abilities import HasFreeEnergy, HasLogProb, HasLogWeights, HasProbabilityFlow, HasScore
from genlab.models.base import Model, evaluation_mode
from genlab.numerics import rng
from genlab.plots.images import Picture
from genlab.plots.plane_panels import Panel, panels

SIDE_OF_Z = 512  # points a side of the finest grid on which an energy is normalised for a picture
SIDE_OF_FLOW = 80  # points a side of the grid of a flow's density
ARROWS = 17  # arrows a side
MARGIN = 0.1  # at each side, as a share of the range of the examples
MOST_POINTS = 2000  # examples or samples in a panel


def density_and_score_maps(
    model: Model,
    dataset: Dataset,
    seed: int,
    x: Tensor,
    samples: Tensor | None,
    side: int = 96,
    draws: int = 10,
    integrate_flow: bool = False,
) -> dict[str, Picture]:
    """The pictures `density` and `score` of a model of the plane; nothing for data of other shapes.

    `x` are test examples (n, 2), `samples` samples of the model (m, 2). `side` is the number of points along each side of the
    grid. Where log p(x) has only a bound, `draws` is the number of draws of h for each point. With `integrate_flow` the density
    of a probability flow is integrated, which takes seconds; else it is not shown.
    """
    if not is_plane(dataset.spec):
        return {}
    truth = dataset.truth if isinstance(dataset.truth, KnowsPlane) else None
    box = _around(x.cpu().double())
    with evaluation_mode(model), rng.seeded(seed, "landscape", device=model.device):
        if isinstance(model, HasProbabilityFlow):
            learned = flow_density(model, grid_over(box, SIDE_OF_FLOW, SIDE_OF_FLOW)[0]) if integrate_flow else None
        else:
            learned = log_density(model, grid_over(box, side, side)[0], draws)
        places = grid_over(box, ARROWS, ARROWS)[0]
        learned_score = score(model, places)
    known = None if truth is None else _true_density(dataset.truth, box, side)
    found = {"density": _densities(dataset.truth, known, learned, box, x.cpu()[:MOST_POINTS], samples)}
    if learned_score is not None:
        shown = [] if truth is None else [Panel("true score", arrows=(places, true_score(truth, places)))]
        shown.append(Panel("score of the model", arrows=(places, learned_score)))
        shown = [replace(one, contours=known) for one in shown]
        found["score"] = panels(shown, box, 1.0)
    return found


def _around(x: Tensor) -> Rectangle:
    """The smallest rectangle that holds the points (n, 2), with a margin."""
    low, high = x.amin(0), x.amax(0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


def _densities(
    truth: object | None,
    known: Tensor | None,
    learned: tuple[Tensor, str] | None,
    box: Rectangle,
    x: Tensor,
    samples: Tensor | None,
) -> Picture:
    """The true density (or the data), the model's and samples, side by side, with the colours of the true density."""
    shown, top = [], 0.0
    if known is None:
        shown.append(Panel("data", points=x))
    else:
        top = float(known.max())
        entropy = truth.entropy() if isinstance(truth, KnowsEntropy) else None
        floor = "" if entropy is None else f": entropy {entropy:.3f} nats"
        shown.append(Panel(f"true density{floor}", density=known))
    if learned is not None:
        side = round(len(learned[0]) ** 0.5)
        p = learned[0].exp().view(side, side)
        top = top or float(p.max())
        shown.append(Panel(f"model, {learned[1]}", density=p))
    if samples is not None:
        title = "samples" if known is None else "samples, contours of the true density"
        shown.append(Panel(title, contours=known, points=samples.cpu()[:MOST_POINTS]))
    return panels(shown, box, top or 1.0)


@torch.no_grad()
def log_density(model: Model, points: Tensor, draws: int = 10) -> tuple[Tensor, str] | None:
    """log p of a model of the plane at points (n, 2), as float64 (n,) on the CPU, and its kind; None where it is unknown."""
    if isinstance(model, HasLogProb):
        return in_blocks(model.log_prob, points, model.device), "log p(x) exact"
    if isinstance(model, HasFreeEnergy):
        log_z = grid_log_z(model, SIDE_OF_Z).value
        return -in_blocks(model.free_energy, points, model.device) - log_z, "energy normalised on a grid"
    if isinstance(model, HasLogWeights):
        x = points.float().to(model.device)
        return importance_weighted(model, x, draws)[1], f"importance-weighted, k = {draws}"
    return None


@torch.no_grad()
def flow_density(model: HasProbabilityFlow, points: Tensor) -> tuple[Tensor, str] | None:
    """The same for a model whose log p(x) is the integral of a differential equation."""
    assert isinstance(model, Model)

    def log_prob(x: Tensor) -> Tensor:
        found = model.flow_log_prob(x)
        assert found is not None, "real data have a density"
        return found

    return in_blocks(log_prob, points, model.device), "log p(x) by its flow"


def score(model: Model, points: Tensor) -> Tensor | None:
    """d log p/dx of a model at points (n, 2), as float64 (n, 2) on the CPU; None where log p has no gradient."""
    x = points.float().to(model.device)
    if isinstance(model, HasScore):
        with torch.no_grad():
            return model.score_field(x).cpu().double()
    if not isinstance(model, HasLogProb | HasFreeEnergy):
        return None
    with torch.enable_grad():
        x.requires_grad_(True)
        log_p = model.log_prob(x) if isinstance(model, HasLogProb) else -model.free_energy(x)
        if not log_p.requires_grad:  # the family takes no gradients there
            return None
        (gradient,) = torch.autograd.grad(log_p.sum(), x)
    return gradient.cpu().double()


def true_score(truth: KnowsPlane, points: Tensor) -> Tensor:
    """d log p/dx of the data at points (n, 2), by central differences, (n, 2); 0 where p is 0."""
    step = 1e-4
    components = []
    for axis in torch.eye(2, dtype=torch.float64):
        ahead, behind = truth.log_prob(points + step * axis), truth.log_prob(points - step * axis)
        components.append(((ahead - behind) / (2 * step)).nan_to_num(0.0, 0.0, 0.0))
    return torch.stack(components, 1)


@lru_cache(maxsize=4)
def _true_density(truth: object, box: Rectangle, side: int) -> Tensor:
    """p over the grid of a picture, (side, side). It is kept, since each set of pictures of a training needs it."""
    assert isinstance(truth, KnowsPlane)
    return truth.log_prob(grid_over(box, side, side)[0]).exp().view(side, side)
