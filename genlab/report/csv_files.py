"""The values as CSV for programs: runs.csv, tidy, a line a run and measure; table.csv, wide, a line a row."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from genlab.report.contexts import Context, context
from genlab.report.measures import LIKELIHOOD, QUALITY
from genlab.report.read_runs import Run
from genlab.report.rows import Row, aggregate

RUN_FIELDS: tuple[str, ...] = (
    "row",
    "run",
    "seed",
    "state",
    "dataset",
    "metric",
    "value",
    "stderr",
    "unit",
    "kind",
    "representation",
)
RUN_FIELDS += ("split", "features", "samples")
ROW_FIELDS: tuple[str, ...] = (
    "row",
    "model",
    "dataset",
    "representation",
    "split",
    "features",
    "samples",
    "seeds",
    "n_seeds",
    "error",
)


def write_runs_csv(path: Path, rows: Sequence[Row], only: Sequence[str] = ()) -> None:
    """Tidy: one line a run and measure, full precision, an empty field for what is not known."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, RUN_FIELDS)
        writer.writeheader()
        for row in rows:
            for run in row.runs:
                for name, measure in run.measures.items():
                    if only and name not in only:
                        continue
                    where = context(run, measure.group)
                    facts = (
                        row.label,
                        run.path,
                        run.seed,
                        run.state,
                        where.dataset,
                        name,
                        measure.value,
                        measure.stderr,
                    )
                    more = (
                        measure.unit,
                        measure.kind,
                        where.representation,
                        where.split,
                        where.features,
                        where.samples,
                    )
                    writer.writerow(dict(zip(RUN_FIELDS, map(_inert, (*facts, *more)), strict=True)))


def _inert(value: object) -> object:
    """`value` itself, or a text that a spreadsheet would take for a formula with an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def write_rows_csv(file: TextIO, rows: Sequence[Row], only: Sequence[str] = ()) -> None:
    """Wide: one line a row (and representation, where the runs of a row have several), `name` and `name_err`.

    `error` says which of the two `_err` is. A measure that occurs in several kinds has a column for each: `name (kind)`.
    """
    kinds: dict[str, list[str]] = {}
    for run in (run for row in rows for run in row.runs):
        for name, measure in run.measures.items():
            known = kinds.setdefault(name, [])
            if measure.kind not in known:
                known.append(measure.kind)
    columns = [
        (name, kind, name if len(kinds[name]) == 1 else f"{name} ({kind or 'unknown'})")
        for name in only or kinds
        for kind in kinds.get(name, [])
    ]
    writer = csv.writer(file)
    writer.writerow([*ROW_FIELDS, *(text for *_, head in columns for text in (head, f"{head}_err"))])
    for row in rows:
        for where in dict.fromkeys(_context_of(run) for run in row.runs):
            runs = [run for run in row.runs if _context_of(run) == where]
            values: list[object] = []
            for name, kind, _ in columns:
                found = [run.measures[name] for run in runs if name in run.measures]
                cell = aggregate([measure for measure in found if measure.kind == kind])
                values += [cell.value, cell.error] if cell else [None, None]
            facts = [
                row.label,
                row.settings["model"],
                where.dataset,
                where.representation,
                where.split,
                where.features,
            ]
            seeds = " ".join("" if run.seed is None else str(run.seed) for run in runs)
            error = "standard deviation over seeds" if len(runs) > 1 else "standard error"
            writer.writerow([*map(_inert, facts), where.samples, seeds, len(runs), error, *values])


def _context_of(run: Run) -> Context:
    """The columns of a wide line that say how its values were measured."""
    samples, likelihood = context(run, QUALITY), context(run, LIKELIHOOD)
    return Context(
        run.dataset, likelihood.split, likelihood.representation, features=samples.features, samples=samples.samples
    )
