"""Run folders as the comparison reads them. No file is trusted: a run may be unfinished, killed in the middle of a line, or
damaged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError
from genlab.report.measures import DEVIATION, FROM_COST, Measure, number, read_measure
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import check_folder, parse_json, read_json, read_yaml

Record = dict[str, float]

REPRESENTATION = ("binarize", "dequantize")
ELSEWHERE = ("root", "validation", "labelled", "memory_limit_gb")
"""Keys of a data set that do not change which test examples there are."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds. `problems` says what could not be read."""

    path: Path
    config: dict[str, Any]
    info: dict[str, Any]
    overrides: list[str]
    choices: dict[str, str]
    records: list[Record]
    measures: dict[str, Measure]
    evaluation: dict[str, Any]
    name: str = ""
    """That which somebody gave to the run."""
    problems: list[str] = field(default_factory=list)

    @property
    def seed(self) -> int | None:
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) and not isinstance(seed, bool) else None

    @property
    def state(self) -> str:
        return RunFolder(self.path).state

    @property
    def elsewhere(self) -> str | None:
        """Which other machine trains it, and when that last wrote."""
        return RunFolder(self.path).elsewhere

    @property
    def error(self) -> str:
        """Why it did not finish; empty where nothing is known of an error."""
        return RunFolder(self.path).error or ""

    @property
    def evaluated(self) -> bool:
        return any(not name.startswith("test/") and name not in FROM_COST.values() for name in self.measures)

    @property
    def family(self) -> str:
        """Class of the model: losses are comparable within it only."""
        return str(section(self.config, "model").get("_target_") or self.choices["model"]).rpartition(".")[2]

    @property
    def dataset(self) -> str:
        """The data set and the keys that decide which examples it holds."""
        keys = section(self.config, "dataset")
        own = {k: v for k, v in keys.items() if k not in (*REPRESENTATION, *ELSEWHERE, "_target_") and v is not None}
        details = ", ".join(f"{key}={show(value)}" for key, value in own.items())
        return f"{self.choices['dataset']} ({details})" if details else self.choices["dataset"]

    @property
    def prepared(self) -> str:
        """The representation in which the model was trained, from the configuration."""
        keys = section(self.config, "dataset")
        words = {"dynamic": "binarised dynamically", "threshold": "binarised at a threshold"}
        how = str(keys.get("binarize") or "none")
        if how != "none":
            return words.get(how, f"binarize={how}")
        return f"not binarised, {'dequantised' if keys.get('dequantize') else 'not dequantised'}"

    @property
    def features(self) -> str:
        """Feature network of the sample measures: its name and hash."""
        found = self.evaluation.get("features")
        if not isinstance(found, Mapping):
            return str(found or "")
        mark = str(found.get("hash") or "")[:8]
        return f"{found.get('name') or 'unnamed'}{f' ({mark})' if mark else ''}"

    @property
    def ex_post(self) -> str:
        """The density that samples come from, where it was fitted afterwards and is no part of the model."""
        return str(self.evaluation.get("ex_post") or "")

    @property
    def hardware(self) -> str:
        device = section(self.info, "device")
        threads = device.get("threads")
        words = [str(device[key]) for key in ("name", "hardware") if device.get(key)]
        return ", ".join([*words, f"{threads} threads" if threads and threads != 1 else "1 thread" if threads else ""])

    @property
    def reruns(self) -> str:
        """How equal a second run would be (training/devices.py); older runs do not say."""
        return str(section(self.info, "device").get("reruns") or "")

    @property
    def diagnoses(self) -> list[dict[str, str]]:
        """Each with name, evidence and remedy: those of the evaluation, then those met in training."""
        found = [*_list(self.evaluation.get("diagnoses")), *_list(self.info.get("warnings"))]
        entries = [entry if isinstance(entry, Mapping) else {"name": str(entry)} for entry in found]
        return [{key: str(entry.get(key) or "") for key in ("name", "evidence", "remedy")} for entry in entries]


@dataclass(frozen=True)
class Failure:
    """A job that ended before it had a configuration, or a folder whose configuration is lost."""

    path: Path
    error: str


