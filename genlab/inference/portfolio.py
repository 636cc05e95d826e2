"""All pictures of a model: those of a run while it trains, and those of `genlab sample`, by what the model can do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset
from genlab.inference.ability_pictures import classification, discriminator, internals, principal_axes, reconstructions
from genlab.inference.chain_pictures import hierarchies, inpainting, rows_of_inpainting, walks
from genlab.inference.class_rows import rows_by_class
from genlab.inference.density_maps import density_and_score_maps
from genlab.inference.latent_pictures import (
    BETWEEN,
    DEVIATIONS,
    axes_of,
    interpolation,
    interpolation_of_draws,
    manifold,
    predicted_classes,
    titles_of_axes,
    titles_of_pairs,
    traversal,
)
from genlab.inference.sampling import BLOCK, draw, draw_fewer, film, labels_of_samples, sampling_options
from genlab.inference.shown_examples import COLUMNS, POINTS, held_out
from genlab.models.abilities import (
    Decodes,
    Discriminates,
    DrawsCodes,
    Encodes,
    HasFilters,
    HasLevels,
    HasMarkovChain,
    HasSpectrum,
    Inpaints,
    Reconstructs,
    able,
    classifies,
)
from genlab.models.base import GenerativeModel, Model
from genlab.models.latent.priors import StandardNormal
from genlab.numerics import rng
from genlab.plots import by_kind
from genlab.plots.images import Picture, latent_scatter
from genlab.plots.vector_planes import scatter
from genlab.tracking.progress import step


def fixed_samples(model: Model, seed: int, dataset: Dataset | None = None, n: int | None = None) -> Tensor | None:
    """Samples that a run shows, drawn from the same noise each time, (n, *shape); None for a family that does not sample.

    `n` is their number; None for a picture of full size. For binary data (a `dataset` that stores 0 and 1) they are draws, for
    all other images the default of sample_loop.
    """
    if not isinstance(model, GenerativeModel):
        return None
    options = {} if dataset is None else sampling_options(model, dataset, {})
    n = n or (COLUMNS * COLUMNS if model.data.on_grid else POINTS)
    return (draw_fewer if n < BLOCK else draw)(model, n, seed, **options).x


@torch.no_grad()
def training_pictures(model: Model, dataset: Dataset, seed: int, samples: Tensor | None) -> dict[str, Picture]:
    """Pictures of a run while it trains, by name: `samples` (n, *shape), and what the model's abilities show of test examples."""
    data, found = dataset.spec, {}
    if samples is not None:
        if data.on_grid:
            known = held_out(dataset, POINTS, seed, model.device).x if data.own_scales else None
            by_class = None
            if isinstance(model, GenerativeModel):
                turns = sampling_options(model, dataset, {}).get("labels")
                by_class = rows_by_class(samples, labels_of_samples(model, len(samples), turns), COLUMNS, data)
            found["samples"] = by_kind.samples(samples, COLUMNS, data, known) if by_class is None else by_class
            if known is not None:
                found |= by_kind.statistics(samples, known, data)
        else:
            test = held_out(dataset, POINTS, seed, model.device)
            classes = None
            if isinstance(model, GenerativeModel):
                turns = sampling_options(model, dataset, {}).get("labels")
                classes = labels_of_samples(model, len(samples), turns)
            found["samples"] = scatter({"data": test.x, "samples": samples}, data, {"data": test.y, "samples": classes})
    if isinstance(model, Reconstructs):
        found["reconstructions"] = reconstructions(model, dataset, seed)
    if classifies(model):
        found |= classification(model, dataset, seed)
    if isinstance(model, Discriminates) and samples is not None and data.dim <= 2 and not data.on_grid:
        found["discriminator"] = discriminator(model, held_out(dataset, POINTS, seed, model.device).x, samples)
    if data.dim == 2:
        found |= density_and_score_maps(model, dataset, seed, held_out(dataset, POINTS, seed, model.device).x, samples)
    return found | internals(model, dataset, seed)


