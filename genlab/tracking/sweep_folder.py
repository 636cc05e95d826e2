"""A sweep's folder: sweep.json, which says of every job what it is, how far it is, and why it failed.

    {"command": "train", "words": [...], "started": ..., "swept": {"model.k": [1, 5]}, "measure": "validation loss", "best": 3,
     "counts": {"finished": 4, ...}, "jobs": [{"number": 0, "folder": "0_k-1", "overrides": [...], "identity": ...,
     "state": ..., "error": ..., "results": {...}, "validation_loss": ..., "seconds": ...}, ...]}

Every job has a run.json of its own, which is what counts: sweep.json repeats it, and adds the jobs that wait. It is written by
whoever starts the sweep and by each job, in whichever process, one after the other.
"""

import contextlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.shared_files import alone_in, write_atomically
from genlab.tracking.untrusted import read_json

NAME = "sweep.json"
WAITING = "waiting"
STATES = ("finished", "running", "failed", "interrupted", WAITING)
LOSS, TEST_LOSS = "validation loss", "test loss"
APART = {"model", "dataset", "experiment"}
APART |= {"model.loss", "model.likelihood", "model.output", "model.objective", "model.beta"}
"""Where jobs differ in one of these, or in a key of the data, their losses are different quantities."""

Entry = dict[str, Any]
_UNDONE: Entry = {"results": {}, "validation_loss": None, "seconds": None}


class SweepFolder:
    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def file(self) -> Path:
        return self.path / NAME

    def read(self) -> dict[str, Any]:
        """The content of sweep.json; empty where there is none, or a damaged one."""
        try:
            found = read_json(self.file)
        except (OSError, GenlabError):
            return {}
        if not isinstance(found, dict):
            return {}
        jobs = found.get("jobs")
        entries = [job for job in jobs if _is_entry(job)] if isinstance(jobs, list) else []
        return {**found, "jobs": entries}

    def begin(self, command: str, words: Sequence[str], jobs: Sequence[Entry], **facts: Any) -> None:
        """Write down a sweep, or that it goes on: `jobs` replace those of the same folder, others stay where they have begun."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self._changing() as content:
            content.setdefault("started", _now())
            content.update(command=command, words=list(words), **facts)
            begun = [entry for entry in content["jobs"] if (self.path / entry["folder"] / "run.json").exists()]
            entries = {job["folder"]: job for job in [*begun, *jobs]}
            content["jobs"] = [self._looked_up(entry) for entry in entries.values()]

    def refresh(self) -> dict[str, Any]:
        """Put sweep.json right by the run.json of all jobs, also of those that it does not know; returns its content."""
        with self._changing() as content:
            known = {entry["folder"]: entry for entry in content["jobs"]}
            for path in self.job_folders():
                known.setdefault(path.name, {"number": number_of(path.name), "folder": path.name, "overrides": []})
            content["jobs"] = [self._looked_up(entry) for entry in known.values()]
        return content

    def refresh_job(self, folder: Path) -> None:
        """The same for one job, by its folder: cheap, however many there are."""
        name = os.path.relpath(folder, self.path)
        if name.startswith(".."):
            return
        with self._changing() as content:
            known = {entry["folder"]: entry for entry in content["jobs"]}
            entry = known.setdefault(name, {"number": number_of(name), "folder": name, "overrides": []})
            known[name] = self._looked_up(entry)
            content["jobs"] = list(known.values())

    def number(self, folder: Path) -> int:
        """The number of the job in `folder`."""
        name = os.path.relpath(folder, self.path)
        entry = next((job for job in self.read().get("jobs", []) if job["folder"] == name), None)
        return number_of(name) if entry is None else int(entry["number"])

    def job_folders(self) -> list[Path]:
        """Folders of the jobs that have begun, in the order of their numbers."""
        return sorted((path.parent for path in self.path.glob("*/run.json")), key=lambda path: number_of(path.name))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The content of sweep.json, to be changed within the block; then it is written."""
        with alone_in(self.path):
            content = self.read()
            content.setdefault("jobs", [])
            yield content
            jobs = sorted(content.pop("jobs"), key=lambda entry: entry["number"])
            measure, best = best_of(jobs) or (None, None)
            content.update(updated=_now(), counts=counts(jobs), measure=measure, best=best)
            content["jobs"] = jobs
            with contextlib.suppress(OSError):  # a sweep must not end because its list cannot be written
                write_atomically(self.file, json.dumps(content, indent=1) + "\n")

    def _looked_up(self, entry: Entry) -> Entry:
        """What run.json says of a job; a job without one waits."""
        run = RunFolder(self.path / entry["folder"])
        info = run.info()
        if not info:
            return {**entry, "state": WAITING, "ended": None, "error": None, **_UNDONE}
        state, results, cost = run.state, info.get("results"), info.get("cost")
        done = state == "finished"
        return {
            **entry,
            "overrides": entry.get("overrides") or info.get("overrides") or [],
            "identity": info.get("identity") or entry.get("identity"),
            "state": state,
            "ended": info.get("ended"),
            "error": None if done else run.error,
            "results": results if done and isinstance(results, dict) else {},
            "validation_loss": _number(info.get("validation_loss")) if done else None,
            "seconds": _number(cost.get("seconds")) if done and isinstance(cost, dict) else None,
        }


