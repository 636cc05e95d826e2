"""Tables of measures: one a group of measures and a context, because only values of one context are comparable.

Measures that only few of the rows have stand in a table of their own, with these rows alone: no table is mostly dashes.

Within a table and a column the best value is marked `best`, and those whose interval (value ± 2 standard errors) overlaps
that of the best are marked `tie`. Values without an error are not ranked, nor is a column of the overview that mixes contexts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from genlab.report.best_likelihood import with_best_likelihood
from genlab.report.contexts import FROM_SAMPLES, OF_EXAMPLES, OVERVIEW, Context, context, differing
from genlab.report.measures import (
    ABOUT,
    ANOMALY,
    BEST,
    BY_CLASS,
    CLASSIFICATION,
    CODES,
    COST,
    DENOISING,
    DEVIATION,
    DIVERSITY,
    GROUPS,
    LIKELIHOOD,
    OTHER,
    QUALITY,
    RECONSTRUCTION,
    TRAINING,
    Measure,
    definition,
    short_unit,
)
from genlab.report.read_runs import Run
from genlab.report.rows import Cell, Row, aggregate, cells

RANKED: tuple[str, ...] = (LIKELIHOOD, QUALITY, DIVERSITY, RECONSTRUCTION, DENOISING, CODES, ANOMALY, CLASSIFICATION)
RANKED += (BY_CLASS, OTHER)
LIMITS = {CLASSIFICATION: "calibrated (limit)"}
BASELINES = {DENOISING: "noisy examples (baseline)", CODES: "principal components (baseline)"}
STANDARD_ERRORS = 2.0
OBSERVED = ("energy", "specific_heat", "magnetisation", "susceptibility")
HEADLINE = (BEST, "fid", "coverage", "reconstruction_mse", "accuracy", "calibration_error", "training_seconds")
LEAST_FILLED = {OVERVIEW: 1 / 3}  # share of the rows of a table that have a measure in it ...
MOSTLY = 0.6  # ... in all other groups
SPREAD = "the sample standard deviation over seeds in a row of several seeds, and the standard error in a row of one"
TIE = "≈: not distinguishable from it, because the values ± 2 standard errors overlap."
MARKS = f"± is {SPREAD}. Bold: the best of its column; {TIE}"


def marks_of(table: "MetricTable") -> str:
    """What MARKS says, as far as one table has it."""
    marked = {mark for line in table.lines for mark in line.marks}
    words = [f"± is {SPREAD if table.several_seeds else 'the standard error'}."]
    words += ["Bold: the best of its column."] if "best" in marked else []
    words += [TIE] if "tie" in marked else []
    return " ".join(words)


@dataclass(frozen=True)
class Column:
    name: str
    label: str
    unit: str
    kind: str
    better: str
    group: str

    @property
    def details(self) -> list[str]:
        """What a head says below the name: a kind of likelihood, and a unit where it is one."""
        kind = self.kind if self.kind not in ("statistic", "cost") else ""
        return [text for text in (kind, short_unit(self.unit)) if text]


@dataclass(frozen=True)
class Line:
    """`representation` is filled where the rows of the table differ in it; lines of the same one follow each other."""

    row: Row
    representation: str
    cells: list[Cell | None]
    marks: list[str]
    seeds: int
    ex_post: str = ""
    """What the samples of the row come from, where that is no part of its model."""

    @property
    def label(self) -> str:
        return self.row.label + (" †" if self.ex_post else "")


@dataclass(frozen=True)
class Reference:
    """Real data against real data (the floor), or independent components (the baseline)."""

    label: str
    cells: list[Cell | None]


@dataclass(frozen=True)
class MetricTable:
    group: str
    context: Context
    columns: list[Column]
    lines: list[Line]
    references: list[Reference]
    remarks: list[str]
    representation: str
    """That in which all models of the table saw the data, where the context does not say it already."""

    @property
    def caption(self) -> str:
        seen = f"models trained on data {self.representation}" if self.representation else ""
        return "; ".join(text for text in (str(self.context), seen) if text)

    @property
    def parts(self) -> list[tuple[str, list[Line]]]:
        """Lines under a heading each; one part without a heading where all models saw the data alike."""
        headings = dict.fromkeys(line.representation for line in self.lines)
        return [
            (seen and f"trained on data {seen}", [x for x in self.lines if x.representation == seen])
            for seen in headings
        ]

    @property
    def several_seeds(self) -> bool:
        return any(line.seeds > 1 for line in self.lines)

    @property
    def ties(self) -> list[bool]:
        """Whether any value of a column is marked so, for the alignment of the others."""
        return [any(line.marks[j] == "tie" for line in self.lines) for j in range(len(self.columns))]

    @property
    def about(self) -> str:
        return ABOUT.get(self.group, "")


def make_tables(rows: Sequence[Row], only: Sequence[str] = ()) -> list[MetricTable]:
    """All tables of the rows, in the order of GROUPS; `only` restricts the measures and gives their order."""
    return [table for group in GROUPS for table in _tables(group, rows, _names(rows, only, group))]


def overview(rows: Sequence[Row], only: Sequence[str] = ()) -> list[MetricTable]:
    """The few measures that one looks at first, one table a data set; `only` names them instead."""
    tables = []
    rows = [with_best_likelihood(row) for row in rows]
    for where in dict.fromkeys(context(run, OVERVIEW) for row in rows for run in row.runs):
        there = [row for row in rows if context(row.runs[0], OVERVIEW) == where]
        found, terms = _names(there, only), _names(there, only, TRAINING)
        observed = [name for one in OBSERVED for name in (one, DEVIATION + one) if name in found]
        headline = [*observed, *(name for name in HEADLINE if name in found)]
        if not any(run.evaluated for row in there for run in row.runs):
            headline = [*terms[:4], *headline]
        tables += _tables(OVERVIEW, there, list(only) or headline)
    return tables


def why_apart(tables: Sequence[MetricTable]) -> str:
    """One sentence where a group's rows stand in several tables, naming what keeps them from being ranked together."""
    what = differing([table.context for table in tables])
    return f"Not one table: the rows differ in {what}, so values from different tables do not compare." if what else ""


