"""Which run a word of the command line means: a folder, a name that `name=` gave, a part of a folder's name, or `latest`."""

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from genlab.errors import GenlabError
from genlab.tracking.console import console
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import check_folder

Wanted = Literal["finished", "resumable", "any"]

LEAST_PART = 4  # characters of a folder's name that may stand for it
MOST_LISTED = 4  # folders in a message
TRASH = ".trash"
"""Folder of removed runs, in the folder of all outputs. Nothing that looks for runs goes into it."""
OF_A_RUN = {"checkpoints", "tensorboard", "samples", "evaluation", ".hydra"}
"""Folders of a run in which there are no other runs."""


def find_run(run: str, outputs: Path = Path("outputs"), wanted: Wanted = "finished") -> RunFolder:
    """The run folder that `run` names; `latest` is the newest run under outputs/train that is `wanted`.

    Where no run has finished, the newest of the others stands in, and one line says so. Raises GenlabError where there is none,
    or where links lead out of it.
    """
    found = _find(run, outputs, wanted)
    check_folder(found.path)
    return found


def _find(run: str, outputs: Path, wanted: Wanted) -> RunFolder:
    if run == "latest":
        runs = [RunFolder(path) for path in runs_below(outputs / "train")]
        if not runs:
            raise GenlabError(
                f"run=latest: there is no run under {outputs / 'train'} yet; start one with: {to_type('train')}"
            )
        return newest_run(runs, wanted)
    path = Path(run)
    is_folder = os.path.isdir(run)  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
    if is_folder and _is_run(path):
        return RunFolder(path)
    named = runs_named(run, outputs)
    if len(named) == 1:
        return RunFolder(named[0])
    if named:
        raise GenlabError(f"run={run}: {len(named)} runs have this name; give a folder: {_listed(named)}")
    if is_folder:
        inner = next(iter(runs_below(path)), None)
        hint = f"; did you mean {inner}?" if inner else "; a run folder is what genlab train leaves behind"
        raise GenlabError(f"run={run} is not a run folder (run.json and config.yaml are not both there){hint}")
    hint = _in_trash(run, outputs) or _similar(run, outputs)
    raise GenlabError(f"run={run}: there is no such folder and no run of this name; {hint}")


def _in_trash(run: str, outputs: Path) -> str:
    """How to bring a run of this name back from the trash, where it is there; else empty."""
    for entry in sorted((outputs / TRASH).glob("*")):
        if run in (entry.name, RunFolder(entry / "content").info().get("name")):
            return f"it is in the trash: {to_type('runs', 'restore', run)}"
    return ""


def _listed(folders: Sequence[Path]) -> str:
    more = f" and {len(folders) - MOST_LISTED} more" if len(folders) > MOST_LISTED else ""
    return ", ".join(map(str, folders[:MOST_LISTED])) + more


def _similar(run: str, outputs: Path) -> str:
    """What the user may have meant; there is no run of the name `run`."""
    runs = runs_below(outputs / "train")
    known = [str(RunFolder(path).info().get("name") or "") for path in runs] + [path.name for path in runs]
    lower = {name.lower(): name for name in known if name}
    if close := get_close_matches(run.lower(), lower, n=1):
        return f"did you mean '{lower[close[0]]}'?"
    return "name a run folder, or 'latest'" + (f"; {to_type('runs')} shows what there is" if runs else "")


def newest_run(runs: Sequence[RunFolder], wanted: Wanted = "finished") -> RunFolder:
    """The one of `runs` (at least one) that was started last and is `wanted`.

    Where none has finished, the newest with a checkpoint stands in, and one line says so. Raises GenlabError where none will do.
    """
    started = {run.path: str(run.info().get("started", "")) for run in runs}
    by_age = sorted(runs, key=lambda run: started[run.path], reverse=True)
    if wanted == "any":
        return by_age[0]
    states = {run.path: run.state for run in by_age}
    if wanted == "resumable":
        found = next((run for run in by_age if states[run.path] in ("interrupted", "failed")), None)
        if found is None:
            newest = by_age[0]
            raise GenlabError(
                f"run=latest: there is no run to go on with; the newest, {newest.path}, is {states[newest.path]}; "
                "start one with: genlab train"
            )
        return found
    found = next((run for run in by_age if states[run.path] == "finished"), None)
    if found is None:
        found = next((run for run in by_age if run.last.exists()), None)
        if found is None:
            newest = by_age[0]
            raise GenlabError(
                f"run=latest: no run has finished, and none has a checkpoint; the newest, {newest.path}, is "
                f"{states[newest.path]}; wait for it, or go on with: genlab resume latest"
            )
        _say_once(
            f"run=latest: no run has finished; this is the newest of the others, {states[found.path]}: {found.path}"
        )
    return found


_said: set[str] = set()


def _say_once(line: str) -> None:
    """A command looks for its run more than once."""
    if line not in _said:
        _said.add(line)
        console.print(line, style="yellow", markup=False)


def runs_named(name: str, outputs: Path = Path("outputs")) -> list[Path]:
    """Runs under outputs/train of this name.

    That is the one which `name=` gave them, or else that of their folder (SWEEP/JOB for a job of a sweep), or else a part of it
    that no other has, such as its time, of LEAST_PART characters or more.
    """
    runs = runs_below(outputs / "train")
    given = [path for path in runs if RunFolder(path).info().get("name") == name]
    if given:
        return given
    depth = len(Path(name).parts)

    def end(path: Path) -> str:
        return "/".join(path.parts[-depth:])

    whole = [path for path in runs if end(path) == name]
    if whole or len(name) < LEAST_PART:
        return whole
    return [path for path in runs if name in end(path)]


def runs_below(folder: Path) -> list[Path]:
    """Folders of the runs in `folder`, itself included, by their paths; none of those in the trash."""
    return [path for path in sorted(noted_below(folder)) if (path / "config.yaml").exists()]


def noted_below(folder: Path) -> Iterator[Path]:
    """Folders in `folder`, itself included, that hold a run.json: runs, and jobs of sweeps that never became one."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    is_run = any(entry.name == "run.json" for entry in entries)
    if is_run:
        yield folder
    skipped = {TRASH} | (OF_A_RUN if is_run else set())
    for entry in entries:
        if entry.name not in skipped and entry.is_dir(follow_symlinks=False):
            yield from noted_below(folder / entry.name)


def _is_run(folder: Path) -> bool:
    return (folder / "run.json").exists() and (folder / "config.yaml").exists()


def shortest_name(run: RunFolder) -> str:
    """What to write for this run after `run=`: the name that it was given, 'latest', or its folder."""
    name = run.info().get("name")
    if name and not Path(name).is_dir() and [path.resolve() for path in runs_named(name)] == [run.path.resolve()]:
        return str(name)
    if (run.path.parent / "multirun.yaml").exists():  # other jobs of the sweep follow
        return str(run.path)
    try:
        return "latest" if find_run("latest").path.resolve() == run.path.resolve() else str(run.path)
    except GenlabError:
        return str(run.path)
