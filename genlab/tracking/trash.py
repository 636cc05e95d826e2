"""The trash: runs, and whole sweeps, that were removed and can be brought back to the place where they were.

    outputs/.trash/<folder>/origin.json   where it was, and when it was removed
    outputs/.trash/<folder>/content/      the folder itself

Removing is a move: until the trash is emptied it frees no disk. origin.json is there first, so that a process which is killed in
between loses nothing. Whatever looks for runs passes the trash by (which_run.py).
"""

import json
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError, did_you_mean
from genlab.tracking.next_steps import to_type
from genlab.tracking.own_folder import own_folder
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import read_json
from genlab.tracking.which_run import TRASH, find_run, noted_below

OUTPUTS = Path("outputs")


@dataclass(frozen=True)
class Removed:
    """A run or a sweep in the trash."""

    entry: Path
    origin: Path
    """Where it was, and where it comes back to; relative to the working folder, where it lay below the outputs."""
    removed: datetime | None

    @property
    def content(self) -> Path:
        return self.entry / "content"

    @property
    def word(self) -> str:
        """What names it: `genlab runs restore WORD`."""
        return self.entry.name

    @property
    def runs(self) -> list[Path]:
        return list(noted_below(self.content))

    @property
    def names(self) -> list[str]:
        """That its run was given, where it is one run."""
        name = RunFolder(self.content).info().get("name")
        return [str(name)] if name else []

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return size_of(self.content)

    def as_dict(self) -> dict[str, Any]:
        removed = None if self.removed is None else self.removed.isoformat()
        return {
            "run": str(self.origin),
            "word": self.word,
            "name": next(iter(self.names), None),
            "removed": removed,
            "runs": len(self.runs),
            "bytes": self.size,
        }