def _names(rows: Sequence[Row], only: Sequence[str], group: str = "") -> list[str]:
    """Measures of the rows, or of one group of measures."""
    measures = [item for row in rows for run in row.runs for item in run.measures.items()]
    found = dict.fromkeys(name for name, measure in measures if group in ("", measure.group))
    return [name for name in only if name in found] if only else list(found)


def _tables(group: str, rows: Sequence[Row], names: Sequence[str]) -> list[MetricTable]:
    runs = [run for row in rows for run in row.runs if any(name in run.measures for name in names)]
    tables = []
    for where in dict.fromkeys(context(run, group) for run in runs):
        having = {name: _having(name, rows, where, group) for name in names}
        for block, members in _blocks(having, LEAST_FILLED.get(group, MOSTLY)):
            tables.append(_table(group, where, [row for row in rows if row.number in members], block))
    return tables


def _having(name: str, rows: Sequence[Row], where: Context, group: str) -> set[int]:
    """Numbers of the rows that have a measure in a context."""
    return {row.number for row in rows if cells(row, name, lambda run: context(run, group) == where)}


def _blocks(having: Mapping[str, set[int]], least: float) -> list[tuple[list[str], set[int]]]:
    """Measures and rows of each table, so that a share `least` of its rows, or more, have each of its measures.

    What a run costs is had by all rows, and stands beside every other measure.
    """
    costs = [name for name in having if definition(name).group == COST]
    blocks: list[tuple[list[str], set[int]]] = []
    for name, rows in sorted(having.items(), key=lambda entry: -len(entry[1])):
        if name in costs or not rows:
            continue
        for names, members in blocks:
            together = members | rows
            if all(len(having[other]) >= least * len(together) for other in (*names, name)):
                names.append(name)
                members |= rows
                break
        else:
            blocks.append(([name], set(rows)))
    beyond = set().union(*(having[name] for name in costs)).difference(*(members for _, members in blocks))
    if beyond:
        blocks.append(([], beyond))
    return [([name for name in having if name in names or name in costs], members) for names, members in blocks]


