"""Pictures of what a model can do, asked of its capabilities: samples, reconstructions, interpolation, traversal."""

from collections import deque
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.data.batches import Batch, in_order
from genlab.data.dataset import Dataset
from genlab.inference.density_maps import landscape
from genlab.inference.sampling import BLOCK, draw, film, sampling_options
from genlab.metrics.classes import calibration_error, confusion_matrix, reliability
from genlab.models.abilities import (
    Classifies,
    Decodes,
    DecodesByClass,
    Discriminates,
    DrawsCodes,
    Encodes,
    HasActivations,
    HasFantasies,
    HasFilters,
    HasLevels,
    HasMarkovChain,
    HasSpectrum,
    Inpaints,
    Reconstructs,
    classifies,
)
from genlab.models.base import GenerativeModel, Model, evaluation_mode
from genlab.models.latent.priors import StandardNormal
from genlab.numerics import rng
from genlab.plots.charts import confusion, labelled, optimal_discriminator, reliability_diagram, spectrum
from genlab.plots.images import Picture, filters, grid, latent_scatter, matrix, pairs, scatter

COLUMNS = 10
POINTS = 1024  # vectors in a scatter plot


def held_out(dataset: Dataset, n: int, seed: int, device: torch.device) -> Batch:
    """The first n test examples in the data's support, always the same ones."""
    with rng.seeded(seed, "held out", device=device):
        return next(in_order(dataset.test, dataset.represent, batch_size=n, device=device, limit=n))


def fixed_samples(model: Model, seed: int, dataset: Dataset | None = None) -> Tensor | None:
    """What a run shows of its samples, drawn from the same noise each time; None for a family that does not sample.

    Of binary data (a `dataset` that holds 0 and 1 as it is stored) draws, of all other images what sample_loop shows by itself.
    """
    if not isinstance(model, GenerativeModel):
        return None
    options = {} if dataset is None else sampling_options(model, dataset, {})
    return draw(model, COLUMNS * COLUMNS if model.data.is_image else POINTS, seed, **options)


@torch.no_grad()
def pictures(model: Model, dataset: Dataset, seed: int, samples: Tensor | None) -> dict[str, Picture]:
    """What a run shows while it trains: `samples`, fixed test examples beside their reconstructions, mistaken classes."""
    data, found = dataset.spec, {}
    if samples is not None:
        if data.is_image:
            found["samples"] = grid(samples, COLUMNS, data)
        else:
            test = held_out(dataset, POINTS, seed, model.device).x
            found["samples"] = scatter({"data": test, "samples": samples}, data)
    if isinstance(model, Reconstructs):
        found["reconstructions"] = reconstructions(model, dataset, seed)
    if classifies(model):
        found |= classification(model, dataset, seed)
    if isinstance(model, Discriminates) and samples is not None and data.dim <= 2:
        found["discriminator"] = discriminator(model, held_out(dataset, POINTS, seed, model.device).x, samples)
    if data.dim == 2:
        found |= landscape(model, dataset, seed, held_out(dataset, POINTS, seed, model.device).x, samples)
    return found | internals(model, dataset, seed)


@torch.no_grad()
def internals(model: Model, dataset: Dataset, seed: int) -> dict[str, Picture]:
    """Chains that the training keeps, what the hidden units look for, and which of them test examples switch on."""
    found: dict[str, Picture] = {}
    data = dataset.spec
    with evaluation_mode(model):
        if isinstance(model, HasFantasies) and (x := model.fantasies()) is not None:
            if data.is_image:
                found["fantasies"] = grid(x[: COLUMNS**2], COLUMNS, data)
            else:
                test = held_out(dataset, len(x), seed, model.device).x
                found["fantasies"] = scatter({"data": test, "fantasies": x}, data)
        if isinstance(model, HasFilters) and data.is_image:
            found["filters"] = filters(model.filters()[: COLUMNS**2], COLUMNS, data)
        if isinstance(model, HasActivations):
            found["activations"] = matrix(model.activations(held_out(dataset, COLUMNS**2, seed, model.device).x))
        if isinstance(model, HasSpectrum):
            found |= principal_axes(model, dataset, seed)
    return found


