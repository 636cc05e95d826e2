"""Curves as small multiples: a panel for each example, all over the same axes. Arrays in, pictures out.

All panels of a figure lie in one pair of matplotlib's axes, a line collection for each series: a hundred axes would take seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from textwrap import wrap
from typing import Any

import numpy as np
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots.charts import drawn
from genlab.plots.curve_scales import Scales
from genlab.plots.images import Picture
from genlab.plots.style import COLOURS, FAINT, GRID, INK, SETTINGS

GAP = 0.12  # between panels, in their widths and heights
ROOM = 0.08  # below the lowest panels and above the highest ones, in the height of one
PALE = 0.6  # share of white in the colour of a series that lies behind another
WIDTH, HEIGHT = 11.0, 0.62  # of a figure, in inches, and of a panel of 10 in a row, in parts of its width
LINE, LETTERS = 0.15, 12  # inches of a line of text, and letters in an inch of it
NARROWEST = 10  # panels in a row, for which the width of a figure is made: fewer are no wider than these by a half


@dataclass(frozen=True)
class Series:
    """Curves x (n, C, L), one for each panel, and how they are drawn; `name` stands in the legend."""

    name: str
    x: Tensor
    colour: str | None = None
    """None for the colour of each channel."""
    width: float = 1.1
    pale: bool = False
    """Whether the colours of the channels are mixed with white, for a series that lies behind another."""

    def colour_of(self, channel: int) -> Any:
        from matplotlib.colors import to_rgb

        full = np.array(to_rgb(self.colour or COLOURS[channel % len(COLOURS)]))
        return tuple(PALE + (1 - PALE) * full) if self.pale else tuple(full)


def panels(
    series: Sequence[Series],
    columns: int,
    data: DataSpec,
    labels: Sequence[str] = (),
    scales: Scales | None = None,
) -> Picture:
    """Panels row by row, `columns` in a row, with `labels` at the left of the rows; `scales` None for those of the data."""
    n = len(series[0].x)
    rows = -(-n // columns)
    scales = scales or Scales.of(data, *(one.x for one in series))
    width = width_of(columns)
    height = rows * (width / columns) * HEIGHT + (0.9 if needs_legend(series, scales) else 0.6)
    height += LINE * max(0, len(wrapped(scales.note, columns)) - 1)  # the first line has room in every figure
    import matplotlib as mpl

    def paint(figure: Any) -> None:
        paint_panels(figure.add_subplot(), series, columns, scales, labels)
        legend(figure, series, scales)

    with mpl.rc_context(SETTINGS):
        return drawn(paint, (width, height))


def width_of(columns: int) -> float:
    """Of a figure of so many panels in a row, in inches."""
    return WIDTH * min(1.0, 1.5 * columns / NARROWEST)


def wrapped(note: str, columns: int) -> list[str]:
    """The lines of a note below so many panels in a row."""
    return wrap(note, int(LETTERS * (width_of(columns) - 0.6)))


def paint_panels(axes: Any, series: Sequence[Series], columns: int, scales: Scales, labels: Sequence[str] = ()) -> None:
    """The panels in `axes`, with the ends of both axes written at the lowest left one. No curve is drawn outside its panel."""
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.path import Path

    n, _, points = series[0].x.shape
    rows = -(-n // columns)
    corners = np.array([[i % columns * (1 + GAP), (rows - 1 - i // columns) * (1 + GAP)] for i in range(n)])
    box = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    frames = Path.make_compound_path(*(Path(np.vstack([at + box, at]), closed=True) for at in corners))
    axes.add_collection(PolyCollection(corners[:, None] + box, facecolors="none", edgecolors=GRID, linewidths=0.6))
    zero = scales.height_of_zero()
    if zero is not None:
        ends = corners[:, None] + np.array([[0, zero], [1, zero]])
        axes.add_collection(LineCollection(list(ends), colors=GRID, linewidths=0.5))
    for number, one in enumerate(series):
        y = scales.heights(one.x)
        along = np.linspace(0, 1, points) if points > 1 else np.array([0.5])
        for channel in range(min(y.shape[1], scales.shown)):
            lines = np.stack([np.broadcast_to(along, y[:, channel].shape), y[:, channel]], 2) + corners[:, None]
            drawing = LineCollection(
                list(lines),
                colors=[one.colour_of(channel)],
                linewidths=one.width,
                zorder=2 + number,
                capstyle="round",
            )
            axes.add_collection(drawing)
            drawing.set_clip_path(frames, axes.transData)
    axes.set_xlim(-0.02, columns * (1 + GAP) - GAP + 0.02)
    axes.set_ylim(-ROOM, rows * (1 + GAP) - GAP + ROOM)
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([0, 1], ["0", str(points - 1)])
    axes.set_xlabel("\n".join(["point", *wrapped(scales.note, columns)]), loc="left")
    if labels:
        axes.set_yticks([(rows - 1 - k) * (1 + GAP) + 0.5 for k in range(len(labels))], labels)
        low, high = scales.ends_as_text()
        axes.set_title(f"each panel from {low} to {high}", loc="right", fontsize=7.5, color=FAINT)
    else:
        axes.set_yticks([0, 1], scales.ends_as_text())
        axes.set_ylabel(scales.label, loc="bottom")


def needs_legend(series: Sequence[Series], scales: Scales) -> bool:
    return len(series) > 1 or scales.shown > 1


def legend(figure: Any, series: Sequence[Series], scales: Scales) -> None:
    """What the colours of the channels and the lines of the series mean, above the figure."""
    from matplotlib.lines import Line2D

    if not needs_legend(series, scales):
        return
    handles = []
    if scales.shown > 1:
        handles = [Line2D([], [], color=COLOURS[c % len(COLOURS)], label=name) for c, name in enumerate(scales.names())]
    if len(series) > 1:
        for one in series:
            shown = replace(one, colour=INK) if one.colour is None and scales.shown > 1 else one
            handles.append(Line2D([], [], color=shown.colour_of(0), linewidth=one.width, label=one.name))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)), fontsize=8)


def compared(originals: Tensor, others: Tensor, columns: int, data: DataSpec, names: tuple[str, str]) -> Picture:
    """Curves (n, C, L) as wide pale lines, grey where they have one channel, with their counterparts as thin ones over them."""
    single = data.shape[0] == 1
    behind = Series(names[0], originals, FAINT if single else None, 2.2 if single else 2.6, pale=not single)
    return panels([behind, Series(names[1], others, width=1.1 if single else 0.9)], columns, data)


def denoised(clean: Tensor, noisy: Tensor, restored: Tensor, data: DataSpec) -> Picture:
    """Clean, noisy and restored curves (n, 1, L) in one panel each."""
    layers = [
        Series("noisy", noisy, FAINT, 0.6),
        Series("clean", clean, INK, 1.0),
        Series("restored", restored, width=1.4),
    ]
    return panels(layers, min(5, len(clean)), data)
