"""The runs that there are, as Python has them."""

from collections.abc import Sequence
from typing import Any

from genlab.interface.results import html_table
from genlab.metrics.rounding import plain, rounded
from genlab.report.run_filters import matching
from genlab.report.run_list import RunRecord
from genlab.report.runs_table import lines

COLUMNS = ("name", "state", "model", "dataset", "seed", "started", "seconds", "examples", "tags", "note")
WIDE = 120  # characters of a line
FIRST = ("fid", "log_likelihood_exact", "log_likelihood_elbo", "test/loss", "accuracy")
"""Results that a notebook shows, where a run has them."""


class RunTable(list[RunRecord]):
    """Records of runs, the newest first, or in the order that was asked for; `genlab.load(record.path)` is the run."""

    def rows(self) -> list[dict[str, Any]]:
        """A mapping a run, with the value of every result by its name: `pandas.DataFrame(table.rows())` takes them."""
        found = []
        for record in self:
            row = {**record.as_dict(), "tags": ", ".join(record.tags)}
            results = row.pop("results")
            found.append({**row, **{name: result["value"] for name, result in results.items()}})
        return found

    sort_key: str | None = None
    """The result by which they are sorted."""

    def __repr__(self) -> str:
        return "\n".join(lines(self, self, WIDE, self.sort_key)) if self else "no runs"

    def _repr_html_(self) -> str:
        shown = [name for name in FIRST if any(name in run.results for run in self)]
        rows = []
        for run in self:
            facts: list[object] = [run.path.name, *(getattr(run, name) for name in COLUMNS)]
            facts = [", ".join(fact) if isinstance(fact, tuple) else "" if fact is None else fact for fact in facts]
            measures = [run.results.get(name) for name in shown]
            rows.append([*facts, *(plain(rounded(m.value, m.stderr)) if m else "" for m in measures)])
        return html_table(("run", *COLUMNS, *shown), rows)


def table_of(filters: Sequence[str], folders: Sequence[str], sort: str | None, limit: int | None) -> RunTable:
    """The runs in `folders` for which `filters` hold, in the order of `sort`."""
    table = RunTable(matching(list(folders), list(filters), sort, limit))
    table.sort_key = sort
    return table