@torch.no_grad()
def principal_axes(model: Model, dataset: Dataset | None, seed: int) -> dict[str, Picture]:
    """Variances along the axes, and test images above what 1, 2, 4, 8, ... of them keep."""
    assert isinstance(model, HasSpectrum)
    data, q = model.data, model.latent_dim
    found = {"spectrum": spectrum(*model.spectrum(), data.dim)}
    if dataset is not None and data.is_image:
        numbers = [2**k for k in range(q.bit_length()) if 2**k < q] + [q]
        x = held_out(dataset, COLUMNS, seed, model.device).x
        rows = grid(torch.cat([x, *(model.reconstruct_with(x, k) for k in numbers)]), len(x), data)
        found["reconstructions_by_components"] = labelled(rows, ["data", *(f"q = {k}" for k in numbers)])
    return found


@torch.no_grad()
def discriminator(model: Discriminates, x: Tensor, samples: Tensor) -> Picture:
    """D over the line or plane of the data, beside the best answer D* to the samples, with densities estimated by kernels."""
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
        batches = list(in_order(split, dataset.represent, batch_size=500, device=model.device, limit=10_000))
    with evaluation_mode(model):
        log_p = torch.cat([model.classify(batch.x).cpu() for batch in batches])
    labels = torch.cat([batch.y.cpu() for batch in batches if batch.y is not None])
    return classification_charts(log_p, labels)


def classification_charts(log_p: Tensor, labels: Tensor) -> dict[str, Picture]:
    """From log p(y|x) (n, classes) and the true classes (n,)."""
    confidence, predictions = log_p.exp().max(1)
    right = predictions == labels
    bins = reliability(confidence, right)
    return {
        "confusion": confusion(confusion_matrix(labels, predictions, log_p.shape[1])),
        "reliability": reliability_diagram(
            bins.confidence, bins.accuracy, bins.count, calibration_error(confidence, right)
        ),
    }


@torch.no_grad()
def reconstructions(model: Model, dataset: Dataset, seed: int) -> Picture:
    """Rows of test examples, each above the row of their reconstructions."""
    assert isinstance(model, Reconstructs)
    x = held_out(dataset, 4 * COLUMNS if dataset.spec.is_image else POINTS, seed, model.device).x
    with evaluation_mode(model):
        restored = model.reconstruct(x)
    if dataset.spec.is_image:
        return pairs(x, restored, COLUMNS, dataset.spec)
    return scatter({"data": x, "reconstructions": restored}, dataset.spec)


@torch.no_grad()
def interpolation(model: Decodes, start: Tensor, end: Tensor, steps: int = 10, y: Tensor | None = None) -> Tensor:
    """Decoded points on the lines between codes: (rows, latent_dim) twice -> (rows * steps, *shape).

    Straight ones, unless the family knows a way between codes that are drawn. A conditional model keeps the classes y
    (rows, told).
    """
    way = model.interpolate if isinstance(model, DrawsCodes) else torch.lerp
    codes = torch.stack([way(start, end, w) for w in torch.linspace(0, 1, steps).tolist()], dim=1)
    return decoded(model, codes.flatten(0, 1), None if y is None else y.repeat_interleave(steps, 0))


def decoded(model: Decodes, codes: Tensor, y: Tensor | None) -> Tensor:
    return model.decode(codes, y) if isinstance(model, DecodesByClass) and y is not None else model.decode(codes)


def predicted_classes(model: Model, x: Tensor) -> Tensor | None:
    """One-hot classes (n, told) that a conditional model takes examples x for; None for any other."""
    if not isinstance(model, DecodesByClass) or not isinstance(model, Classifies) or not model.num_classes:
        return None
    return F.one_hot(model.classify(x).argmax(1), model.num_classes).float()


@torch.no_grad()
def interpolation_of_draws(model: DrawsCodes, seed: int, rows: int = 8) -> Tensor:
    """`interpolation` between codes drawn from p(h), the same ones for one seed: (rows * COLUMNS, *shape)."""
    assert isinstance(model, Model)
    with rng.seeded(seed, "codes", device=model.device):
        codes = model.draw_codes(2 * rows)
    told = model.num_classes if isinstance(model, DecodesByClass) else 0
    y = F.one_hot(torch.arange(rows) % told, told).float().to(codes) if told else None
    return interpolation(model, codes[:rows], codes[rows:], COLUMNS, y)


def axes_of(model: Model, codes: Tensor) -> list[int]:
    """The latent axes worth a walk: principal ones in their order, others by the spread of the `codes` (n, latent_dim)."""
    order = torch.arange(codes.shape[1]) if isinstance(model, HasSpectrum) else codes.std(0).argsort(descending=True)
    return [int(j) for j in order[:COLUMNS]]


