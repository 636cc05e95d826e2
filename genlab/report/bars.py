"""Figures of the measures: every measure with its error bars, and cost against quality."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from genlab.metrics.rounding import plain, rounded
from genlab.plots.style import FAINT, INK, Drawing, colour, figure, line, marker, save
from genlab.report.contexts import context
from genlab.report.measures import BY_CLASS, COST, LIKELIHOOD, QUALITY, TRAINING, Measure, short_unit
from genlab.report.rows import Cell, Row, aggregate, cells
from genlab.report.side_by_side import draw_all
from genlab.report.tables import Column, MetricTable

MOST_LABELS = 12  # rows written beside their points; beyond that their numbers are
LABEL_ROOM = 22  # characters of a label on one line


@dataclass(frozen=True)
class MetricDrawing:
    group: str
    drawing: Drawing


def draw_measures(tables: Sequence[MetricTable], folder: Path) -> list[MetricDrawing]:
    """One figure a measure that at least two rows have: value and error bar a row, floor and baseline as lines."""
    groups: list[str] = []
    tasks: dict[str, Callable[[], Drawing]] = {}  # by the name of the file
    for table in tables:
        several = len({str(other.context) for other in tables if other.group == table.group}) > 1
        for j, column in enumerate(table.columns):
            points = [(row.row, cell) for row in table.lines if (cell := row.cells[j]) is not None]
            if table.group in (COST, TRAINING, BY_CLASS) or len(points) < 2:
                continue
            name = base = f"measure_{_slug(column.name)}" + (
                f"_{_slug(column.kind)}" if table.group == LIKELIHOOD else ""
            )
            k = 2
            while name in tasks:
                name, k = f"{base}_{k}", k + 1
            references = [(r.label, cell) for r in table.references if (cell := r.cells[j]) is not None]
            groups.append(table.group)
            tasks[name] = partial(_dots, points, references, column, table, several, folder, name)
    drawings = draw_all(list(tasks.values()), "figures of the measures")
    return [MetricDrawing(group, drawing) for group, drawing in zip(groups, drawings, strict=True)]


def _dots(
    points: Sequence[tuple[Row, Cell]],
    references: Sequence[tuple[str, Cell]],
    column: Column,
    table: MetricTable,
    several: bool,
    folder: Path,
    name: str,
) -> Drawing:
    lines = sum(1 + 0.6 * _wrapped(row.label).count("\n") for row, _ in points)
    with figure(0.62 + 0.19 * lines + 0.17 * len(references)) as drawn:
        axes = drawn.add_subplot()
        for y, (row, cell) in enumerate(points):
            hue = colour(row.number)
            axes.errorbar(
                cell.value,
                y,
                xerr=cell.error,
                color=hue,
                marker=marker(row.number),
                markersize=4.5,
                capsize=2,
                elinewidth=1,
            )
        low, high = axes.get_xlim()
        for (label, cell), dashes in zip(references, ((0, (4, 2)), (0, (1, 1.5))), strict=False):
            near = low - 1.5 * (high - low) < cell.value < high + 1.5 * (high - low)
            name_only = label.partition(" (")[0]
            text = label if near else f"{name_only} at {plain(rounded(cell.value, cell.error), '−')}"
            if near:
                axes.axvline(cell.value, color=FAINT, linestyle=dashes, linewidth=1, label=text)
            else:
                axes.plot([], [], color=FAINT, linestyle=dashes, linewidth=1, label=text)
        axes.set_yticks(range(len(points)), [_wrapped(row.label) for row, _ in points])
        axes.set_ylim(len(points) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        arrow = {"lower": ", lower is better", "higher": ", higher is better"}.get(column.better, "")
        kind = f", {column.kind}" if column.kind and table.group == LIKELIHOOD else ""
        unit = f" ({short_unit(column.unit)})" if short_unit(column.unit) else ""
        axes.set_xlabel(
            f"{column.label}{kind}{unit}{arrow}" if len(column.label + kind + unit) < 24 else column.label + unit
        )
        axes.locator_params(axis="x", nbins=5)
        if references:
            drawn.legend(loc="outside lower center", fontsize=7.5)
        where = f"; {table.context}" if several else ""
        return save(drawn, folder, name, f"{column.label}{kind}{unit}{arrow}{where}")


def draw_cost(rows: Sequence[Row], tables: Sequence[MetricTable], folder: Path) -> list[Drawing]:
    """Training time, and time to sample an image, against the first measure of quality that at least two rows share."""
    drawings: list[Drawing] = []
    for table in tables:
        shared = [j for j in range(len(table.columns)) if sum(line.cells[j] is not None for line in table.lines) > 1]
        if table.group not in (QUALITY, LIKELIHOOD) or not shared:
            continue
        if table.group == LIKELIHOOD and any(
            t.group == QUALITY and t.context.dataset == table.context.dataset for t in tables
        ):
            continue  # a likelihood stands in only where no sample measure was made
        j = shared[0]
        quality = [(line.row, cell) for line in table.lines if (cell := line.cells[j]) is not None]
        for name, label in (
            ("training_seconds", "training time (s)"),
            ("sampling_images_per_s", "sampling time (ms/image)"),
        ):
            points = []
            for row, cell in quality:
                cost = aggregate(_costs(row, name, table))
                if cost is not None and cost.value > 0:
                    points.append((row, cost, cell))
            if len(points) > 1:
                title = f"{table.columns[j].label} against {label.partition(' (')[0]}"
                suffix = "" if not drawings else f"_{len(drawings) + 1}"
                slug = f"cost_{_slug(name)}_{_slug(table.columns[j].name)}{suffix}"
                drawings.append(_scatter(points, label, table.columns[j], folder, slug, f"{title}; {table.context}"))
    return drawings


def _costs(row: Row, name: str, table: MetricTable) -> list[Measure]:
    found = cells(row, name, lambda run: context(run, table.group) == table.context)
    if name == "sampling_images_per_s":  # a rate becomes a time, and its error with it
        found = [
            Measure(1e3 / m.value, None if m.stderr is None else 1e3 * m.stderr / m.value**2)
            for m in found
            if m.value > 0
        ]
    return found


def _scatter(
    points: Sequence[tuple[Row, Cell, Cell]], label: str, column: Column, folder: Path, name: str, caption: str
) -> Drawing:
    with figure(2.6) as drawn:
        axes = drawn.add_subplot()
        axes.set_xscale("log")
        for row, cost, cell in points:
            axes.errorbar(
                cost.value,
                cell.value,
                xerr=cost.error,
                yerr=cell.error,
                color=colour(row.number),
                marker=marker(row.number),
                markersize=5,
                capsize=2,
                elinewidth=0.9,
                linestyle="none",
            )
        axes.set_xlabel(label)
        arrow = {"lower": " (lower is better)", "higher": " (higher is better)"}.get(column.better, "")
        unit = f" ({short_unit(column.unit)})" if short_unit(column.unit) else ""
        axes.set_ylabel(f"{column.label}{unit}{arrow}")
        _log_ticks(axes, [cost.value for _, cost, _ in points])
        axes.margins(0.18, 0.15)
        texts = {row.number: row.label if len(points) <= MOST_LABELS else str(row.number) for row, _, _ in points}
        _label(drawn, axes, [(cost, cell, texts[row.number]) for row, cost, cell in points])
        return save(drawn, folder, name, caption)


def _log_ticks(axes: Axes, values: Sequence[float]) -> None:
    """Plain numbers: at the decades, or at round values where there is not even one decade."""
    if max(values) < 8 * min(values):
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _label(drawn: Figure, axes: Axes, points: Sequence[tuple[Cell, Cell, str]]) -> None:
    """Write each label beside its point, on the side where it meets no point, no error bar and no other label."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()  # settles the layout
    renderer: Any = canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    taken = [box for x, y, _ in points for box in _bars(axes, x, y)]
    sides = [(6, 0, "left", "center"), (-6, 0, "right", "center"), (0, 6, "center", "bottom"), (0, -6, "center", "top")]
    sides += [(4, 4, "left", "bottom"), (4, -4, "left", "top"), (-4, 4, "right", "bottom"), (-4, -4, "right", "top")]
    for x_cell, y_cell, text in points:
        x, y = x_cell.value, y_cell.value
        boxes: list[tuple[float, int, Any]] = []
        for dx, dy, across, up in sides:
            note = axes.annotate(
                _wrapped(text), (x, y), (dx, dy), textcoords="offset points", ha=across, va=up, fontsize=7.5, color=INK
            )
            box = note.get_window_extent(renderer)
            note.remove()
            outside = max(0.0, box.x1 - frame.x1) + max(0.0, frame.x0 - box.x0)
            outside += max(0.0, box.y1 - frame.y1) + max(0.0, frame.y0 - box.y0)
            boxes.append((sum(box.overlaps(other) for other in taken) + outside, len(boxes), box))
        _, side, box = min(boxes, key=lambda entry: entry[:2])
        dx, dy, across, up = sides[side]
        axes.annotate(_wrapped(text), (x, y), (dx, dy), textcoords="offset points", ha=across, va=up, fontsize=7.5)
        taken.append(box)