def _table(group: str, where: Context, rows: Sequence[Row], names: Sequence[str]) -> MetricTable:
    def here(run: Run) -> bool:
        return context(run, group) == where

    columns = []
    for name in names:
        found: dict[str, Measure] = {}
        for row in rows:
            for m in cells(row, name, here):
                if group in (OVERVIEW, m.group):
                    found.setdefault(m.kind, m)
        columns += [
            Column(name, definition(name).label, m.unit, kind, m.better if m.group != COST else "", m.group)
            for kind, m in found.items()
        ]
    table = [(row, [_cell(row, column, here) for column in columns]) for row in rows]
    table = [(row, values) for row, values in table if any(values)]
    apart = group in (OVERVIEW, *FROM_SAMPLES, *OF_EXAMPLES) and not where.representation
    if apart:
        order = list(dict.fromkeys(_prepared(row) for row, _ in table))
        table.sort(key=lambda entry: order.index(_prepared(entry[0])))
    members = [row for row, _ in table]
    mixed = [_mixed(column, members, here) for column in columns]
    marks = [
        _rank([values[j] for _, values in table], c) if not mixed[j] else [""] * len(table)
        for j, c in enumerate(columns)
    ]
    seen = [_prepared(row) for row in members]
    shown = apart and len(set(seen)) > 1
    lines = [
        Line(
            row,
            seen[i] if shown else "",
            values,
            [marks[j][i] for j in range(len(columns))],
            _most(values),
            _ex_post(row) if any(c.group in FROM_SAMPLES and v for c, v in zip(columns, values, strict=True)) else "",
        )
        for i, (row, values) in enumerate(table)
    ]
    alone = [column if not what else None for column, what in zip(columns, mixed, strict=True)]
    references = _references(members, alone, here, group)
    remarks = []
    for what in dict.fromkeys(filter(None, mixed)):
        labels = ", ".join(
            dict.fromkeys(c.label for c, w in zip(columns, mixed, strict=True) if w == what and c.group in RANKED)
        )
        remarks += [f"Not ranked: {labels}, because the rows differ in {what}."] if labels else []
    if group in OF_EXAMPLES and shown:
        remarks.append("The models saw the same examples in different representations.")
    if group in FROM_SAMPLES and shown:
        remarks.append(
            "The models saw the data in different representations; all samples are judged against the data as stored."
        )
    remarks += [
        f"† {line.row.label}: no generative model; its samples are decoded from a {line.ex_post}, afterwards."
        for line in lines
        if line.ex_post
    ]
    return MetricTable(
        group, where, columns, lines, references, remarks, seen[0] if apart and not shown and seen else ""
    )


def _prepared(row: Row) -> str:
    return ", ".join(dict.fromkeys(run.prepared for run in row.runs))


def _ex_post(row: Row) -> str:
    return ", ".join(dict.fromkeys(run.ex_post for run in row.runs if run.ex_post))


def _most(values: Sequence[Cell | None]) -> int:
    return max(cell.seeds for cell in values if cell)


def _mixed(column: Column, rows: Sequence[Row], here: Callable[[Run], bool]) -> str:
    """The differences between the contexts of a column's values."""
    measured = [run for row in rows for run in row.runs if here(run) and column.name in run.measures]
    return differing([context(run, column.group) for run in measured])


def _cell(row: Row, column: Column, here: Callable[[Run], bool]) -> Cell | None:
    """The value of a row; none where its runs have several contexts."""
    runs = [run for run in row.runs if here(run) and column.name in run.measures]
    if len({context(run, column.group) for run in runs}) > 1 and column.group != COST:
        return None
    return aggregate([m for m in cells(row, column.name, here) if m.kind == column.kind])


def _rank(column: Sequence[Cell | None], head: Column) -> list[str]:
    """`best`, `tie` or nothing for every cell; nothing at all where fewer than two values have an error."""
    marks = [""] * len(column)
    ranked = [(k, cell, cell.stderr) for k, cell in enumerate(column) if cell and cell.stderr is not None]
    alike = len({cell.note for _, cell, _ in ranked}) == 1
    if head.group not in RANKED or head.better not in ("lower", "higher") or len(ranked) < 2 or not alike:
        return marks
    sign = 1.0 if head.better == "lower" else -1.0
    first, best, error = min(ranked, key=lambda entry: sign * entry[1].value)
    for k, cell, stderr in ranked:
        if abs(cell.value - best.value) <= STANDARD_ERRORS * (stderr + error):
            marks[k] = "tie"
    marks[first] = "best"
    return marks


def _references(
    rows: Sequence[Row], columns: Sequence[Column | None], here: Callable[[Run], bool], group: str
) -> list[Reference]:
    """The truth, floor and baseline; dashes in a column (None) whose rows would each need their own."""
    references = []
    baseline = BASELINES.get(group, "independent components (baseline)")
    limit = LIMITS.get(group, "real against real (limit)")
    for label, field in (("exact", "exact"), (limit, "real"), (baseline, "baseline")):
        values: list[Cell | None] = []
        for column in columns:
            if column is None:
                values.append(None)
                continue
            pairs = [getattr(m, field) for row in rows for m in cells(row, column.name, here) if m.kind == column.kind]
            found = [Measure(*pair) for pair in dict.fromkeys(pairs) if pair is not None]
            if group in OF_EXAMPLES and _distinguishable(found):  # codes of several sizes, or several representations
                found = []
            cell = aggregate(found)
            if cell and len(found) > 1:  # measured anew by each run: one number with the error of one measurement
                errors = [m.stderr for m in found if m.stderr is not None]
                cell = Cell(cell.value, max([cell.error or 0.0, *errors]), None, 1)
            values.append(cell)
        if any(values):
            references.append(Reference(label, values))
    return references


def _distinguishable(found: Sequence[Measure]) -> bool:
    """Whether two of the values lie apart by more than their errors explain."""
    return any(
        abs(a.value - b.value) > STANDARD_ERRORS * ((a.stderr or 0.0) + (b.stderr or 0.0)) for a in found for b in found
    )
