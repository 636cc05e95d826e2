"""What a sweep of trainings has to do: its jobs, each with its identity, and what an earlier start of it has done of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict, read_write

from genlab.composition.compose import with_typed_length
from genlab.composition.job_identity import job_identity
from genlab.composition.words import as_typed
from genlab.config.schema import plain
from genlab.errors import GenlabError
from genlab.sweeping.launchers import with_share_of_threads
from genlab.tracking.flat_config import parameters
from genlab.tracking.own_folder import discard_if_empty
from genlab.tracking.progress import tracked
from genlab.tracking.sweep_folder import WAITING, Entry, SweepFolder

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"
"""Hydra's own sweeper. What others draw is not known before."""


@dataclass
class PlannedJob:
    overrides: list[str]
    config: dict[str, Any]
    identity: str
    number: int
    folder: str
    """Below that of the sweep."""
    state: str = WAITING

    def entry(self) -> Entry:
        return {
            "number": self.number,
            "folder": self.folder,
            "overrides": self.overrides,
            "identity": self.identity,
            "state": self.state,
        }


@dataclass
class Plan:
    """The jobs of one start of a sweep, in the order in which they run."""

    folder: Path
    jobs: list[PlannedJob]
    again: bool
    """Whether an earlier start has left something in the folder."""
    batch: int | None = None
    swept: dict[str, list[Any]] = field(default_factory=dict)
    """Key of the configuration -> its values, in the order in which they come."""

    @property
    def to_do(self) -> list[PlannedJob]:
        return [job for job in self.jobs if job.state not in ("finished", "running")]


def plan_sweep(config: DictConfig, anew: bool, explicit: bool) -> Plan | None:
    """The plan of the sweep that `config` describes; its folder is the one of an earlier start, where there is one.

    `explicit` says that the user has named the folder, and `anew` that earlier starts do not count. None for another sweeper than
    Hydra's own, whose jobs nobody knows before. Raises GenlabError where the named folder holds other runs in the way.
    """
    if config.hydra.sweeper._target_ != BASIC:
        return None
    folder = Path(config.hydra.sweep.dir)
    told = tracked(_overrides_of_jobs(config), "composing the sweep", unit="jobs")
    jobs = [_compose(config, number, words) for number, words in enumerate(told)]
    _count_repeated(jobs)
    if explicit and anew and SweepFolder(folder).job_folders():
        raise GenlabError(f"hydra.sweep.dir={folder} holds jobs already; name another folder, or leave --anew out")
    if not explicit and not anew and (earlier := find_earlier(folder, [job.identity for job in jobs])) is not None:
        discard_if_empty(folder)  # the one that was made for a new sweep
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.sweep.dir = str(earlier)
            _name_folder(config, earlier)
        folder = earlier
    plan = Plan(folder, jobs, False, config.hydra.sweeper.get("max_batch_size"), _swept(jobs))
    known = SweepFolder(folder).refresh()["jobs"] if folder.is_dir() and _has_begun(folder) else []
    if known:
        plan.again = True
        _match(plan, config, known)
    return plan


def find_earlier(wanted: Path, identities: Sequence[str]) -> Path | None:
    """The newest sweep beside the folder `wanted` with exactly these jobs; None where there is none."""
    found: list[tuple[str, Path]] = []
    for file in wanted.parent.glob("*/sweep.json"):
        content = SweepFolder(file.parent).read()
        known = [str(job.get("identity")) for job in content.get("jobs", [])]
        if content.get("command") == "train" and Counter(known) == Counter(identities):
            found.append((str(content.get("started")), file.parent))
    return max(found)[1] if found else None


def _has_begun(folder: Path) -> bool:
    return (folder / "sweep.json").exists() or bool(SweepFolder(folder).job_folders())


def _name_folder(config: DictConfig, folder: Path) -> None:
    """Hydra composes the jobs of a sweep anew from the overrides: the folder is one of them."""
    given = config.hydra.overrides.hydra
    kept = [word for word in as_typed(given) if not word.lstrip("+").startswith("hydra.sweep.dir=")]
    config.hydra.overrides.hydra = [*kept, f"hydra.sweep.dir='{folder}'"]


