"""Pictures of several bands (any number of channels but the 1 of grey and the 3 of colour ones), band by band in grey.

The bands of an example stand below each other. Band b is black at m_b - 2 s_b and white at m_b + 2 s_b, where m_b and s_b are its
mean and its standard deviation over the training split; both ends are written beside it. Binary data are black at 0, white at 1.
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

SPREADS = 2.0
TILE = 40  # least side of a band on the screen, in pixels
COLOURS_OF_KINDS = ("0.55", "#0072b2")
SEPARATOR = 200  # grey level of the line between examples


def band_ranges(data: DataSpec) -> tuple[Tensor, Tensor]:
    """Black and white of each band, (C,) each, in the values that models see."""
    if data.support == "binary":
        return torch.zeros(data.shape[0]), torch.ones(data.shape[0])
    mean, std = data.mean.flatten(1).double(), data.std.flatten(1).double()
    middle = mean.mean(1)
    spread = (std.square().mean(1) + mean.var(1, unbiased=False)).sqrt().clamp_min(1e-12)
    return middle - SPREADS * spread, middle + SPREADS * spread


def bands(
    images: Tensor,
    columns: int,
    data: DataSpec,
    labels: Sequence[str] = (),
    ranges: tuple[Tensor, Tensor] | None = None,
) -> Picture:
    """Images (n, C, H, W), `columns` in a row, each band in a line of its own; `labels` name the rows of examples."""
    low, high = ranges or band_ranges(data)
    n, channels, height, width = images.shape
    spread = (high - low)[:, None, None]
    levels = ((images.detach().double().cpu() - low[:, None, None]) / spread).clamp(0, 1)
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
    return labelled(canvas, _line_labels(rows, data, low, high, labels, weights=ranges is not None))


def _line_labels(
    rows: int, data: DataSpec, low: Tensor, high: Tensor, labels: Sequence[str], *, weights: bool
) -> list[str]:
    """The name of each line of the figure, and in its first lines what is black and what is white."""
    names = channel_names(data)
    ends = [f"{black:.3g} to {white:.3g}" for black, white in zip(*_in_units(low, high, data, weights), strict=True)]
    found = []
    for row in range(rows):
        for band, name in enumerate(names):
            before = f"{labels[row]}, " if labels and band == 0 else ""
            found.append(before + name + (f": {ends[band]}" if row == 0 else ""))
    return found


def _in_units(low: Tensor, high: Tensor, data: DataSpec, weights: bool) -> tuple[list[float], list[float]]:
    if weights or data.units is None:
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
