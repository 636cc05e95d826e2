"""A comparison of runs as Python has it: its tables at once, its page and figures when they are written."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console

from genlab.interface.comparison import assemble, check_metrics, title, write
from genlab.interface.results import html_table
from genlab.metrics.rounding import plain, rounded
from genlab.report.csv_files import write_rows_csv
from genlab.report.find import find_runs
from genlab.report.read_runs import Failure, Run
from genlab.report.rows import make_rows
from genlab.report.tables import overview
from genlab.report.terminal import show
from genlab.tracking.own_folder import own_folder

WIDE = 140  # characters of a line


@dataclass(frozen=True, repr=False)
class Compared:
    """Runs beside each other. Those that differ in nothing but their seed are one row, with mean and spread."""

    members: list[Run]
    failures: list[Failure]
    metrics: Sequence[str]
    words: Sequence[str]

    @classmethod
    def of(cls, words: Sequence[str], metrics: Sequence[str]) -> "Compared":
        """Raises GenlabError where a word names no run, or a measure is none of theirs."""
        members, failures = find_runs(words)
        check_metrics(metrics, members)
        return cls(members, failures, list(metrics), list(words))

    @property
    def title(self) -> str:
        """'ae and vae on digits'."""
        return title(self.members)

    def rows(self) -> list[dict[str, object]]:
        """A mapping a row, as table.csv has it: `pandas.DataFrame(compared.rows())` takes them. Numbers are floats."""
        file = io.StringIO()
        write_rows_csv(file, make_rows(self.members).rows, self.metrics)
        file.seek(0)
        return [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(file)]

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the page, tables and figures of `genlab compare` into `folder`, or a new one; returns the page."""
        out = Path(folder) if folder else own_folder(Path(f"outputs/compare/{datetime.now():%Y-%m-%d_%H-%M-%S}"))
        (out / "figures").mkdir(parents=True, exist_ok=True)
        command = f"genlab.compare({', '.join(map(repr, self.words))})"
        write(assemble(self.members, self.failures, self.metrics, out, command), out, self.metrics)
        return out / "index.html"

    def __len__(self) -> int:
        return len(make_rows(self.members).rows)

    @property
    def waiting(self) -> list[Path]:
        """Runs that are not evaluated: `genlab.load(path).evaluate()` measures them."""
        return [run.path for run in self.members if not run.evaluated]

    def __repr__(self) -> str:
        """The table of `genlab compare`."""
        file = io.StringIO()
        tables = overview(make_rows(self.members).rows, self.metrics)
        show(tables, self.title, Console(file=file, width=WIDE, highlight=False))
        waiting = (
            f"{len(self.waiting)} of {len(self.members)} runs are not evaluated: run.evaluate()" if self.waiting else ""
        )
        return f"{file.getvalue()}{waiting}".rstrip()

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{self.title}</b></p>"]
        for table in overview(make_rows(self.members).rows, self.metrics):
            head = ["", *(f"{column.label} {' '.join(column.details)}".strip() for column in table.columns)]
            lines = [
                [line.label, *(plain(rounded(cell.value, cell.error) if cell else None) for cell in line.cells)]
                for line in table.lines
            ]
            parts.append(f"<p><i>{table.caption}</i></p>{html_table(head, lines)}")
        if self.waiting:
            parts.append(
                f"<p>{len(self.waiting)} of {len(self.members)} runs are not evaluated: <code>run.evaluate()</code></p>"
            )
        return "".join(parts)


def _number(text: str | None) -> object:
    """A field of CSV: a float where it is one, None where it is empty."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text