@dataclass
class Portfolio:
    """The pictures that `genlab sample` shows of a model in evaluation mode, and arrays of the same names."""

    model: Model
    dataset: Dataset | None
    """None where it is not at hand: then codes come from the model's own samples, and there are no pictures of test data."""
    n: int
    """Number of samples."""
    seed: int
    options: dict[str, Any]
    """Arguments of the family's sample_loop."""
    pictures: dict[str, Picture] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    test: Batch | None = None
    """POINTS test examples, one of each class first; None without a data set."""
    samples: Tensor | None = None
    """Samples (n, *shape), once `show_samples` has drawn them."""

    def show(self, name: str, x: Tensor, columns: int, labels: Sequence[str] = ()) -> None:
        """Examples (n, *shape) as a grid, and as an array in the units of the user."""
        shown = x if labels else by_kind.first_rows(x, columns, self.model.data)
        self.pictures[name] = by_kind.grid(shown, columns, self.model.data, labels)
        self.arrays[name] = self.model.data.in_units(x).cpu().numpy()

    def show_paths(self, name: str, x: Tensor, steps: int, titles: Sequence[str], ends: tuple[str, str]) -> None:
        """Ways through a space of codes, (rows * steps, *shape), and the same as an array."""
        self.pictures[name] = by_kind.paths(x, steps, self.model.data, titles, ends)
        self.arrays[name] = self.model.data.in_units(x).cpu().numpy()


def show_samples(shown: Portfolio) -> None:
    """Samples, and for pictures the states of their chains."""
    model, data = shown.model, shown.model.data
    assert isinstance(model, GenerativeModel)
    if shown.dataset is not None:
        shown.options = sampling_options(model, shown.dataset, shown.options)
    samples = draw(model, shown.n, shown.seed, **shown.options)
    shown.samples = samples.x
    shown.arrays |= samples.arrays(data)
    if data.on_grid:
        columns = COLUMNS if shown.n <= COLUMNS**2 or data.own_scales else 2 * COLUMNS
        known_examples = None if shown.test is None else shown.test.x
        by_class = rows_by_class(shown.samples, samples.labels, columns, data)
        whole = by_kind.samples(shown.samples, columns, data, known_examples) if by_class is None else by_class
        shown.pictures["samples"] = whole  # all are in the array
        if known_examples is not None:
            shown.pictures |= by_kind.statistics(shown.samples, known_examples, data)
    else:
        known = {} if shown.test is None else {"data": shown.test.x}
        classes = {"data": None if shown.test is None else shown.test.y, "samples": samples.labels}
        shown.pictures["samples"] = scatter({**known, "samples": shown.samples}, data, classes)
    states = film(model, COLUMNS, shown.seed, frames=COLUMNS, **shown.options)
    if len(states) > 1 and data.on_grid:
        shown.show("chain", states.transpose(0, 1).flatten(0, 1), len(states))
        shown.arrays["chain"] = data.in_units(states).numpy()


def show_classification(shown: Portfolio) -> None:
    """Confusion matrix and reliability diagram."""
    if shown.dataset is not None:
        shown.pictures |= classification(shown.model, shown.dataset, shown.seed)


def show_reconstructions(shown: Portfolio) -> None:
    """Test examples with their reconstructions."""
    if shown.dataset is not None:
        shown.pictures["reconstructions"] = reconstructions(shown.model, shown.dataset, shown.seed)


def show_principal_axes(shown: Portfolio) -> None:
    """Spectrum, reconstructions by number of axes, and the axes as images."""
    assert isinstance(shown.model, HasSpectrum)
    shown.pictures |= principal_axes(shown.model, shown.dataset, shown.seed)
    shown.arrays["variances"] = shown.model.spectrum()[0].cpu().numpy()
    if isinstance(shown.model, HasFilters) and shown.model.data.on_grid:
        shown.pictures["filters"] = by_kind.filters(shown.model.filters()[: COLUMNS**2], COLUMNS, shown.model.data)


def show_chains(shown: Portfolio) -> None:
    """Test examples of which one half is filled in, and chains that start at test examples."""
    model = shown.model
    if shown.test is None or not model.data.on_grid:
        return
    with rng.seeded(shown.seed, "chains", device=model.device):
        found = {}
        if isinstance(model, Inpaints):
            found["inpainting"] = inpainting(model, shown.test.x[:COLUMNS])
        if isinstance(model, HasMarkovChain):
            found["chain_from_data"] = walks(model, shown.test.x[:COLUMNS])
    for name, x in found.items():
        fills = name == "inpainting"
        labels = rows_of_inpainting(model.data) if fills and model.data.own_scales else ()
        shown.show(name, x, min(COLUMNS, len(shown.test.x)) if fills else COLUMNS, labels)


