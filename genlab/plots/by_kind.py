"""Examples as their kind is drawn: images in a grid, those of many bands band by band, curves as lines. Arrays in, pictures out.

Only curves need matplotlib, which takes half a second to load: what draws them is imported where it is used.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots import images
from genlab.plots.bands import band_ranges, band_statistics, bands
from genlab.plots.charts import labelled
from genlab.plots.curve_scales import Scales
from genlab.plots.images import Picture

MOST_LINES = 10  # of bands, in a picture; twice as many where there is one kind of examples


def grid(x: Tensor, columns: int, data: DataSpec, labels: Sequence[str] = ()) -> Picture:
    """Examples (n, *shape) on a grid, row by row, always over the same range of values; `labels` name the rows."""
    if data.is_curve:
        from genlab.plots.curve_panels import Series, panels

        return panels([Series("", x)], columns, data, labels)
    if data.own_scales:
        return bands(x, columns, data, labels)
    picture = images.grid(x, columns, data)
    return labelled(picture, list(labels)) if labels else picture


def frames(states: Sequence[Tensor], columns: int, data: DataSpec) -> list[Picture]:
    """States (n, *shape) of samples on the way, a grid each: curves over the axes of all, bands as dark as those of the last."""
    if data.is_curve:
        from genlab.plots.curve_panels import Series, panels

        scales = Scales.of(data, *states)
        return [panels([Series("", x)], columns, data, scales=scales) for x in states]
    if data.own_scales:
        ends = band_ranges(states[-1], data)
        return [bands(x, columns, data, ranges=ends) for x in states]
    return [images.grid(x, columns, data) for x in states]


def samples(x: Tensor, columns: int, data: DataSpec, reference: Tensor | None = None) -> Picture:
    """Independent examples (n, *shape); of curves also all of them over each other, beside those of the `reference`.

    Bands are as dark as those of the `reference`.
    """
    if data.is_curve:
        from genlab.plots.curve_overviews import overview

        kinds = {} if reference is None else {"test data": reference}
        return overview({**kinds, "samples": x}, data, columns)
    if data.own_scales:
        known = None if reference is None else band_ranges(reference, data)
        return bands(first_rows(x, columns, data), columns, data, ranges=known)
    return images.grid(x[: columns**2], columns, data)


def statistics(x: Tensor, reference: Tensor, data: DataSpec) -> dict[str, Picture]:
    """Means and spreads of samples beside those of the `reference`, by the name of the picture: of bands, whose values are hard
    to tell from grey levels. Curves have them in the picture of the samples.
    """
    if data.is_image and data.own_scales:
        return {"bands": band_statistics({"test data": reference, "samples": x}, data)}
    return {}


def pairs(
    originals: Tensor, others: Tensor, columns: int, data: DataSpec, names: tuple[str, str] = ("data", "reconstruction")
) -> Picture:
    """Each row of originals above the row of the others; of curves both in one panel."""
    if data.is_curve:
        from genlab.plots.curve_panels import compared

        return compared(originals, others, columns, data, names)
    if data.own_scales:
        return _pairs_of_bands(originals, others, columns, data, names, known=originals)
    return images.pairs(originals, others, columns, data)


def _pairs_of_bands(
    first: Tensor, second: Tensor, columns: int, data: DataSpec, names: tuple[str, str], known: Tensor
) -> Picture:
    """Rows of `first` above rows of `second`, (n, C, H, W) each, as dark as the `known` ones."""
    few = min(len(first), max(1, MOST_LINES // data.shape[0]) * columns)
    both = zip(first[:few].split(columns), second[:few].split(columns), strict=True)
    rows = [part for pair in both for part in pair]
    labels = list(names) * (len(rows) // 2)
    return bands(torch.cat(rows), min(columns, few), data, labels, band_ranges(known[:few], data))


def neighbours(x: Tensor, nearest: Tensor, columns: int, data: DataSpec) -> Picture:
    """Samples above the training examples nearest to them; curves over these."""
    first, second = "sample", "nearest training example"
    if data.is_curve:
        return pairs(nearest, x, columns, data, (second, first))
    if data.own_scales:
        return _pairs_of_bands(x, nearest, columns, data, (first, second), known=nearest)
    return pairs(x, nearest, columns, data, (first, second))


def restored(clean: Tensor, noisy: Tensor, found: Tensor, data: DataSpec) -> Picture:
    """Rows of clean, noisy and restored examples (n, *shape) each; of curves all three in one panel."""
    if data.is_curve and data.shape[0] == 1:
        from genlab.plots.curve_panels import denoised

        return denoised(clean, noisy, found, data)
    x, labels = torch.cat([clean, noisy, found]), ["clean", "noisy", "restored"]
    if data.is_image and data.own_scales:
        return bands(x, len(clean), data, labels, band_ranges(clean, data))
    return grid(x, len(clean), data, labels)


def paths(x: Tensor, steps: int, data: DataSpec, titles: Sequence[str], ends: tuple[str, str]) -> Picture:
    """Ways through a space of codes, (rows * steps, *shape): a row each; of curves a panel each, with the steps as colours."""
    if data.is_curve:
        from genlab.plots.curve_overviews import walks

        return walks(x.unflatten(0, (-1, steps)), data, titles, ends)
    return grid(first_rows(x, steps, data), steps, data)


def first_rows(x: Tensor, columns: int, data: DataSpec) -> Tensor:
    """Those examples (n, *shape) of rows of `columns` that a picture has room for: all but where each has many bands."""
    if data.is_image and data.own_scales:
        return x[: max(1, 2 * MOST_LINES // data.shape[0]) * columns]
    return x


def filters(weights: Tensor, columns: int, data: DataSpec) -> Picture:
    """Weights (n, *shape) over one symmetric range for all, that of 99.5 % of them: grey is 0 in images."""
    if data.is_curve:
        from genlab.plots.curve_panels import Series, panels

        return panels([Series("", weights)], columns, data, scales=Scales.symmetric(weights, data))
    if data.own_scales:
        limit = torch.full((data.shape[0],), images.usual_size(weights))
        return bands(first_rows(weights, columns, data), columns, replace(data, units=None), ranges=(-limit, limit))
    return images.filters(weights, columns, data)