def read_run(path: Path) -> Run | Failure:
    """Read what there is in the run folder `path`."""
    try:
        check_folder(path)
    except GenlabError as error:
        return Failure(path, str(error))
    problems: list[str] = []
    info = _mapping(_read(path / "run.json", problems))
    config = _read(path / "config.yaml", problems)
    if not isinstance(config, dict) or not isinstance(config.get("model"), Mapping):
        reason = info.get("error") or ("; ".join(problems) or "config.yaml is missing or holds no configuration")
        return Failure(path, " ".join(str(reason).split()))
    overrides = info.get("overrides") or (_read(path / ".hydra" / "overrides.yaml", problems) or [])
    overrides = [str(line) for line in _list(overrides)]
    evaluation = _mapping(_read(path / "evaluation" / "evaluation.json", problems))
    return Run(
        path,
        config,
        info,
        overrides,
        _choices(path, config, overrides),
        _records(path / "metrics.jsonl", problems),
        _measures(info, _mapping(_read(path / "metrics.json", problems))),
        evaluation,
        str(info.get("name") or ""),
        problems,
    )


def section(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _mapping(mapping.get(name))


def show(value: Any) -> str:
    """A value of the configuration as people write it on the command line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(show(v) for v in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _measures(info: Mapping[str, Any], entries: Mapping[str, Any]) -> dict[str, Measure]:
    """Those of the evaluation; the costs that the training noted; the test terms at the end of training."""
    noted = {FROM_COST[key]: value for key, value in section(info, "cost").items() if key in FROM_COST}
    noted = {name: {"value": value, "kind": "cost"} for name, value in noted.items()}
    found: dict[str, Measure | None] = {}
    for name, entry in {**noted, **entries, **section(info, "results")}.items():
        found[name] = read_measure(name, entry)
        if isinstance(entry, Mapping) and "deviation" in entry:
            found[DEVIATION + name] = read_measure(DEVIATION + name, entry["deviation"])
    return {name: measure for name, measure in found.items() if measure is not None}


def _records(path: Path, problems: list[str]) -> list[Record]:
    """The lines that can be read, in the order of examples; a line cut short by a kill is the last, and left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        problems.append(f"{path.name} cannot be read ({error.strerror})")
        return []
    records, damaged = [], 0
    for line in lines[:-1]:
        try:
            entry = parse_json(line)
        except (ValueError, GenlabError):
            entry = None
        if isinstance(entry, dict) and number(entry.get("examples")) is not None:
            records.append({str(k): v for k, v in ((k, number(v)) for k, v in entry.items()) if v is not None})
        else:
            damaged += bool(line.strip())
    if damaged:
        problems.append(f"{path.name}: {damaged} damaged line{'s' if damaged > 1 else ''} left out")
    return sorted(records, key=lambda record: record["examples"])


def _choices(path: Path, config: Mapping[str, Any], overrides: list[str]) -> dict[str, str]:
    """Names of model, dataset and optimizer as one writes them: Hydra's choice, else an override, else the class."""
    try:
        text = (path / ".hydra" / "hydra.yaml").read_text(errors="replace")
    except OSError:
        text = ""
    block = re.search(r"^    choices:\n((?:      .*\n?)+)", text, re.MULTILINE)
    chosen = dict(re.findall(r"^      (model|dataset|optimizer): (\S+)$", block[1] if block else "", re.MULTILINE))
    given = dict(line.lstrip("+").split("=", 1) for line in overrides if "=" in line)
    names = {}
    for group in ("model", "dataset", "optimizer"):
        target = str(section(config, group).get("_target_") or "unknown").rpartition(".")[2].lower()
        names[group] = str(chosen.get(group) or given.get(group) or target).rpartition("/")[2].strip("'\"")
    return names


def _read(path: Path, problems: list[str]) -> Any:
    """What a file of JSON or YAML holds."""
    try:
        return read_yaml(path) if path.suffix == ".yaml" else read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, GenlabError):
        problems.append(f"{path.name} is damaged and left out")
        return None


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
