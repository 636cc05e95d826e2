"""Vectors as points, in planes of two components each. Arrays in, pictures out."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots.charts import drawn
from genlab.plots.images import Picture

LONGEST_NAME = 30  # of a component beside an axis
MOST_PLANES = 10  # all pairs of five components, or twenty components
MOST_CLASSES = 8  # that have a colour
LETTERS = 11  # of a legend in an inch
TICKS = 5  # along an axis


def planes_of(dim: int) -> list[tuple[int, ...]]:
    """Pairs of components, MOST_PLANES at most: all pairs where those are few, else pairs of neighbours that show each once."""
    if dim == 1:
        return [(0,)]
    every: list[tuple[int, ...]] = list(combinations(range(dim), 2))
    if len(every) <= MOST_PLANES:
        return every
    neighbours: list[tuple[int, ...]] = [(i, i + 1) for i in [*range(0, dim - 1, 2), *([dim - 2] if dim % 2 else [])]]
    return neighbours[:MOST_PLANES]


def scatter(series: Mapping[str, Tensor], data: DataSpec, labels: Mapping[str, Tensor | None] | None = None) -> Picture:
    """Vectors (n, D) of several kinds, in the units of the user, in planes of two components each (a histogram where D = 1).

    As many points are drawn of each kind, the first ones, with those of the first kind as circles over the others. `labels` are
    the classes of the vectors, (n,) by kind: where all kinds have them, and there are few, the colours are those of the classes.
    """
    planes = planes_of(data.dim)
    columns = min(3 if len(planes) <= 9 else 5, len(planes))
    rows = -(-len(planes) // columns)
    side = 4 if columns <= 3 else 3  # inches
    shown = max(planes[-1]) + 1
    title = f"the first {shown} of {data.dim} components" if shown < data.dim else None
    points = {name: np.asarray(data.in_units(x.detach().float().cpu())) for name, x in series.items()}

    def paint(figure: Any) -> None:
        for k, plane in enumerate(planes):
            axes = figure.add_subplot(rows, columns, k + 1)
            if len(plane) == 1:
                for name, x in points.items():
                    axes.hist(x[:, 0], bins=60, density=True, histtype="step", label=name)
            else:
                paint_points(axes, {name: x[:, list(plane)] for name, x in points.items()}, _classes(series, labels))
            _name_axes(axes, plane, data)
            axes.locator_params(nbins=TICKS)
            axes.ticklabel_format(scilimits=(-3, 5))
        handles, names = (
            _legend(points, data, _classes(series, labels)) if data.dim > 1 else axes.get_legend_handles_labels()
        )
        beside = int(LETTERS * side * columns / (6 + max(map(len, names))))
        figure.legend(handles, names, loc="outside upper center", ncols=max(1, beside), fontsize=9, title=title)

    return drawn(paint, (side * columns, side * rows + 0.3), dpi=100)


def paint_points(
    axes: Any, points: Mapping[str, npt.NDArray[Any]], classes: Mapping[str, npt.NDArray[Any]] | None = None
) -> None:
    """Points (n, 2) by kind, as many of each, the first kind as circles over dots; `classes` (n,) give colours."""
    n = min(map(len, points.values()))
    size = float(np.clip(6000 / max(n, 1), 5, 16))
    for k, (name, x) in enumerate(points.items()):
        colours = [f"C{k}"] * n if classes is None else [f"C{c % 10}" for c in classes[name][:n]]
        if k == 0 and len(points) > 1:
            axes.scatter(
                *x[:n].T, s=1.3 * size, facecolors="none", edgecolors=colours, linewidths=0.7, zorder=3, label=name
            )
        else:
            axes.scatter(*x[:n].T, s=size, color=colours, alpha=0.5, linewidths=0, zorder=2, label=name)


def _classes(
    series: Mapping[str, Tensor], labels: Mapping[str, Tensor | None] | None
) -> dict[str, npt.NDArray[Any]] | None:
    """The classes of each kind; None where one has none, or where they are too many for colours."""
    found = {name: y.cpu().numpy() for name in series if labels and (y := labels.get(name)) is not None}
    if len(found) < len(series) or not 2 <= len(np.unique(np.concatenate(list(found.values())))) <= MOST_CLASSES:
        return None
    return found


def _legend(
    points: Mapping[str, npt.NDArray[Any]], data: DataSpec, classes: Mapping[str, npt.NDArray[Any]] | None
) -> tuple[list[Any], list[str]]:
    """The kinds of points with their numbers, and the classes."""
    from matplotlib.lines import Line2D

    n = min(map(len, points.values()))
    handles, names = [], []
    for k, (name, x) in enumerate(points.items()):
        colour = f"C{k}" if classes is None else "0.3"
        face = "none" if k == 0 and len(points) > 1 else colour
        handles.append(Line2D([], [], linestyle="", marker="o", markersize=5, color=colour, markerfacecolor=face))
        names.append(name if len(x) == n else f"{name} ({n:,} of {len(x):,})")
    if classes is not None:
        for c in np.unique(np.concatenate([found[:n] for found in classes.values()])).tolist():
            handles.append(Line2D([], [], linestyle="", marker="s", markersize=6, color=f"C{c % 10}"))
            names.append(data.names[c] if 0 <= c < len(data.names) else str(c))
    return handles, names


def _name_axes(axes: Any, plane: Sequence[int], data: DataSpec) -> None:
    """The components of a plane as the user calls them, else as x_1, x_2, ..."""
    names = data.component_names
    if names is None:
        labels = [f"$x_{{{k + 1}}}$" for k in plane]
    else:
        labels = [names[k] if len(names[k]) <= LONGEST_NAME else names[k][: LONGEST_NAME - 1] + "…" for k in plane]
    axes.set_xlabel(labels[0], parse_math=names is None)
    axes.set_ylabel(labels[1] if len(labels) == 2 else "density", parse_math=names is None)