def sweep_of(run: Path) -> SweepFolder | None:
    """The sweep of which a run is a job; None where it is a run of its own."""
    return next((SweepFolder(folder) for folder in list(run.absolute().parents)[:3] if (folder / NAME).exists()), None)


def counts(jobs: Sequence[Entry]) -> dict[str, int]:
    """State -> number of jobs, of those states that there are."""
    found = Counter(str(job.get("state")) for job in jobs)
    return {state: found[state] for state in [*STATES, *sorted(set(found) - set(STATES))] if found[state]}


def settings(job: Mapping[str, Any]) -> dict[str, str]:
    """Key -> value of the overrides of a job."""
    lines = job.get("overrides") or []
    return {key.lstrip("+"): value for key, _, value in (str(line).partition("=") for line in lines)}


def varied_keys(jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys in whose overrides jobs differ."""
    chosen = [settings(job) for job in jobs]
    keys = dict.fromkeys(key for one in chosen for key in one)
    return [key for key in keys if len({one.get(key) for one in chosen}) > 1]


def best_of(jobs: Sequence[Entry]) -> tuple[str, int] | None:
    """What finished jobs are compared by, and the number of the best; None where nothing compares them.

    Losses of different models, of other terms or on other data are different quantities.
    """
    if any(key in APART or key.startswith("dataset.") for key in varied_keys(jobs)):
        return None
    found = [(value, job["number"]) for job in jobs if (value := value_of(job, LOSS)) is not None]
    if found:
        return LOSS, min(found)[1]
    found = [(value, job["number"]) for job in jobs if (value := value_of(job, TEST_LOSS)) is not None]
    return (TEST_LOSS, min(found)[1]) if found else None


def value_of(job: Mapping[str, Any], measure: str) -> float | None:
    """What a job has reached in what jobs are compared by."""
    if measure == LOSS:
        return _number(job.get("validation_loss"))
    result = (job.get("results") or {}).get("test/loss")
    return _number(result.get("value")) if isinstance(result, Mapping) else None


def number_of(folder: str) -> int:
    """The number of a job, with which the name of its folder begins."""
    head = folder.partition("_")[0]
    return int(head) if head.isdecimal() else 0


def _is_entry(job: object) -> bool:
    """Whether it is an entry of a job in a folder of its own below the sweep's."""
    if not isinstance(job, dict) or not isinstance(job.get("folder"), str) or not isinstance(job.get("number"), int):
        return False
    parts = Path(job["folder"]).parts
    overrides = job.get("overrides")
    return bool(parts) and ".." not in parts and not Path(job["folder"]).is_absolute() and isinstance(overrides, list)


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number and isinstance(value, int | float) else None


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
