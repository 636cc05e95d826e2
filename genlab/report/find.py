"""Which runs the words on the command line mean: run folders, names, `latest`, globs, and folders that hold runs."""

import glob
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genlab.errors import GenlabError
from genlab.report.read_runs import Failure, Run, read_run
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import read_yaml
from genlab.tracking.which_run import find_run, noted_below, runs_named


def find_runs(words: Sequence[str]) -> tuple[list[Run], list[Failure]]:
    """The runs that `words` name, each once, and the jobs among them that never became a run.

    Raises GenlabError where a word names nothing, or no run is left.
    """
    folders: dict[Path, tuple[Path, str]] = {}  # resolved -> as the user reaches it, and the name in the comparison
    beside = {Path(word).parent for word in words if (Path(word) / "run.json").is_file()}
    for word in words:
        if Path(word).is_file() and Path(word).parent in beside:
            continue  # what a shell's SWEEP/* brings along
        name, place = split_name(word)
        for folder in _expand(place):
            folders.setdefault(folder.resolve(), (folder, name))
    found = [read_run(folder) for folder, _ in folders.values()]
    names = [name for _, name in folders.values()]
    found = [
        replace(run, name=name) if name and isinstance(run, Run) else run
        for run, name in zip(found, names, strict=True)
    ]
    runs = [run for run in found if isinstance(run, Run)]
    failures = [run for run in found if isinstance(run, Failure)]
    if not runs:
        first = failures[0]
        raise GenlabError(
            f"there is nothing to compare: {len(failures)} of {len(failures)} runs have no configuration; "
            f"the first, {first.path}: {first.error}"
        )
    return runs, failures


def split_name(word: str) -> tuple[str, str]:
    """NAME=RUN as its two parts; the name is empty where a word has none."""
    name, assigned, place = word.partition("=")
    if not assigned or "/" in name or Path(word).exists():
        return "", word
    return name, str(Path(place).expanduser())


def names_runs(word: str) -> bool:
    """Whether there is something that `word` can mean."""
    return bool(word) and (word == "latest" or Path(word).exists() or bool(glob.glob(word)) or bool(runs_named(word)))  # noqa: PTH207


def _expand(word: str) -> list[Path]:
    """Folders of the runs that one word names."""
    if word == "latest":
        return [find_run(word).path]
    if not Path(word).exists() and glob.has_magic(word) and not runs_named(word):
        matches = [Path(match) for match in sorted(glob.glob(word, recursive=True)) if Path(match).is_dir()]  # noqa: PTH207
        folders = [folder for match in matches for folder in _runs_in(match)]
        if not folders:
            what = f"matches {len(matches)} folders, but no run" if matches else "matches no folder"
            raise GenlabError(f"{word} {what}; name run folders, 'latest', a glob, or a folder that holds runs")
        return folders
    folders = _runs_in(Path(word))
    return folders or [find_run(word).path]  # which raises the error


def _runs_in(folder: Path) -> list[Path]:
    """Runs in `folder`, itself included, in the order of a sweep's jobs."""
    found = [path for path in noted_below(folder) if _is_training(path)]
    return sorted(found, key=lambda path: [(_number(part), part) for part in path.parts])


def _is_training(folder: Path) -> bool:
    """A training has a configuration, or has failed before it had one; jobs of other commands are not meant."""
    if (folder / "config.yaml").exists():
        return True
    info = RunFolder(folder).info()
    overrides = info.get("overrides") or _overrides(folder)
    return info.get("state") != "finished" and not any(str(line).startswith("run=") for line in overrides)


def _overrides(folder: Path) -> list[object]:
    try:
        lines = read_yaml(folder / ".hydra" / "overrides.yaml")
    except (OSError, GenlabError):
        return []
    return lines if isinstance(lines, list) else []


def _number(name: str) -> int:
    head = name.partition("_")[0]
    return int(head) if head.isdigit() else -1
