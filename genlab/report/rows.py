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
from genlab.report.runs import Run, section, show

SHORTEST_NAMES = 4  # differing keys that fit a label
LONGEST_LABEL = 60


@dataclass(frozen=True)
class Row:
    """`runs` has one run a seed; `settings` is the flat configuration without the seed."""

    number: int
    label: str
    runs: list[Run]
    settings: dict[str, str]

    @property
    def seeds(self) -> str:
        return ", ".join("?" if run.seed is None else str(run.seed) for run in self.runs)


@dataclass(frozen=True)
class Cell:
    """A value of a row: `error` is the spread over `seeds` runs, or with one run its standard error; `stderr` ranks."""

    value: float
    error: float | None
    stderr: float | None
    seeds: int


@dataclass(frozen=True)
class Rows:
    rows: list[Row]
    differences: list[str]
    notices: list[str]


def aggregate(measures: Sequence[Measure]) -> Cell | None:
    """Mean and spread over seeds, or the one value with its standard error."""
    if not measures:
        return None
    own = [measure.stderr for measure in measures if measure.stderr is not None]
    single = math.sqrt(sum(error**2 for error in own) / len(own)) if own else None
    if len(measures) == 1:
        return Cell(measures[0].value, measures[0].stderr, single, 1)
    values = [measure.value for measure in measures]
    spread = statistics.stdev(values)
    if not spread and single is None:  # a count, such as that of the parameters
        return Cell(values[0], None, None, len(values))
    return Cell(statistics.fmean(values), spread, max(spread / math.sqrt(len(values)), single or 0.0), len(values))


def make_rows(runs: Sequence[Run]) -> Rows:
    """Group runs into rows. The notices name what is left out of a row (an unfinished run, an older repetition)."""
    notices: list[str] = []
    groups: dict[tuple[tuple[str, str], ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(sorted(_settings(run).items())), []).append(run)
    members = [_one_a_seed(group, notices) for group in groups.values()]
    settings = _name_starts([_settings(group[0]) for group in members], members)
    labels = _labels(settings)
    rows = [Row(k + 1, labels[k], members[k], settings[k]) for k in range(len(members))]
    return Rows(rows, differences(settings), notices)


def _one_a_seed(group: list[Run], notices: list[str]) -> list[Run]:
    """Of runs with one seed the newest, an evaluated one before others; finished ones alone where there are any."""
    finished = [run for run in group if run.state == "finished"]
    for run in group:
        if finished and run not in finished:
            notices.append(f"{run.path} ({run.state}) is left out of its row, which has finished runs")
        elif not finished:
            notices.append(f"{run.path} is {run.state}: what it shows is not final")
    newest: dict[int | None, Run] = {}
    for run in sorted(finished or group, key=lambda run: (run.evaluated, str(run.info.get("started", "")))):
        if run.seed in newest:
            notices.append(f"{newest[run.seed].path} is left out: {run.path} has the same configuration and seed")
        newest[run.seed] = run
    return sorted(newest.values(), key=lambda run: -1 if run.seed is None else run.seed)


def _settings(run: Run) -> dict[str, str]:
    """'section.key' -> value as text; seed, paths of the machine and what a model merely prefers are left out."""
    flat: dict[str, str] = {}
    for name in ("model", "dataset", "optimizer"):
        flat[name] = run.choices[name]
    train, preferred = section(run.config, "train"), section(run.config, "preferred")
    if train and train.get("epochs") is None and train.get("examples") is None and "examples" in preferred:
        length = "examples" if preferred.get("epochs") is None else "epochs"
        train = {**train, length: preferred[length]}
    config = {**run.config, "train": train, "preferred": {}, "seed": None}
    flat |= {key: value for key, value in _flatten(config, "") if not key.endswith(("_target_", "dataset.root"))}
    flat.pop("seed")
    return {key: value for key, value in flat.items() if not key.startswith("model.trunk")}  # model.start says it


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


def differences(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Keys in which rows differ. A key that only some models (data sets, optimizers) have counts where these differ in it."""
    keys = dict.fromkeys(key for flat in settings for key in flat)
    return [key for key in keys if _differs(key, settings)]


def _differs(key: str, settings: Sequence[Mapping[str, str]]) -> bool:
    if key.startswith("dataset.") or not all(key in flat for flat in settings):
        choice = key.partition(".")[0]
        within: dict[str | None, set[str | None]] = {}
        for flat in settings:
            within.setdefault(flat.get(choice), set()).add(flat.get(key))
        return any(len(values) > 1 for values in within.values())
    return len({flat[key] for flat in settings}) > 1


def _labels(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """'vae, beta=4': the model, and no more than tells the rows apart."""
    heads = [flat["model"] for flat in settings]
    if len({flat["dataset"] for flat in settings}) > 1:
        heads = [f"{head}, {flat['dataset']}" for head, flat in zip(heads, settings, strict=True)]
    labels = list(heads)
    for head in dict.fromkeys(heads):
        alike = [k for k, other in enumerate(heads) if other == head]
        varied = differences([settings[k] for k in alike])
        for k in alike if len(alike) > 1 else []:
            parts = [f"{short(key, varied)}={settings[k].get(key, '')}" for key in varied]
            label = ", ".join([head, *parts[:SHORTEST_NAMES]])
            labels[k] = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
    return _distinct(labels)


def short(key: str, keys: Sequence[str]) -> str:
    """The last part of a key where that is clear."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def _distinct(labels: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    distinct = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        distinct.append(f"{label} #{seen[label]}" if labels.count(label) > 1 else label)
    return distinct


def cells(row: Row, name: str, chosen: Callable[[Run], bool] = lambda run: True) -> list[Measure]:
    """Values of the measure `name` over the chosen runs of a row, in the order of seeds."""
    return [run.measures[name] for run in row.runs if name in run.measures and chosen(run)]
