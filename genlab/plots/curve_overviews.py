"""Many curves in one panel: all samples beside the data with mean and spread, and walks through a space of codes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots.charts import drawn
from genlab.plots.curve_panels import HEIGHT, WIDTH, Series, legend, needs_legend, paint_panels
from genlab.plots.curve_scales import Scales
from genlab.plots.images import Picture
from genlab.plots.style import COLOURS, INK, SETTINGS

OVERLAID = 60  # curves over each other
MULTIPLES = 30  # panels below
MOST_ROWS = 4  # of channels
STEPS = "viridis"


def overview(kinds: Mapping[str, Tensor], data: DataSpec, columns: int) -> Picture:
    """Curves (n, C, L) of each kind over each other, with mean and standard deviation, and below the first of the last kind.

    A row for each channel, and the same axes for all kinds.
    """
    import matplotlib as mpl

    rows = min(MOST_ROWS, data.shape[0])
    name, last = list(kinds.items())[-1]
    few = last[: MULTIPLES // columns * columns]
    ends = {kind: mean_and_spread(x) for kind, x in kinds.items()}
    scales = Scales.of(data, *(x[:OVERLAID] for x in kinds.values()), *ends.values())
    series = [Series(name, few)]
    below = -(-len(few) // columns) * (WIDTH / columns) * HEIGHT + (0.75 if needs_legend(series, scales) else 0.45)

    def paint(figure: Any) -> None:
        top, bottom = figure.subfigures(2, 1, height_ratios=[2.0 * rows + 0.4, below])
        grid = top.subplots(rows, len(kinds), sharex=True, sharey="row", squeeze=False)
        for column, (kind, x) in enumerate(kinds.items()):
            values, band = scales.in_units(x[:OVERLAID]), scales.in_units(ends[kind])
            for channel in range(rows):
                axes = grid[channel, column]
                _overlay(axes, values[:, channel], band[:, channel], channel if rows > 1 else 0)
                axes.set_ylim(scales.low[channel], scales.high[channel])
                if column == 0:
                    axes.set_ylabel(scales.channel_names[channel] if data.shape[0] > 1 else "value")
            grid[0, column].set_title(
                f"{kind}: {min(OVERLAID, len(x))} of {len(x):,}, mean ± standard deviation", fontsize=9
            )
            grid[-1, column].set_xlabel("point")
        paint_panels(bottom.add_subplot(), series, columns, scales)
        legend(bottom, series, scales)

    with mpl.rc_context(SETTINGS):
        return drawn(paint, (WIDTH, 2.0 * rows + 0.4 + below))


def mean_and_spread(x: Tensor) -> Tensor:
    """Mean less the standard deviation, mean, and mean plus it, of curves x (n, C, L): (3, C, L)."""
    mean, std = x.mean(0), x.std(0, correction=0)
    return torch.stack([mean - std, mean, mean + std])


def _overlay(axes: Any, values: Any, band: Any, channel: int) -> None:
    """Curves (n, L), and what `mean_and_spread` says of all, (3, L)."""
    from matplotlib.collections import LineCollection

    points = np.arange(values.shape[1])
    lines = [np.stack([points, one], 1) for one in values]
    axes.add_collection(LineCollection(lines, colors=COLOURS[channel % len(COLOURS)], linewidths=0.6, alpha=0.35))
    axes.fill_between(points, band[0], band[2], color=INK, alpha=0.12, linewidth=0, zorder=3)
    axes.plot(points, band[1], color=INK, linewidth=1.6, zorder=4)
    axes.set_xlim(0, max(1, len(points) - 1))


def walks(x: Tensor, data: DataSpec, titles: Sequence[str], ends: tuple[str, str]) -> Picture:
    """Curves (rows, steps, C, L): a panel for each row, whose steps are coloured from the first to the last, named by `ends`."""
    import matplotlib as mpl

    scales = Scales.of(data, x.flatten(0, 1))
    rows, steps, channels, points = x.shape
    shown = min(MOST_ROWS, channels)
    columns = min(5, rows)
    lines = -(-rows // columns) * shown
    values = scales.in_units(x.flatten(0, 1)).reshape(rows, steps, channels, points)

    def paint(figure: Any) -> None:
        colours = mpl.colormaps[STEPS](np.linspace(0, 0.92, steps))
        grid = figure.subplots(lines, columns, sharex=True, squeeze=False)
        for axes in grid.flat:
            axes.set_visible(False)
        for row in range(rows):
            for channel in range(shown):
                axes = grid[row // columns * shown + channel, row % columns]
                axes.set_visible(True)
                for step in range(steps):
                    axes.plot(values[row, step, channel], color=colours[step], linewidth=1)
                axes.set_ylim(scales.low[channel], scales.high[channel])
                axes.set_xlim(0, max(1, points - 1))
                axes.tick_params(labelleft=row % columns == 0)
                if channel == 0:
                    axes.set_title(titles[row], fontsize=8)
                if row % columns == 0:
                    axes.set_ylabel(scales.channel_names[channel] if channels > 1 else "value")
                if row + columns >= rows and channel == shown - 1:
                    axes.set_xlabel("point")
                    axes.tick_params(labelbottom=True)
        if scales.note:
            figure.supxlabel(scales.note, fontsize=8)
        of = mpl.cm.ScalarMappable(mpl.colors.Normalize(0, 1), mpl.colors.ListedColormap(colours))
        bar = figure.colorbar(of, ax=grid, ticks=[0, 1], aspect=40, pad=0.01)
        bar.ax.set_yticklabels(ends)
        bar.outline.set_linewidth(0.4)

    with mpl.rc_context(SETTINGS):
        return drawn(paint, (2.2 * columns + 1.0, 1.5 * lines + 0.5))
