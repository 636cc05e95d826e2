"""The page of a comparison: one HTML file that needs nothing else, neither network nor scripts."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from genlab.metrics.rounding import DASH, Number, rounded
from genlab.plots.style import COLOURS, Drawing, share_glyphs
from genlab.report.bars import MetricDrawing
from genlab.report.curves import MOST_NAMES, CurvePair
from genlab.report.documents import ARROWS
from genlab.report.galleries import Gallery
from genlab.report.measures import BY_CLASS, GROUPS, TRAINING
from genlab.report.read_runs import Failure, Run, section
from genlab.report.row_labels import NOTHING, short
from genlab.report.rows import Cell, Row
from genlab.report.tables import MARKS, MetricTable, why_apart

MINUS = "−"


@dataclass(frozen=True)
class Comparison:
    """Everything that the page shows."""

    title: str
    made: datetime
    version: str
    command: str
    rows: list[Row]
    differences: list[str]
    failures: list[Failure]
    notices: list[str]
    overview: list[MetricTable]
    tables: list[MetricTable]
    measures: list[MetricDrawing]
    sweeps: list[Drawing]
    curves: list[CurvePair]
    cost: list[Drawing]
    legend: Drawing
    galleries: list[Gallery]
    files: list[str]

    @property
    def runs(self) -> list[Run]:
        return [run for row in self.rows for run in row.runs]

    @property
    def apart(self) -> str:
        return why_apart(self.overview)


@dataclass(frozen=True)
class Section:
    """The tables and figures of one group of measures."""

    name: str
    about: str
    apart: str
    tables: list[MetricTable]
    drawings: list[Drawing]
    open: bool


@dataclass(frozen=True)
class Finding:
    """A diagnosis of a row and the seeds in which it was met."""

    row: Row
    seeds: str
    name: str
    evidence: str
    remedy: str


def render(comparison: Comparison) -> str:
    """The page as HTML; everything that comes from a run is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "number": html_number,
        "svg": Markup,
        "hue": lambda number: (number - 1) % len(COLOURS),
    }
    template = environment.from_string((resources.files("genlab.report") / "page.html").read_text(encoding="utf-8"))
    page = template.render(
        c=comparison,
        sections=_sections(comparison),
        settings=settings_table(comparison.rows, comparison.differences),
        shared=_shared_settings(comparison.rows),
        findings=_findings(comparison.rows),
        reproduce=[(row, reproduction(row)) for row in comparison.rows],
        unevaluated=[run for run in comparison.runs if not run.evaluated],
        evaluation_commands="\n".join(evaluation_command(run) for run in comparison.runs if not run.evaluated),
        facts=[(row, run, _facts(run)) for row in comparison.rows for run in row.runs],
        head_curves=[pair for pair in comparison.curves if pair.panel.main],
        more_curves=[pair for pair in comparison.curves if not pair.panel.main],
        crowded=any(len(pair.panel.series) > MOST_NAMES for pair in comparison.curves),
        arrows=ARROWS,
        marks=MARKS,
        dash=DASH,
    )
    (page,), letters = share_glyphs([page])
    return page.replace("<body>", f"<body>\n{letters}", 1)


@dataclass(frozen=True)
class SettingsTable:
    """Keys in which rows differ: a column where most rows have one, else named with its value in the row that has it."""

    keys: list[str]
    lines: list[tuple[Row, list[str], str]]

    @property
    def has_more(self) -> bool:
        return any(more for _, _, more in self.lines)


def settings_table(rows: Sequence[Row], differences: Sequence[str]) -> SettingsTable:
    """No column that is null, or that most rows have nothing in."""

    def filled(key: str) -> int:
        return sum(row.settings.get(key, "") not in NOTHING for row in rows)

    said = [key for key in differences if all(row.settings.get(key) == row.label for row in rows)]
    differences = [key for key in differences if key not in said]
    keys = [key for key in differences if 2 * filled(key) >= len(rows)]
    rest = [key for key in differences if key not in keys and filled(key)]
    lines = []
    for row in rows:
        values = [value if (value := row.settings.get(key, "")) not in NOTHING else DASH for key in keys]
        own = [(key, row.settings.get(key, "")) for key in rest]
        lines.append((row, values, ", ".join(f"{short(k, differences)}={v}" for k, v in own if v not in NOTHING)))
    return SettingsTable(keys, lines)


