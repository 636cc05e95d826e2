"""Pictures of one ability of a model each: reconstructions, classes, principal axes, discriminator, hidden units.

Each function takes a model and the data set of its run; `seed` fixes the random numbers that the representation of data needs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from genlab.data.batches import in_order
from genlab.data.dataset import Dataset
from genlab.data.subsets import at_most
from genlab.inference.shown_examples import COLUMNS, POINTS, held_out
from genlab.metrics.classes import calibration_error, confusion_matrix, reliability
from genlab.models.abilities import (
    Classifies,
    Discriminates,
    EstimatesBound,
    HasActivations,
    HasFantasies,
    HasFilters,
    HasNegativeStates,
    HasSpectrum,
    Reconstructs,
)
from genlab.models.base import Model, evaluation_mode
from genlab.numerics import rng
from genlab.plots import by_kind
from genlab.plots.charts import confusion, optimal_discriminator, reliability_diagram, spectrum, spreads
from genlab.plots.images import Picture, matrix
from genlab.plots.vector_planes import scatter

EXAMPLES_OF_BOUND, ESTIMATES_OF_BOUND = 50, 10


@torch.no_grad()
def internals(model: Model, dataset: Dataset, seed: int) -> dict[str, Picture]:
    """The states that a model trains with: persistent chains, filters of hidden units, their activations, principal axes."""
    found: dict[str, Picture] = {}
    data = dataset.spec
    with evaluation_mode(model):
        if isinstance(model, HasFantasies) and (x := model.fantasies()) is not None:
            if data.on_grid:
                test = held_out(dataset, POINTS, seed, model.device).x if data.is_curve else None
                found["fantasies"] = by_kind.samples(x, COLUMNS, data, test)
            else:
                test = held_out(dataset, len(x), seed, model.device).x
                found["fantasies"] = scatter({"data": test, "fantasies": x}, data)
        if isinstance(model, HasFilters) and data.on_grid:
            found["filters"] = by_kind.filters(model.filters()[: COLUMNS**2], COLUMNS, data)
        if isinstance(model, HasActivations):
            found["activations"] = matrix(model.activations(held_out(dataset, COLUMNS**2, seed, model.device).x))
        if isinstance(model, HasSpectrum):
            found |= principal_axes(model, dataset, seed)
        if isinstance(model, HasNegativeStates) and data.on_grid:
            found |= negative_phase(model, dataset, seed)
        if isinstance(model, EstimatesBound):
            found |= bound_estimates(model, dataset, seed)
    return found


@torch.no_grad()
def negative_phase(model: HasNegativeStates, dataset: Dataset, seed: int) -> dict[str, Picture]:
    """Held-out images as a machine sees them, and where the chains of an update end that start there."""
    assert isinstance(model, Model)
    x = held_out(dataset, 4 * COLUMNS, seed, model.device).x
    with rng.seeded(seed, "negative states", device=model.device):
        states = model.negative_states(x)
    if states is None:
        return {}
    return {"real": by_kind.grid(x, COLUMNS, dataset.spec), "generate": by_kind.grid(states, COLUMNS, dataset.spec)}


@torch.no_grad()
def bound_estimates(model: EstimatesBound, dataset: Dataset, seed: int) -> dict[str, Picture]:
    """How estimates of the bound spread about the mean of their example, for each way to estimate it."""
    assert isinstance(model, Model)
    x = held_out(dataset, EXAMPLES_OF_BOUND, seed, model.device).x
    with rng.seeded(seed, "bound estimates", device=model.device):
        found = model.bound_estimates(x.repeat(ESTIMATES_OF_BOUND, *[1] * (x.ndim - 1)))
    if not found:
        return {}
    return {"bound_estimates": spreads({n: v.view(ESTIMATES_OF_BOUND, -1).cpu() for n, v in found.items()})}


@torch.no_grad()
def principal_axes(model: Model, dataset: Dataset | None, seed: int) -> dict[str, Picture]:
    """Variances along the axes, and test images above their reconstructions with 1, 2, 4, 8, ... axes."""
    assert isinstance(model, HasSpectrum)
    data, q = model.data, model.latent_dim
    found = {"spectrum": spectrum(*model.spectrum(), data.dim)}
    if dataset is not None and data.on_grid:
        numbers = [2**k for k in range(q.bit_length()) if 2**k < q] + [q]
        x = held_out(dataset, COLUMNS, seed, model.device).x
        rows = torch.cat([x, *(model.reconstruct_with(x, k) for k in numbers)])
        labels = ["data", *(f"q = {k}" for k in numbers)]
        found["reconstructions_by_components"] = by_kind.grid(rows, len(x), data, labels)
    return found


@torch.no_grad()
def discriminator(model: Discriminates, x: Tensor, samples: Tensor) -> Picture:
    """D over the line or plane of the data x (n, d), d = 1 or 2, beside the optimal D* against `samples` (m, d).

    The densities in D* are kernel estimates.
    """
    assert isinstance(model, Model)
    with evaluation_mode(model):
        return optimal_discriminator(
            lambda points: model.discriminate(points.to(x.device)).cpu(), x.cpu(), samples.cpu()
        )


@torch.no_grad()
def classification(model: Model, dataset: Dataset, seed: int) -> dict[str, Picture]:
    """Confusion matrix and reliability diagram on the validation split (the test split, where there is none)."""
    assert isinstance(model, Classifies)
    split = dataset.validation or dataset.test
    with rng.seeded(seed, "held out", device=model.device):
        batches = list(in_order(at_most(split, 10_000), dataset.represent, batch_size=500, device=model.device))
    with evaluation_mode(model):
        log_p = torch.cat([model.classify(batch.x).cpu() for batch in batches])
    labels = torch.cat([batch.y.cpu() for batch in batches if batch.y is not None])
    where = "test split" if dataset.validation is None else "validation split"
    return classification_charts(log_p, labels, where, dataset.spec.names)


def classification_charts(log_p: Tensor, labels: Tensor, split: str, names: Sequence[str] = ()) -> dict[str, Picture]:
    """Confusion matrix and reliability diagram, from log p(y|x) (n, classes) and the true classes (n,) of a `split`.

    `names` are those of the classes.
    """
    confidence, predictions = log_p.exp().max(1)
    right = predictions == labels
    bins = reliability(confidence, right)
    return {
        "confusion": confusion(confusion_matrix(labels, predictions, log_p.shape[1]), split, names),
        "reliability": reliability_diagram(
            bins.confidence, bins.accuracy, bins.count, calibration_error(confidence, right), split
        ),
    }


@torch.no_grad()
def reconstructions(model: Model, dataset: Dataset, seed: int) -> Picture:
    """Rows of test examples, each above the row of their reconstructions."""
    assert isinstance(model, Reconstructs)
    x = held_out(dataset, 4 * COLUMNS if dataset.spec.on_grid else POINTS, seed, model.device).x
    with evaluation_mode(model):
        restored = model.reconstruct(x)
    if dataset.spec.on_grid:
        return by_kind.pairs(x, restored, COLUMNS, dataset.spec)
    return scatter({"data": x, "reconstructions": restored}, dataset.spec)