def show_levels(shown: Portfolio) -> None:
    """Samples that share the noise of some levels of a hierarchy."""
    model = shown.model
    assert isinstance(model, HasLevels)
    if not model.data.on_grid:
        return
    with rng.seeded(shown.seed, "levels", device=model.device):
        found = hierarchies(model)
    for name, (images, captions) in found.items():
        shown.show(name, images, COLUMNS, captions)


def show_codes(shown: Portfolio) -> None:
    """Images: lines between codes and traversals of latent axes; of two dimensions the whole plane too."""
    model, test, data = shown.model, shown.test, shown.model.data
    x = test.x if test is not None else None if shown.samples is None else shown.samples.to(model.device)
    if x is None or not isinstance(model, Encodes) or not isinstance(model, Decodes) or not data.on_grid:
        return
    codes = model.encode(x)
    rows = min(8, len(codes) // 2)
    y = predicted_classes(model, x[:rows])
    lines = interpolation(model, codes[:rows], codes[rows : 2 * rows], COLUMNS, y)
    dimensions = axes_of(model, codes)
    moved = traversal(model, codes[0], codes, dimensions, y=None if y is None else y[:1])
    shown.show_paths("interpolation", lines, COLUMNS, titles_of_pairs(rows), BETWEEN)
    shown.show_paths("traversal", moved, len(moved) // len(dimensions), titles_of_axes(dimensions), DEVIATIONS)
    shown.arrays["traversal_dimensions"] = np.array(dimensions)
    if model.latent_dim == 2:
        shown.pictures["latent"] = latent_scatter(codes, None if test is None else test.y, classes=data.names)
        if isinstance(model, GenerativeModel):
            side = 20 if not data.own_scales else COLUMNS
            own = None if isinstance(getattr(model, "prior", None), StandardNormal) else codes
            shown.pictures["manifold"] = by_kind.grid(manifold(model, side, model.device, own), side, data)


def show_drawn_codes(shown: Portfolio) -> None:
    """Images: lines between codes drawn from p(h)."""
    assert isinstance(shown.model, DrawsCodes)
    if shown.model.data.on_grid:
        lines = interpolation_of_draws(shown.model, shown.seed)
        shown.show_paths("interpolation", lines, COLUMNS, titles_of_pairs(len(lines) // COLUMNS), BETWEEN)


def show_discriminator(shown: Portfolio) -> None:
    """Data of one or two components: D beside the optimal D*."""
    assert isinstance(shown.model, Discriminates)
    data = shown.model.data
    if shown.test is not None and shown.samples is not None and data.dim <= 2 and not data.on_grid:
        shown.pictures["discriminator"] = discriminator(shown.model, shown.test.x, shown.samples)


def show_density_maps(shown: Portfolio) -> None:
    """Data of two components: density and score."""
    if shown.dataset is not None and shown.test is not None:
        shown.pictures |= density_and_score_maps(
            shown.model,
            shown.dataset,
            shown.seed,
            shown.test.x,
            shown.samples,
            side=160,
            draws=50,
            integrate_flow=True,
        )


PARTS: list[tuple[Callable[[object], bool], Callable[[Portfolio], None]]] = [
    (able(GenerativeModel), show_samples),
    (classifies, show_classification),
    (able(Reconstructs), show_reconstructions),
    (able(HasSpectrum), show_principal_axes),
    (able(Model), show_chains),
    (able(HasLevels), show_levels),
    (able(Encodes), show_codes),
    (able(DrawsCodes), show_drawn_codes),
    (able(Discriminates), show_discriminator),
    (able(Model), show_density_maps),
]
"""The ability that a model needs, and the function that shows it. Pictures come in this order."""


@torch.no_grad()
def portfolio(
    model: Model, dataset: Dataset | None, n: int, seed: int, **options: Any
) -> tuple[dict[str, Picture], dict[str, npt.NDArray[Any]]]:
    """Pictures by name, and arrays of the same names: everything that `genlab sample` shows of a model in evaluation mode.

    `n` is the number of samples, `options` are keyword arguments of the family's sample_loop. The arrays hold all n samples.
    """
    shown = Portfolio(model, dataset, n, seed, options)
    shown.test = None if dataset is None else held_out(dataset, POINTS, seed, model.device)
    shows = [show for is_able, show in PARTS if is_able(model)]
    with step("pictures", len(shows), steady=False) as doing:
        for number, show in enumerate(shows):
            doing.at(number)
            show(shown)
    return shown.pictures, shown.arrays
