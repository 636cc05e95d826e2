"""The comparison as tables in the terminal, each as wide as fits; measures that do not fit stand in a further one below."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from genlab.metrics.rounding import plain, rounded
from genlab.report.documents import ARROWS
from genlab.report.rows import Cell
from genlab.report.tables import MARKS, MetricTable, why_apart

STYLES = {"best": "[bold green]{}[/]", "tie": "{} ≈", "": "{}"}
LEAST_LABEL = 16  # characters of a label on a line, before it goes on in the next


def show(tables: Sequence[MetricTable], title: str, console: Console) -> None:
    """Print the overview: a table a context, and as many below it as the width of the terminal asks for."""
    console.print(f"[bold]{escape(title)}[/]")
    caption = ""
    for metrics in tables:
        if metrics.caption != caption:
            caption = metrics.caption
            console.print(f"[italic]{escape(caption)}[/]")
        first = 0
        while first < len(metrics.columns):
            last = len(metrics.columns)
            while last > first + 1 and not _fits(_table(metrics, first, last, console.width), console):
                last -= 1
            console.print(_table(metrics, first, last, console.width), soft_wrap=False)
            console.print()
            first = last
        for remark in metrics.remarks:
            console.print(remark, style="yellow", markup=False, soft_wrap=False)
    if apart := why_apart(tables):
        console.print(apart, style="yellow", markup=False, soft_wrap=False)
    console.print(MARKS, style="dim", markup=False, soft_wrap=False)


def _fits(table: Table, console: Console) -> bool:
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width


def _table(metrics: MetricTable, first: int, last: int, width: int) -> Table:
    """Measures `first` to `last` of a table. A label takes a third of the width at most, and goes on in the next line."""
    table = Table(box=None, pad_edge=False)
    table.add_column("row", max_width=max(LEAST_LABEL, width // 3), overflow="fold")
    seeds = metrics.several_seeds
    if seeds:
        table.add_column("seeds", justify="right")
    shown = range(first, last)
    noted = {j for j in shown if any(cell and cell.note for line in metrics.lines if (cell := line.cells[j]))}
    for j in shown:
        column = metrics.columns[j]
        below = "\n".join(column.details)
        head = f"{column.label} {ARROWS.get(column.better, '')}".strip()
        table.add_column(escape(f"{head}\n{below}" if below else head), justify="right", no_wrap=True)
        if j in noted:
            table.add_column("", no_wrap=True, style="dim")

    def words(cells: Sequence[Cell | None], marks: Sequence[str]) -> list[str]:
        found = []
        for j in shown:
            cell = cells[j]
            found.append(STYLES[marks[j]].format(plain(rounded(cell.value, cell.error) if cell else None)))
            if j in noted:
                found.append(escape(cell.note) if cell else "")
        return found

    for heading, lines in metrics.parts:
        if heading:
            table.add_row(f"[italic dim]{escape(heading)}[/]")
        for line in lines:
            table.add_row(escape(line.label), *([str(line.seeds)] if seeds else []), *words(line.cells, line.marks))
    for reference in metrics.references:
        cells = words(reference.cells, [""] * len(metrics.columns))
        table.add_row(f"[italic]{reference.label}[/]", *([""] if seeds else []), *cells, style="dim")
    return table