@torch.no_grad()
def traversal(
    model: Decodes, code: Tensor, codes: Tensor, dimensions: list[int], steps: int = 11, y: Tensor | None = None
) -> Tensor:
    """`code` (latent_dim,) with one dimension moved from -3 to 3 standard deviations of `codes` about their mean, decoded.

    One row a dimension: (len(dimensions) * steps, *shape). Of a conditional model, in the class y (1, told).
    """
    mean, std = codes.mean(0), codes.std(0)
    moved = code.repeat(len(dimensions), steps, 1)
    for row, j in enumerate(dimensions):
        moved[row, :, j] = mean[j] + std[j] * torch.linspace(-3, 3, steps, device=code.device)
    flat = moved.flatten(0, 1)
    return decoded(model, flat, None if y is None else y.expand(len(flat), -1))


@torch.no_grad()
def manifold(model: Decodes, side: int, device: torch.device, codes: Tensor | None = None) -> Tensor:
    """Decoded lattice of a two-dimensional latent space, equally spaced in probability under N(0, I): (side^2, *shape).

    For any other prior, under the normal distribution with mean and standard deviations of the `codes` (n, 2) of data.
    """
    quantiles = [NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)]
    axis = torch.tensor(quantiles, device=device)
    h2, h1 = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    lattice = torch.stack([h1, h2], dim=-1).flatten(0, 1)
    return model.decode(lattice if codes is None else codes.mean(0) + codes.std(0) * lattice)


@torch.no_grad()
def inpainting(model: Inpaints, x: Tensor, fillings: int = 3) -> Tensor:
    """For the right and for the lower half: rows of x without it, of several fillings of it, and of x; (rows * n, *shape)."""
    rows = []
    for axis in (-1, -2):
        half = x.shape[axis] // 2
        known = torch.zeros(x.shape[1:], dtype=torch.bool, device=x.device)
        known.narrow(axis, 0, half).fill_(True)
        rows.append(torch.where(known, x, 0.5))
        for _ in range(fillings):
            (filled,) = deque(model.inpaint_loop(x, known), maxlen=1)
            rows.append(filled)
        rows.append(x)
    return torch.cat(rows)


@torch.no_grad()
def walks(model: HasMarkovChain, x: Tensor) -> Tensor:
    """One row for each of x: x and the chain that starts from it, after 1, 2, 5, 10, ... steps; (n * COLUMNS, *shape)."""
    at = [1, 2, 5, 10, 20, 50, 100, 200, 500][: COLUMNS - 1]
    states = [x] + [state for i, state in enumerate(model.walk(x, at[-1], mean=True), 1) if i in at]
    return torch.stack(states, dim=1).flatten(0, 1)


@torch.no_grad()
def hierarchies(model: HasLevels, rows: int = 3) -> dict[str, tuple[Tensor, list[str]]]:
    """What each level decides: rows of samples that share some levels' noise and differ in the rest, with their captions."""
    found = {}
    for below, name in ((True, "levels_above_resampled"), (False, "levels_below_resampled")):
        images, captions = [], []
        for kept in range(1, len(model.levels)):
            drawn = range(kept + 1, len(model.levels) + 1) if below else range(1, kept + 1)
            for _ in range(rows):
                images.append(model.hierarchy(COLUMNS, kept, below=below))
                captions.append("new h" + ",".join(map(str, drawn)))
        if images:
            found[name] = torch.cat(images), captions
    return found


@torch.no_grad()
def animation(model: Model, seed: int, frames: int = 40, **options: Any) -> list[Picture]:
    """At most so many states of the chains that end in the first samples; empty for a family whose samples take one step."""
    if not isinstance(model, GenerativeModel):
        return []
    data = model.data
    states = film(model, BLOCK if data.is_image else POINTS, seed, frames, **options)
    if len(states) < 3:
        return []
    if data.is_image:
        return [grid(state, 8, data) for state in states]
    return [scatter({"samples": states[-1], "states": state}, data) for state in states]


