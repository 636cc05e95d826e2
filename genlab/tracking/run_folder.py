"""A run folder: what a run leaves behind, and the one place that writes it.

config.yaml      the resolved configuration
run.json         state, seed, versions, device, git, cost, results
metrics.jsonl    every scalar, one line a record, beside TensorBoard
checkpoints/     last.pt, best.pt
tensorboard/     scalars, images, layout, hparams
samples/         pictures
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout

from genlab import __version__
from genlab.errors import GenlabError

State = Literal["running", "finished", "failed", "interrupted"]
LONGEST_NAME = 40  # characters


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"
        self.samples = path / "samples"
        self.metrics = path / "metrics.jsonl"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.pt"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.pt"

    def create(self, config: Mapping[str, Any], hydra_files: Mapping[str, str] | None = None) -> None:
        """Lay out a new run, with `hydra_files` (name -> text) beside the configuration in .hydra.

        Raises GenlabError where the folder holds a run already.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        try:
            (self.path / "run.json").touch(exist_ok=False)
        except FileExistsError:
            raise GenlabError(
                f"hydra.run.dir={self.path} holds a run already; name another folder, or go on with: genlab resume {self.path}"
            ) from None
        self.samples.mkdir(exist_ok=True)
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        _write_atomically(self.path / "config.yaml", text)
        (self.path / ".hydra").mkdir(exist_ok=True)
        for name, content in {"config.yaml": text, **(hydra_files or {})}.items():
            _write_atomically(self.path / ".hydra" / name, content)
        self.note(
            state="running",
            started=_now(),
            seed=config.get("seed"),
            name=None if config.get("name") is None else str(config["name"]),
            versions=_versions(),
            git=_git(),
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process from training the same run. The lock of a killed process ends with it."""
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise GenlabError(
                f"run={self.path} is being trained by another process; wait for it, or stop it first"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def info(self) -> dict[str, Any]:
        """The content of run.json."""
        try:
            info = json.loads((self.path / "run.json").read_text() or "{}")
        except (OSError, ValueError):
            info = {}
        return info if isinstance(info, dict) else {}

    def shortest_name(self) -> str:
        """What to write for this run after `run=`: the name that it was given, 'latest', or its folder."""
        name = self.info().get("name")
        if name and not Path(name).is_dir() and [path.resolve() for path in runs_named(name)] == [self.path.resolve()]:
            return str(name)
        if (self.path.parent / "multirun.yaml").exists():  # other jobs of the sweep follow
            return str(self.path)
        try:
            return "latest" if find_run("latest").path.resolve() == self.path.resolve() else str(self.path)
        except GenlabError:
            return str(self.path)

    def note(self, **facts: Any) -> None:
        """Add facts to run.json."""
        _write_atomically(self.path / "run.json", json.dumps({**self.info(), **facts}, indent=1) + "\n")

    def end(self, state: State, **facts: Any) -> None:
        self.note(state=state, ended=_now(), **facts)

    def record(self, values: Mapping[str, int | float]) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(values) + "\n")

    def log_sizes(self) -> dict[str, int]:
        """Length of every log file, to be noted in a checkpoint."""
        files = [self.metrics, *self.tensorboard.glob("events.out.tfevents.*")]
        return {str(f.relative_to(self.path)): f.stat().st_size for f in files if f.exists()}

    def cut_logs(self, sizes: Mapping[str, int]) -> None:
        """Cut every log file back to the length that a checkpoint noted, and remove those that it did not know."""
        for file in [self.metrics, *self.tensorboard.glob("events.out.tfevents.*")]:
            size = sizes.get(str(file.relative_to(self.path)), 0)
            if size == 0:
                file.unlink(missing_ok=True)
            elif file.stat().st_size > size:
                os.truncate(file, size)


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="microseconds")


def _versions() -> dict[str, str]:
    import numpy
    import torch

    return {
        "genlab": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
    }


def _git() -> dict[str, str | bool] | None:
    """Commit of the source that is running, where it is a git checkout."""
    source = Path(__file__).parents[2]
    if not (source / ".git").exists():
        return None
    try:
        run = [
            subprocess.run(
                ["git", "-C", str(source), *args], capture_output=True, text=True, timeout=5, check=True
            ).stdout
            for args in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": run[0].strip(), "modified": bool(run[1].strip())}


def find_run(run: str, outputs: Path = Path("outputs")) -> RunFolder:
    """The run folder that `run` names; `latest` is the one started last under outputs/train.

    Raises GenlabError where there is none.
    """
    if run == "latest":
        runs = _runs_below(outputs / "train")
        if not runs:
            raise GenlabError(
                f"run=latest: there is no run under {outputs / 'train'} yet; start one with: genlab train"
            )
        started = {path: str(RunFolder(path).info().get("started", "")) for path in runs}
        return RunFolder(max(runs, key=lambda path: started[path]))
    path = Path(run)
    if not path.is_dir():
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
