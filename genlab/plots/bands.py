"""Pictures of several bands (any number of channels but the 1 of grey and the 3 of colour ones), band by band in grey.

The bands of an example stand below each other. A band is black at the 0.5 % quantile of its values and white at the 99.5 % one:
of the test data that the picture shows or is given, and of all that it shows where it has none. Model and data have the same
ends, which are written beside the first lines. Binary data are black at 0, white at 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots.charts import drawn, labelled
from genlab.plots.curve_scales import channel_names
from genlab.plots.images import BACKGROUND, GAP, Picture

BLACK, WHITE = 0.005, 0.995  # quantiles
TILE = 40  # least side of a band on the screen, in pixels
COLOURS_OF_KINDS = ("0.55", "#0072b2")
TWO_LINES = 28  # pixels from which a line of bands has room for two lines of text
SEPARATOR = 200  # grey level of the line between examples


def band_ranges(x: Tensor, data: DataSpec) -> tuple[Tensor, Tensor]:
    """Black and white of each band for examples x (n, C, H, W), (C,) each, in the values that models see.

    A band of which almost all values are one has its least and its largest value as ends.
    """
    channels = data.shape[0]
    if data.support == "binary":
        return torch.zeros(channels), torch.ones(channels)
    low, high = torch.zeros(channels).double(), torch.ones(channels).double()
    for band, values in enumerate(x.detach().double().cpu().transpose(0, 1).flatten(1).numpy()):
        numbers = values[np.isfinite(values)]
        if len(numbers):
            ends = np.quantile(numbers, [BLACK, WHITE])
            low[band], high[band] = ends if ends[1] > ends[0] else (numbers.min(), numbers.max())
    return low, torch.maximum(high, low + 1e-12)


def bands(
    images: Tensor,
    columns: int,
    data: DataSpec,
    labels: Sequence[str] = (),
    ranges: tuple[Tensor, Tensor] | None = None,
) -> Picture:
    """Images (n, C, H, W), `columns` in a row, each band in a line of its own; `labels` name the rows of examples.

    `ranges` are black and white of each band; None for those of the images.
    """
    low, high = ranges or band_ranges(images, data)
    n, channels, height, width = images.shape
    spread = (high - low)[:, None, None]
    levels = ((images.detach().double().cpu() - low[:, None, None]) / spread).nan_to_num(0).clamp(0, 1)
    scale = max(1, round(TILE / max(height, width)))
    tiles = (levels * 255).round().byte().repeat_interleave(scale, 2).repeat_interleave(scale, 3).numpy()
    rows = -(-n // columns)
    step_y, step_x = height * scale + GAP, width * scale + GAP
    canvas = np.full((rows * channels * step_y, columns * step_x + GAP, 3), BACKGROUND, dtype=np.uint8)
    for i in range(n):
        x = GAP + i % columns * step_x
        for band in range(channels):
            y = (i // columns * channels + band) * step_y + GAP
            canvas[y : y + height * scale, x : x + width * scale] = tiles[i, band, :, :, None]
    canvas[:: channels * step_y] = canvas[1 :: channels * step_y] = SEPARATOR
    return labelled(
        canvas, _line_labels(rows, data, low, high, labels, break_after=": " if step_y < TWO_LINES else "\n")
    )


def _line_labels(
    rows: int, data: DataSpec, low: Tensor, high: Tensor, labels: Sequence[str], break_after: str
) -> list[str]:
    """The name of each line of the figure, and in its first lines what is black and what is white."""
    names = channel_names(data)
    ends = [f"{black:.3g} to {white:.3g}" for black, white in zip(*_in_units(low, high, data), strict=True)]
    found = []
    for row in range(rows):
        for band, name in enumerate(names):
            before = f"{labels[row]}, " if labels and band == 0 else ""
            found.append(before + name + (break_after + ends[band] if row == 0 else ""))
    return found


def _in_units(low: Tensor, high: Tensor, data: DataSpec) -> tuple[list[float], list[float]]:
    if data.units is None:
        return low.tolist(), high.tolist()
    ends = (data.in_units(end[:, None, None].expand(data.shape)[None].float())[0] for end in (low, high))
    first, second = (end.flatten(1).mean(1).tolist() for end in ends)
    return first, second


def band_statistics(kinds: Mapping[str, Tensor], data: DataSpec) -> Picture:
    """Mean and standard deviation of each band, over examples (n, C, H, W) and places, for each kind of examples."""
    channels = data.shape[0]

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for k, (kind, x) in enumerate(kinds.items()):
            values = data.in_units(x.detach().float().cpu()).double().transpose(0, 1).flatten(1).numpy()
            place = np.arange(channels) + 0.16 * (k - (len(kinds) - 1) / 2)
            colour = COLOURS_OF_KINDS[k % len(COLOURS_OF_KINDS)]
            axes.errorbar(place, values.mean(1), values.std(1), fmt="o", capsize=3, color=colour, label=kind)
        axes.set_xticks(range(channels), channel_names(data), rotation=0 if channels <= 8 else 90)
        axes.set_ylabel("mean ± standard deviation")
        axes.legend()

    return drawn(paint, (max(4.5, 0.7 * channels + 1), 3.2))
