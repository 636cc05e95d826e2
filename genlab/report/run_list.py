"""The runs that there are: each as a record of what its folder says, read without torch and without its pictures.

A thousand run folders are read in less than a second, so nothing is kept about them elsewhere. Where the training still runs, or
was stopped, the last line of metrics.jsonl stands for the results.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError
from genlab.report.measures import Measure, number, read_measure
from genlab.report.read_runs import section
from genlab.tracking import run_names
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import parse_json, printable, read_numbers, read_yaml
from genlab.tracking.which_run import find_run, noted_below

CHOICES = re.compile(r"^      (model|dataset|optimizer): (\S+)$", re.MULTILINE)
TARGET = re.compile(r"^(model|dataset|optimizer):\n(?:  .*\n)*?  _target_: (\S+)$", re.MULTILINE)
TAIL = 8192  # bytes at the end of metrics.jsonl, which hold its last line
COSTS = {
    "seconds": "s",
    "examples": "examples",
    "parameters": "",
    "peak_memory_mb": "MB",
    "peak_device_memory_mb": "MB",
}
"""Costs of a training -> their units."""


@dataclass(frozen=True)
class RunRecord:
    """What a run folder says of its run."""

    path: Path
    name: str | None
    state: str
    """running, finished, failed, interrupted, or unknown."""
    model: str
    dataset: str
    optimizer: str
    seed: int | None
    started: datetime | None
    ended: datetime | None
    seconds: float | None
    """Of training, over all sessions."""
    examples: int | None
    """That the training has seen."""
    entries: Mapping[str, Any]
    """Name -> value, or mapping with one, as it was read (`results` and `value` read it further): measures of the evaluation,
    terms at the end of the training or the last record of an unfinished one, and costs."""
    tags: tuple[str, ...]
    note: str | None
    error: str | None
    sweep: Path | None
    """The folder of the sweep that it is a job of."""
    evaluated: bool

    @property
    def age(self) -> float | None:
        """Seconds since its start."""
        return None if self.started is None else datetime.now().astimezone().timestamp() - self.started.timestamp()

    @cached_property
    def results(self) -> dict[str, Measure]:
        """Every result by its name, with its standard error and its unit."""
        found = {printable(str(name)): read_measure(name, entry) for name, entry in self.entries.items()}
        return {name: measure for name, measure in found.items() if measure is not None}

    def measure(self, key: str) -> tuple[float, float | None] | None:
        """Value and standard error of a result; 'test/', 'eval/' or 'train/' before it may be left out."""
        name = self.full_name(key)
        entry = None if name is None else self.entries[name]
        value, stderr = (entry.get("value"), entry.get("stderr")) if isinstance(entry, Mapping) else (entry, None)
        found = number(value)
        return None if found is None else (found, number(stderr))

    def value(self, key: str) -> float | None:
        """The value of the result `key`."""
        found = self.measure(key)
        return None if found is None else found[0]

    def full_name(self, key: str) -> str | None:
        """The name of the result that `key` means."""
        names = (key, f"test/{key}", f"eval/{key}", f"train/{key}")
        return next((name for name in names if name in self.entries), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: always the same keys; units stand in their names or beside them."""
        return {
            "run": str(self.path),
            "name": self.name,
            "state": self.state,
            "model": self.model,
            "dataset": self.dataset,
            "optimizer": self.optimizer,
            "seed": self.seed,
            "started": None if self.started is None else self.started.isoformat(),
            "ended": None if self.ended is None else self.ended.isoformat(),
            "seconds": self.seconds,
            "examples": self.examples,
            "evaluated": self.evaluated,
            "results": {
                name: {"value": m.value, "stderr": m.stderr, "unit": m.unit, "kind": m.kind}
                for name, m in self.results.items()
            },
            "tags": list(self.tags),
            "note": self.note,
            "error": self.error,
            "sweep": None if self.sweep is None else str(self.sweep),
        }


def list_runs(places: Sequence[str | Path] = (), outputs: Path = Path("outputs")) -> list[RunRecord]:
    """The runs in `places` (run folders, names of runs, folders that hold runs), each once; all under outputs/train by default.

    The newest is first. Raises GenlabError where a place is none of these.
    """
    folders: dict[Path, None] = {}
    for place in places or [outputs / "train"]:
        found = list(noted_below(Path(place)))
        if not found and places:
            if os.path.isdir(place):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
                raise GenlabError(f"{place}: there is no run in this folder; name another, or leave it out")
            found = [find_run(str(place), outputs, wanted="any").path]
        folders |= dict.fromkeys(found)
    records = [record for folder in folders if (record := read_record(folder)) is not None]
    return sorted(records, key=lambda record: record.started.timestamp() if record.started else 0.0, reverse=True)


