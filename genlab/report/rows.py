"""Rows of a comparison: one a configuration. Runs that differ in nothing but their seed are one row, with mean and spread.

For n seeds with values x_i the row shows their mean and the sample standard deviation s = sqrt(sum (x_i - mean)^2 / (n - 1));
a single run shows its own standard error. To rank rows, the standard error of a mean is taken as the larger of s / sqrt(n)
and the standard error of one evaluation, because all seeds share the same test examples.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genlab.config.schema import family_of
from genlab.report.measures import Measure
from genlab.report.read_runs import Run, section, show
from genlab.report.row_labels import differences, make_labels

APART = (
    "seed",
    "name",
    "tag",
    "note",
    "tracker",
    "train.evaluation_budget",
    "device.timeout",
    "dataset.memory_limit_gb",
)
"""Keys that say nothing of what is learned."""


@dataclass(frozen=True)
class Row:
    """`runs` has one run a seed; `settings` is the flat configuration without seed and name."""

    number: int
    label: str
    runs: list[Run]
    settings: dict[str, str]

    @property
    def seeds(self) -> str:
        return ", ".join("?" if run.seed is None else str(run.seed) for run in self.runs)


@dataclass(frozen=True)
class Cell:
    """A value of a row: `error` is the spread over `seeds` runs, or with one run its standard error; `stderr` ranks.

    `note` says what the value is, where the values of a column are not all of one kind.
    """

    value: float
    error: float | None
    stderr: float | None
    seeds: int
    note: str = ""


@dataclass(frozen=True)
class Rows:
    rows: list[Row]
    differences: list[str]
    notices: list[str]


def aggregate(measures: Sequence[Measure]) -> Cell | None:
    """Mean and spread over seeds, or the one value with its standard error."""
    if not measures:
        return None
    note = "; ".join(dict.fromkeys(measure.note for measure in measures if measure.note))
    own = [measure.stderr for measure in measures if measure.stderr is not None]
    single = math.sqrt(sum(error**2 for error in own) / len(own)) if own else None
    if len(measures) == 1:
        return Cell(measures[0].value, measures[0].stderr, single, 1, note)
    values = [measure.value for measure in measures]
    spread = statistics.stdev(values)
    if not spread and single is None:  # a count, such as that of the parameters
        return Cell(values[0], None, None, len(values), note)
    stderr = max(spread / math.sqrt(len(values)), single or 0.0)
    return Cell(statistics.fmean(values), spread, stderr, len(values), note)


def make_rows(runs: Sequence[Run]) -> Rows:
    """Group runs into rows. The notices name what is left out of a row (an unfinished run, an older repetition)."""
    notices: list[str] = []
    groups: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((("", run.name), *sorted(_settings(run).items())), []).append(run)
    members = [_one_a_seed(group, notices) for group in groups.values()]
    settings = _name_starts([_settings(group[0]) for group in members], members)
    typed = {line.lstrip("+").partition("=")[0] for run in runs for line in run.overrides}
    labels = make_labels(settings, [group[0].name for group in members], typed)
    rows = [Row(k + 1, labels[k], members[k], settings[k]) for k in range(len(members))]
    return Rows(rows, differences(settings), notices)


def _one_a_seed(group: list[Run], notices: list[str]) -> list[Run]:
    """Of runs with one seed the newest, an evaluated one before others; finished ones alone where there are any."""
    finished = [run for run in group if run.state == "finished"]
    for run in group:
        if finished and run not in finished:
            notices.append(f"{run.path} ({run.state}) is left out of its row, which has finished runs")
        elif not finished:
            where = f" on {run.elsewhere}" if run.elsewhere else ""
            notices.append(f"{run.path} is {run.state}{where}: what it shows is not final")
    newest: dict[int | None, Run] = {}
    for run in sorted(finished or group, key=lambda run: (run.evaluated, str(run.info.get("started", "")))):
        if run.seed in newest:
            notices.append(f"{newest[run.seed].path} is left out: {run.path} has the same configuration and seed")
        newest[run.seed] = run
    return sorted(newest.values(), key=lambda run: -1 if run.seed is None else run.seed)


USUAL = {"device.processes": 1, "device.shard": False, "train.accumulate": 1}
"""Keys that older runs lack, with the values that they would have."""
LATER = ("dataset.", "init", "train.patience")
"""Keys that older runs lack, some of them: where they are null they do nothing, and do not put runs apart."""


def _settings(run: Run) -> dict[str, str]:
    """'section.key' -> value as text; seed, paths of the machine and what a model merely prefers are left out."""
    flat: dict[str, str] = {}
    for name in ("model", "dataset", "optimizer"):
        flat[name] = run.choices[name]
    train, preferred = section(run.config, "train"), section(run.config, "preferred")
    if train and train.get("epochs") is None and train.get("examples") is None and "examples" in preferred:
        length = "examples" if preferred.get("epochs") is None else "epochs"
        train = {**train, length: preferred[length]}
    config = {**run.config, "train": train, "preferred": {}, "seed": None, "name": None, "tracker": None}
    flat |= {key: value for key, value in _flatten(config, "") if not key.endswith(("_target_", "dataset.root"))}
    for apart in APART:
        flat.pop(apart, None)
    flat |= {key: show(value) for key, value in USUAL.items() if key not in flat}
    unset = show(None)
    return {
        key: value
        for key, value in flat.items()
        if not key.startswith("model.trunk")  # model.start says it
        and not (key.startswith(LATER) and value == unset)
    }


def _name_starts(settings: Sequence[dict[str, str]], members: Sequence[Sequence[Run]]) -> list[dict[str, str]]:
    """The run that a model started from, by its family; with its folder where rows started from several of one family."""
    families: dict[str, str] = {}
    for flat, (run, *_) in zip(settings, members, strict=True):
        trunk = section(section(run.config, "model"), "trunk")
        if trunk:
            families[flat["model.start"]] = family_of(str(section(trunk, "model").get("_target_")).rpartition(".")[2])
    alone = {path for path, family in families.items() if list(families.values()).count(family) == 1}
    names = {path: family if path in alone else f"{family} {path}" for path, family in families.items()}
    return [
        {key: names.get(value, value) if key == "model.start" else value for key, value in flat.items()}
        for flat in settings
    ]


def _flatten(config: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for key, value in config.items():
        flat += _flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", show(value))]
    return flat


def cells(row: Row, name: str, chosen: Callable[[Run], bool] = lambda run: True) -> list[Measure]:
    """Values of the measure `name` over the chosen runs of a row, in the order of seeds."""
    return [run.measures[name] for run in row.runs if name in run.measures and chosen(run)]