def size_of(folder: Path) -> int:
    """Bytes of the files in `folder`; links are not followed."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            total += os.lstat(f"{place}/{name}").st_size
    return total


def remove(folder: Path, outputs: Path = OUTPUTS, force: bool = False) -> Removed:
    """Move a run, or a sweep with all its jobs, into the trash.

    Raises GenlabError where the folder is neither, and where one of its runs is being trained. With `force` a run that another
    machine is said to train is moved all the same.
    """
    with ExitStack() as held:
        for run in removable(folder, force):
            held.enter_context(run.training())  # nobody can resume it meanwhile
        origin = _shortened(folder, outputs)
        entry = own_folder(outputs / TRASH / folder.resolve().name)
        now = datetime.now().astimezone()
        (entry / "origin.json").write_text(json.dumps({"path": str(origin), "removed": now.isoformat()}) + "\n")
        try:
            _move(folder, entry / "content")
        except BaseException:
            if not (entry / "content").exists():
                shutil.rmtree(entry, ignore_errors=True)
            raise
    return Removed(entry, origin, now)


def removable(folder: Path, force: bool = False) -> list[RunFolder]:
    """The runs that go with `folder`. Raises GenlabError as `remove` does."""
    runs = [RunFolder(path) for path in noted_below(folder)]
    is_sweep = (folder / "multirun.yaml").exists()
    if not (folder / "run.json").exists() and not (is_sweep and runs):
        what = (
            f"holds {len(runs)} runs and is no sweep; name them, or filter by state=, model=, ..."
            if runs
            else "is no run"
        )
        raise GenlabError(f"{folder} {what}; see {to_type('runs', '--help')}")
    inner = [run.path for run in runs if run.path.resolve() != folder.resolve()]
    if inner and not is_sweep:
        raise GenlabError(
            f"{folder} is a run with {len(inner)} other runs in its folder, such as {inner[0]}; move these first"
        )
    for run in runs:
        _refuse_running(run, force)
    return runs


def _refuse_running(run: RunFolder, force: bool) -> None:
    if run.state != "running":
        return
    host = run.elsewhere
    if host is None:
        raise GenlabError(f"{run.path} is being trained; stop it first (Ctrl-C there, which saves it), or wait for it")
    if not force:
        raise GenlabError(f"{run.path} is being trained on {host}; stop it there, or add --force where it has ended")


def in_trash(outputs: Path = OUTPUTS) -> list[Removed]:
    """What the trash holds, the newest first."""
    found = []
    for entry in sorted((outputs / TRASH).glob("*")) if (outputs / TRASH).is_dir() else []:
        if not (entry / "content").is_dir():
            continue  # a removal that was killed before it moved anything
        try:
            note = read_json(entry / "origin.json")
            origin = Path(str(note["path"]))
            removed = datetime.fromisoformat(str(note["removed"]))
        except (OSError, GenlabError, LookupError, TypeError, ValueError):
            origin, removed = outputs / "train" / entry.name, None
        found.append(Removed(entry, origin, removed))
    return sorted(found, key=lambda one: one.removed.timestamp() if one.removed else 0.0, reverse=True)


def find_removed(word: str, outputs: Path = OUTPUTS) -> Removed:
    """What `word` names in the trash: its folder there or before, its name, or a part that no other has.

    Raises GenlabError where that is none, or several.
    """
    entries = in_trash(outputs)
    text = word.rstrip("/")
    tests = (
        lambda one: text in (one.word, str(one.origin), str(one.origin.absolute()), str(one.entry)),
        lambda one: text in one.names or text == one.origin.name,
        lambda one: len(text) >= 4 and text in one.word,
    )
    for test in tests:
        if found := [one for one in entries if test(one)]:
            break
    if len(found) == 1:
        return found[0]
    if found:
        raise GenlabError(
            f"{word}: {len(found)} of the removed runs are called so; give one of: {', '.join(o.word for o in found)}"
        )
    known = [known for one in entries for known in (one.word, *one.names)]
    hint = f"there is no such run in the trash; {did_you_mean(word, known)}" if known else "the trash is empty"
    raise GenlabError(f"{word}: {hint}")


def restore(removed: Removed) -> Path:
    """Move it back to where it was, and return that. Raises GenlabError where something lies there now."""
    origin = removed.origin
    if os.path.lexists(origin):
        raise GenlabError(f"{origin} is there again; move it away or remove it, then restore {removed.word}")
    if any(parent.is_file() for parent in origin.parents):
        raise GenlabError(f"{origin}: a folder of this path is a file now; move it away, then restore {removed.word}")
    origin.parent.mkdir(parents=True, exist_ok=True)
    _move(removed.content, origin)
    shutil.rmtree(removed.entry, ignore_errors=True)
    return origin


def empty(outputs: Path = OUTPUTS) -> None:
    """Delete everything in the trash, for good."""
    if (outputs / TRASH).is_symlink():
        raise GenlabError(f"{outputs / TRASH} is a link; remove what it leads to yourself")
    if (outputs / TRASH).is_dir():
        shutil.rmtree(outputs / TRASH)


def find_to_remove(word: str, outputs: Path = OUTPUTS) -> Path:
    """The folder of the run, or of the sweep, that `word` names."""
    folder = Path(word)
    if os.path.isdir(word) and not (folder / "run.json").exists() and next(noted_below(folder), None):  # noqa: PTH112
        return folder
    if "/" not in word and (sweep := outputs / "train" / "sweep" / word) and (sweep / "multirun.yaml").exists():
        return sweep
    return find_run(word, outputs, wanted="any").path


def _shortened(folder: Path, outputs: Path) -> Path:
    """As it is seen from the working folder where it lies below the outputs, which may move with it; else the whole path."""
    whole, home = folder.absolute(), outputs.absolute()
    whole = whole.parent.resolve() / whole.name
    home = home.resolve()
    return outputs / whole.relative_to(home) if whole.is_relative_to(home) else whole


def _move(folder: Path, target: Path) -> None:
    """A rename; to another disk a copy, which is complete before the original goes."""
    try:
        folder.rename(target)
    except OSError:
        if folder.stat().st_dev == target.parent.stat().st_dev:
            raise
        partial = target.with_name(target.name + ".partial")
        shutil.copytree(folder, partial, symlinks=True)
        partial.rename(target)
        shutil.rmtree(folder)
