"""Which run a word of the command line means: a folder, a name that `name=` gave, or `latest`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from genlab.errors import GenlabError
from genlab.tracking.console import console
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import check_folder

Wanted = Literal["finished", "resumable", "any"]

LONGEST_NAME = 40  # characters


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
        runs = [RunFolder(path) for path in _runs_below(outputs / "train")]
        if not runs:
            raise GenlabError(
                f"run=latest: there is no run under {outputs / 'train'} yet; start one with: {to_type('train')}"
            )
        return newest_run(runs, wanted)
    path = Path(run)
    if not os.path.isdir(run):  # noqa: PTH112  (Path.is_dir raises for a name that is too long)
        named = runs_named(run, outputs)
        if len(named) == 1:
            return RunFolder(named[0])
        if named:
            raise GenlabError(
                f"run={run}: {len(named)} runs have this name; give a folder: {', '.join(map(str, named))}"
            )
        raise GenlabError(f"run={run}: there is no such folder and no run of this name; name a run folder, or 'latest'")
    if path not in _runs_below(path):
        inner = next(iter(_runs_below(path)), None)
        hint = f"; did you mean {inner}?" if inner else "; a run folder is what genlab train leaves behind"
        raise GenlabError(f"run={run} is not a run folder (run.json and config.yaml are not both there){hint}")
    return RunFolder(path)


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
    """Runs under outputs/train of this name, which `name=` gave them, or else whose folder is called so."""
    runs = _runs_below(outputs / "train")
    given = [path for path in runs if RunFolder(path).info().get("name") == name]
    return given or [path for path in runs if path.name == name]


def check_name(name: object) -> None:
    """Raises GenlabError where `name` cannot be the name of a run; None is no name."""
    if name is None:
        return
    text = str(name) if isinstance(name, str | int | float) and not isinstance(name, bool) else ""
    if not text.strip() or not text.isprintable() or len(text) > LONGEST_NAME or set("/\\=") & set(text):
        raise GenlabError(
            f"name={name}: should be a few words of {LONGEST_NAME} characters at most, without '/' and '=', as in name=wide"
        )
    if text in ("latest", "null"):
        raise GenlabError(f"name={name}: run={name} means something else already; choose another name")


def _runs_below(folder: Path) -> list[Path]:
    """Folders of the runs in `folder`, itself included."""
    return [path.parent for path in sorted(folder.glob("**/run.json")) if (path.parent / "config.yaml").exists()]


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