def _bars(axes: Axes, x: Cell, y: Cell) -> list[Bbox]:
    """Where a point and its two error bars lie, in pixels."""
    dx, dy = x.error or 0.0, y.error or 0.0
    corners = [
        (max(x.value - dx, 0.3 * x.value), y.value),
        (x.value + dx, y.value),
        (x.value, y.value - dy),
        (x.value, y.value + dy),
    ]
    (left, middle), (right, _), (centre, low), (_, high) = axes.transData.transform(corners)
    across = Bbox.from_extents(left - 4, middle - 4, right + 4, middle + 4)
    return [across, Bbox.from_extents(centre - 4, low - 4, centre + 4, high + 4)]


def draw_legend(rows: Sequence[Row], folder: Path) -> Drawing:
    """Every row with its number, line and marker: for figures that have no room for a legend."""
    with figure(0.2 + 0.175 * len(rows)) as drawn:
        handles = [
            Line2D([], [], color=colour(r.number), linestyle=line(r.number), marker=marker(r.number), markersize=4.5)
            for r in rows
        ]
        drawn.legend(handles, [f"{row.number}  {row.label}" for row in rows], loc="center")
        return save(drawn, folder, "legend", "rows and their colours")


def _wrapped(label: str) -> str:
    """The label on as many lines as it needs: what tells rows apart may stand at its end."""
    return "\n".join(textwrap.wrap(label, LABEL_ROOM, break_long_words=True, break_on_hyphens=False)) or label


def _slug(text: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in text.lower()).split())
