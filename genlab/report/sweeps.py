"""Figures of what was swept: a measure against a key with numbers for values, one curve for each choice of the other keys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from genlab.plots.style import Drawing, colour, figure, line, marker, save
from genlab.report.measures import TRAINING, definition, short_unit
from genlab.report.row_labels import short
from genlab.report.rows import Cell, Row
from genlab.report.side_by_side import draw_all
from genlab.report.tables import RANKED, Column, MetricTable

LEAST_VALUES = 3  # of a key, for a curve
MOST_CURVES = 8
WIDE = 8.0  # ratio of the largest value to the smallest from which an axis is logarithmic


@dataclass(frozen=True)
class Curve:
    """Values of a measure at ascending values of the key."""

    label: str
    points: list[tuple[float, Cell]]


def draw_sweeps(rows: Sequence[Row], keys: Sequence[str], tables: Sequence[MetricTable], folder: Path) -> list[Drawing]:
    """A figure for every key among `keys`, in which rows differ, and every measure that has a better direction."""
    tasks: dict[str, Callable[[], Drawing]] = {}  # by the name of the file
    ranked = [table for table in tables if table.group in RANKED]
    for key in keys:
        if sum(value is not None for value in {number_of(row, key) for row in rows}) < LEAST_VALUES:
            continue
        for table in ranked or [table for table in tables if table.group == TRAINING]:
            for j, column in enumerate(table.columns):
                better = column.better or definition(column.name.removeprefix("test/")).better
                cells = [(entry.row, cell) for entry in table.lines if (cell := entry.cells[j]) is not None]
                curves = make_curves(cells, key, keys)
                if better and 0 < len(curves) <= MOST_CURVES and "_class_" not in column.name:  # not one for each class
                    base = f"sweep_{_slug(column.name)}_{_slug(key)}"
                    name = next(
                        n for k in range(len(tasks) + 1) if (n := f"{base}_{k + 1}" if k else base) not in tasks
                    )
                    tasks[name] = partial(_draw, curves, key, column, better, folder, name)
    return draw_all(list(tasks.values()), "figures of the sweep")


def make_curves(cells: Sequence[tuple[Row, Cell]], key: str, keys: Sequence[str]) -> list[Curve]:
    """Curves over the numbers that `key` takes, one for each choice of the other `keys`; none where all are too short."""
    others = [other for other in keys if other != key]
    groups: dict[tuple[str, ...], list[tuple[float, Cell]]] = {}
    for row, cell in cells:
        x = number_of(row, key)
        if x is not None:
            groups.setdefault(tuple(row.settings.get(other, "") for other in others), []).append((x, cell))
    varied = [i for i in range(len(others)) if len({choice[i] for choice in groups}) > 1]
    curves = []
    for choice, points in groups.items():
        label = ", ".join(f"{short(others[i], others)}={choice[i]}" for i in varied if choice[i])
        curves.append(Curve(label, sorted(points, key=lambda point: point[0])))
    return curves if any(len(curve.points) >= LEAST_VALUES for curve in curves) else []


def number_of(row: Row, key: str) -> float | None:
    """The value of a key in a row, where it is a number."""
    try:
        return float(row.settings.get(key, ""))
    except ValueError:
        return None


def _draw(curves: Sequence[Curve], key: str, column: Column, better: str, folder: Path, name: str) -> Drawing:
    legend = [curve for curve in curves if curve.label]
    with figure(2.35 + 0.17 * len(legend)) as drawn:
        axes = drawn.add_subplot()
        for k, curve in enumerate(curves, 1):
            axes.errorbar(
                [x for x, _ in curve.points],
                [cell.value for _, cell in curve.points],
                yerr=[cell.error or 0.0 for _, cell in curve.points],
                color=colour(k),
                marker=marker(k),
                linestyle=line(k),
                markersize=4,
                capsize=2,
                elinewidth=0.9,
                label=curve.label or None,
            )
        _ticks(axes, sorted({x for curve in curves for x, _ in curve.points}))
        unit = f" ({short_unit(column.unit)})" if short_unit(column.unit) else ""
        axes.set_xlabel(key)
        axes.set_ylabel(f"{column.label}{unit}")
        if legend:
            drawn.legend(loc="outside lower center")
        kind = f", {column.kind}" if column.kind else ""
        return save(drawn, folder, name, f"{column.label}{kind}{unit} against {key}, {better} is better")


def _ticks(axes: Axes, values: Sequence[float]) -> None:
    """Ticks at the values themselves where they are few."""
    if values[0] > 0 and values[-1] >= WIDE * values[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= MOST_CURVES:
        axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}" if 1e-3 <= abs(x) < 1e6 else f"{x:g}"))


def _slug(text: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