@torch.no_grad()
def portfolio(
    model: Model, dataset: Dataset | None, n: int, seed: int, **options: Any
) -> tuple[dict[str, Picture], dict[str, npt.NDArray[Any]]]:
    """Everything that `genlab sample` shows of a model in evaluation mode, as pictures and as arrays of the same names.

    Without a data set, codes come from the model's own samples, and there are no pictures of test data.
    """
    data = model.data
    pictures: dict[str, Picture] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    test = None if dataset is None else held_out(dataset, POINTS, seed, model.device)
    samples = None
    if isinstance(model, GenerativeModel):
        options = options if dataset is None else sampling_options(model, dataset, options)
        samples = draw(model, n, seed, **options)
        arrays["samples"] = samples.numpy()
        known = {} if test is None else {"data": test.x}
        if data.is_image:
            columns = COLUMNS if n <= COLUMNS**2 else 2 * COLUMNS
            pictures["samples"] = grid(samples[: columns**2], columns, data)  # more are for the arrays, not for the eye
        else:
            pictures["samples"] = scatter({**known, "samples": samples}, data)
        states = film(model, COLUMNS, seed, frames=COLUMNS, **options)
        if len(states) > 1 and data.is_image:
            pictures["chain"] = grid(states.transpose(0, 1).flatten(0, 1), len(states), data)
            arrays["chain"] = states.numpy()
    if classifies(model) and dataset is not None:
        pictures |= classification(model, dataset, seed)
    if isinstance(model, Reconstructs) and dataset is not None:
        pictures["reconstructions"] = reconstructions(model, dataset, seed)
    if isinstance(model, HasSpectrum):
        pictures |= principal_axes(model, dataset, seed)
        arrays["variances"] = model.spectrum()[0].cpu().numpy()
    if isinstance(model, HasFilters) and isinstance(model, HasSpectrum) and data.is_image:
        pictures["filters"] = filters(model.filters()[: COLUMNS**2], COLUMNS, data)
    if test is not None and data.is_image:
        with rng.seeded(seed, "chains", device=model.device):
            found = {}
            if isinstance(model, Inpaints):
                found["inpainting"] = inpainting(model, test.x[:COLUMNS])
            if isinstance(model, HasMarkovChain):
                found["chain_from_data"] = walks(model, test.x[:COLUMNS])
        pictures |= {name: grid(images, COLUMNS, data) for name, images in found.items()}
        arrays |= {name: images.cpu().numpy() for name, images in found.items()}
    if isinstance(model, HasLevels) and data.is_image:
        with rng.seeded(seed, "levels", device=model.device):
            shown = hierarchies(model)
        pictures |= {
            name: labelled(grid(images, COLUMNS, data), captions) for name, (images, captions) in shown.items()
        }
        arrays |= {name: images.cpu().numpy() for name, (images, _) in shown.items()}
    x = test.x if test is not None else samples.to(model.device) if samples is not None else None
    if x is not None and isinstance(model, Encodes) and isinstance(model, Decodes) and data.is_image:
        codes = model.encode(x)
        rows = min(8, len(codes) // 2)
        y = predicted_classes(model, x[:rows])
        lines = interpolation(model, codes[:rows], codes[rows : 2 * rows], COLUMNS, y)
        dimensions = axes_of(model, codes)
        moved = traversal(model, codes[0], codes, dimensions, y=None if y is None else y[:1])
        for name, images, columns in (
            ("interpolation", lines, COLUMNS),
            ("traversal", moved, len(moved) // len(dimensions)),
        ):
            pictures[name] = grid(images, columns, data)
            arrays[name] = images.cpu().numpy()
        arrays["traversal_dimensions"] = np.array(dimensions)
        if model.latent_dim == 2:
            pictures["latent"] = latent_scatter(codes, None if test is None else test.y)
            if isinstance(model, GenerativeModel):
                own = None if isinstance(getattr(model, "prior", None), StandardNormal) else codes
                pictures["manifold"] = grid(manifold(model, 20, model.device, own), 20, data)
    if isinstance(model, DrawsCodes) and data.is_image:
        images = interpolation_of_draws(model, seed)
        pictures["interpolation"] = grid(images, COLUMNS, data)
        arrays["interpolation"] = images.cpu().numpy()
    if isinstance(model, Discriminates) and test is not None and samples is not None and data.dim <= 2:
        pictures["discriminator"] = discriminator(model, test.x, samples)
    if dataset is not None and test is not None:
        pictures |= landscape(model, dataset, seed, test.x, samples, side=160, draws=50, carry=True)
    return pictures, arrays
