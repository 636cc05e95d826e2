"""The comparison as a table in the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genlab.metrics.rounding import plain, rounded
from genlab.report.documents import ARROWS
from genlab.report.measures import short_unit
from genlab.report.tables import MARKS, MetricTable, why_apart

STYLES = {"best": "[bold green]{}[/]", "tie": "{} ≈", "": "{}"}


def show(tables: Sequence[MetricTable], title: str, console: Console) -> None:
    """Print the overview, one table a context."""
    console.print(f"[bold]{escape(title)}[/]")
    hidden = False
    for metrics in tables:
        count = len(metrics.columns)
        unbounded = console.options.update(max_width=10_000)
        while count > 1 and console.measure(_table(metrics, count), options=unbounded).maximum > console.width:
            count -= 1
        hidden = hidden or count < len(metrics.columns)
        console.print(_table(metrics, count))
        for remark in metrics.remarks:
            console.print(remark, style="yellow", markup=False)
    if hidden:
        console.print("There are more measures than fit here: see the files below.", style="dim")
    if apart := why_apart(tables):
        console.print(apart, style="yellow", markup=False)
    console.print(MARKS, style="dim", markup=False)


def _table(metrics: MetricTable, count: int) -> Table:
    """The first `count` measures of a table."""
    table = Table(title=escape(metrics.caption), title_justify="left", box=None, pad_edge=False)
    table.add_column("row", no_wrap=True)
    if metrics.shows_representation:
        table.add_column("representation")
    table.add_column("seeds", justify="right")
    for column in metrics.columns[:count]:
        kind = column.kind if column.kind not in ("statistic", "cost") else ""
        below = "\n".join(text for text in (kind, short_unit(column.unit)) if text)
        head = f"{column.label} {ARROWS.get(column.better, '')}".strip()
        table.add_column(escape(f"{head}\n{below}" if below else head), justify="right", no_wrap=True)
    for line in metrics.lines:
        cells = [plain(rounded(cell.value, cell.error) if cell else None) for cell in line.cells[:count]]
        marked = [STYLES[mark].format(text) for text, mark in zip(cells, line.marks, strict=False)]
        seen = [escape(line.representation)] if metrics.shows_representation else []
        table.add_row(escape(line.label), *seen, str(line.seeds), *marked)
    for reference in metrics.references:
        cells = [plain(rounded(cell.value, cell.error) if cell else None) for cell in reference.cells[:count]]
        seen = [""] if metrics.shows_representation else []
        table.add_row(f"[italic]{reference.label}[/]", *seen, "", *cells, style="dim")
    return table