def _shared_settings(rows: Sequence[Row]) -> dict[str, str]:
    """What is not null and the same in all rows."""
    first = rows[0].settings
    return {key: v for key, v in first.items() if v not in NOTHING and all(row.settings.get(key) == v for row in rows)}


def _hue(number: int) -> int:
    return (number - 1) % len(COLOURS)


def html_number(cell: Cell | None) -> Markup:
    """A cell with true minus signs and the error set apart."""
    number: Number | None = rounded(cell.value, cell.error) if cell else None
    if number is None:
        return Markup('<span class="none">—</span>')
    value = Markup("{}").format(number.value.replace("-", MINUS))
    if number.error is not None:
        value += Markup('<span class="err"> ± {}</span>').format(number.error)
    if not number.exponent:
        return value
    power = Markup("·10<sup>{}</sup>").format(str(number.exponent).replace("-", MINUS))
    return (Markup("({})").format(value) if number.error is not None else value) + power


def reproduction(row: Row) -> list[str]:
    """The commands that make the row again: one training over its seeds, and the evaluation of each run."""
    kept = {tuple(line for line in run.overrides if not line.lstrip("+").startswith("seed=")) for run in row.runs}
    if len(kept) == 1 and all(run.overrides for run in row.runs):
        words = [_quote(line) for line in kept.pop()]
        seeds = ",".join(str(run.seed) for run in row.runs)
        commands = [" ".join(["genlab train", *(["-m"] if len(row.runs) > 1 else []), *words, f"seed={seeds}"])]
    else:
        commands = list(dict.fromkeys(_command(run) for run in row.runs))
    return commands


def evaluation_command(run: Run) -> str:
    return f"genlab evaluate {_quote(f'run={run.path}')}"


def _command(run: Run) -> str:
    if run.overrides:
        return " ".join(["genlab train", *(_quote(line) for line in run.overrides)])
    words = run.info.get("command")
    words = [str(word) for word in words] if isinstance(words, list) else []
    return " ".join(map(_quote, words)) or f"genlab train seed={run.seed}"


def _quote(word: str) -> str:
    """Quoted for a shell where that is needed; commas, brackets of a list and the like need none in bash but in zsh."""
    return shlex.quote(word)


def _sections(comparison: Comparison) -> list[Section]:
    sections = []
    for group in GROUPS:
        tables = [table for table in comparison.tables if table.group == group]
        if tables:
            drawings = [d.drawing for d in comparison.measures if d.group == group]
            folded = group == BY_CLASS or (group == TRAINING and all(run.evaluated for run in comparison.runs))
            sections.append(Section(group, tables[0].about, why_apart(tables), tables, drawings, not folded))
    return sections


def _findings(rows: Sequence[Row]) -> list[Finding]:
    findings = []
    for row in rows:
        met: dict[str, list[tuple[Run, dict[str, str]]]] = {}
        for run in row.runs:
            for diagnosis in run.diagnoses:
                met.setdefault(diagnosis["name"], []).append((run, diagnosis))
        for name, cases in met.items():
            seeds = ", ".join(dict.fromkeys(str(run.seed) for run, _ in cases))
            _, first = cases[0]
            findings.append(Finding(row, seeds, name.replace("_", " "), first["evidence"], first["remedy"]))
    return findings


def _facts(run: Run) -> dict[str, Any]:
    """Where a run comes from: versions, commit, device, time."""
    versions, git, cost = (section(run.info, name) for name in ("versions", "git", "cost"))
    commit = str(git.get("commit") or "")[:10]
    seconds = cost.get("seconds")
    return {
        "state": run.state,
        "started": str(run.info.get("started") or DASH)[:16].replace("T", " "),
        "seconds": f"{seconds:,.1f}" if isinstance(seconds, int | float) else DASH,
        "device": "; ".join(filter(None, (run.hardware, run.reruns and f"reruns are {run.reruns}"))) or DASH,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or DASH,
        "commit": (commit + (", with changes" if git.get("modified") else "")) if commit else DASH,
        "error": run.error,
        "problems": "; ".join(run.problems),
    }