def _overrides_of_jobs(config: DictConfig) -> list[list[str]]:
    """As Hydra's own sweeper makes them."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.get("params") or {}).items()]
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    overrides = parser.parse_overrides([*params, *as_typed(config.hydra.overrides.task)])
    return [list(words) for words in BasicSweeper.split_arguments(overrides, None)[0]]


def _compose(config: DictConfig, number: int, words: list[str]) -> PlannedJob:
    full = GlobalHydra.instance().config_loader().load_sweep_config(config, list(words))
    folder = _folder(full, number)
    with read_write(full), open_dict(full):
        del full["hydra"]
    composed = with_share_of_threads(with_typed_length(plain(full), words), config.hydra.launcher)
    return PlannedJob(words, composed, job_identity(composed), number, folder)


def _folder(full: DictConfig, number: int) -> str:
    """What Hydra would call the folder of the job of this number."""
    current = HydraConfig.instance()
    before = current.cfg
    with read_write(full.hydra), open_dict(full.hydra):
        full.hydra.job.num = full.hydra.job.id = number
    try:
        current.set_config(full)
        return str(full.hydra.sweep.subdir)
    finally:
        current.cfg = before


def _count_repeated(jobs: Sequence[PlannedJob]) -> None:
    """Jobs of one sweep with the same configuration but for names and paths are different jobs all the same."""
    seen: Counter[str] = Counter()
    for job in jobs:
        seen[job.identity] += 1
        if seen[job.identity] > 1:
            job.identity = f"{job.identity}-{seen[job.identity]}"


def _match(plan: Plan, config: DictConfig, known: Sequence[Entry]) -> None:
    """Give each job the folder of its earlier start, and each of the others a number and a folder of its own."""
    left = {str(entry["folder"]): entry for entry in known}
    matched: list[PlannedJob] = []
    for same in (_identical, _of_old):
        for job in (job for job in plan.jobs if job not in matched):
            found = sorted((e for e in left.values() if same(job, e)), key=lambda e: e["overrides"] != job.overrides)
            if found:
                entry = found[0]
                job.number, job.folder, job.state = entry["number"], str(entry["folder"]), str(entry["state"])
                del left[job.folder]
                matched.append(job)
    taken = {int(entry["number"]) for entry in known}
    for job in (job for job in plan.jobs if job not in matched):
        if changed := next((entry for entry in left.values() if entry["overrides"] == job.overrides), None):
            raise GenlabError(
                f"hydra.sweep.dir={plan.folder}: its job {changed['number']} ({', '.join(job.overrides)}) was trained with "
                "another configuration; name another folder, or leave hydra.sweep.dir out"
            )
        if job.number in taken:
            job.number = max(taken) + 1
            full = GlobalHydra.instance().config_loader().load_sweep_config(config, list(job.overrides))
            job.folder = _folder(full, job.number)
        taken.add(job.number)


def _identical(job: PlannedJob, entry: Mapping[str, Any]) -> bool:
    return entry.get("identity") == job.identity


def _of_old(job: PlannedJob, entry: Mapping[str, Any]) -> bool:
    """A job of before there were identities is known by its overrides, or by the name of its folder."""
    if entry.get("identity"):
        return False
    return bool(entry["overrides"] == job.overrides if entry["overrides"] else entry["folder"] == job.folder)


def _swept(jobs: Sequence[PlannedJob]) -> dict[str, list[Any]]:
    """The keys whose overrides differ, with the values that the configurations of the jobs have there."""
    typed = [dict(word.lstrip("+").split("=", 1) for word in job.overrides if "=" in word) for job in jobs]
    flat = [parameters(job.config) for job in jobs]
    found: dict[str, list[Any]] = {}
    for key in dict.fromkeys(key for words in typed for key in words):
        if len({words.get(key) for words in typed}) > 1:
            values = [one.get(key, words.get(key, "")) for one, words in zip(flat, typed, strict=True)]
            found[key] = list(dict.fromkeys(values))
    return found