def read_record(path: Path) -> RunRecord | None:
    """What the folder `path`, which has a run.json, says; None where it is a job of another command than train."""
    run = RunFolder(path)
    info = run.info()
    if not (path / "config.yaml").exists() and not _failed_early(info):
        return None
    entries = _read(path / "metrics.json")
    last = {} if info.get("results") else last_record(path / "metrics.jsonl")
    names, cost, choices = run_names.of_info(info), section(info, "cost"), _choices(path, info)
    seed, examples = info.get("seed"), number(cost.get("examples", last.get("examples")))
    return RunRecord(
        path=path,
        name=names.name,
        state=run.state if info.get("state") == "running" else str(info.get("state") or "unknown"),
        model=choices["model"],
        dataset=choices["dataset"],
        optimizer=choices["optimizer"],
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        started=_time(info.get("started")) or _time_of_folder(path),
        ended=_time(info.get("ended")),
        seconds=number(cost.get("seconds", last.get("seconds"))),
        examples=None if examples is None else int(examples),
        entries=_entries(entries, section(info, "results"), last, cost),
        tags=names.tags,
        note=names.note,
        error=run.error if info.get("state") in ("running", "failed", "interrupted") else None,
        sweep=path.parent if (path.parent / "multirun.yaml").exists() else None,
        evaluated=bool(entries),
    )


def config_value(record: RunRecord, key: str) -> Any:
    """The value of a key of its configuration, such as optimizer.lr; None where there is none."""
    try:
        value: Any = read_yaml(record.path / "config.yaml")
    except (OSError, GenlabError):
        return None
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def last_record(path: Path) -> dict[str, Any]:
    """The last whole line of metrics.jsonl; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().split(b"\n")[:-1]
    except OSError:
        return {}
    for line in reversed(lines):
        try:
            found = parse_json(line)
        except (ValueError, GenlabError):
            continue
        return found if isinstance(found, dict) else {}
    return {}


def _failed_early(info: Mapping[str, Any]) -> bool:
    """Whether it is a job of a sweep of trainings that never had a configuration."""
    overrides = info.get("overrides")
    words = overrides if isinstance(overrides, list) else []
    return info.get("state") == "failed" and not any(str(word).startswith("run=") for word in words)


def _entries(
    measured: Mapping[str, Any], ends: Mapping[str, Any], last: Mapping[str, Any], cost: Mapping[str, Any]
) -> dict[str, Any]:
    shown = {k: v for k, v in last.items() if k.startswith(("train/", "eval/", "test/")) and not k.endswith("_stderr")}
    costs = {k: {"value": v, "unit": COSTS[k], "kind": "cost"} for k, v in cost.items() if k in COSTS}
    return {**costs, **measured, **shown, **ends}


def _choices(path: Path, info: Mapping[str, Any]) -> dict[str, str]:
    """Names of model, data set and optimizer as one writes them: Hydra's choices, else the ends of their targets."""
    found: dict[str, str] = {}
    for name, pattern in ((".hydra/hydra.yaml", CHOICES), ("config.yaml", TARGET)):
        if len(found) < 3:
            try:
                text = (path / name).read_text(errors="replace")
            except OSError:
                continue
            for group, choice in pattern.findall(text):
                found.setdefault(group, choice.rpartition("/")[2].rpartition(".")[2].strip("'\"").lower())
    words = info.get("overrides")
    given = dict(str(word).lstrip("+").split("=", 1) for word in words if "=" in str(word)) if words else {}
    return {group: found.get(group) or given.get(group) or "?" for group in ("model", "dataset", "optimizer")}


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_numbers(path)
    except (OSError, GenlabError):
        return {}


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)).astimezone()
    except (ValueError, OverflowError):
        return None


def _time_of_folder(path: Path) -> datetime | None:
    """Of a job that never started: the time in the name of its sweep, or that of its run.json."""
    if match := re.search(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", str(path)):
        return datetime.strptime(match[0], "%Y-%m-%d_%H-%M-%S").astimezone()
    try:
        return datetime.fromtimestamp((path / "run.json").stat().st_mtime).astimezone()
    except OSError:
        return None
