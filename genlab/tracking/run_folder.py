"""A run folder: what a run leaves behind, and the one place that writes it.

config.yaml      the resolved configuration
run.json         state, seed, versions, device, git, cost, results, name, tags, note
metrics.jsonl    every scalar, one line a record, beside TensorBoard
checkpoints/     last.pt, best.pt
tensorboard/     scalars, images, layout, hparams
samples/         pictures
"""

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout

from genlab import __version__
from genlab.errors import GenlabError
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_names import of_config
from genlab.tracking.shared_files import alone_in, write_atomically
from genlab.tracking.untrusted import read_json

State = Literal["running", "finished", "failed", "interrupted", "pruned"]

KILLED = "its process ended without a word: killed, out of memory, or the machine stopped"
OWN = {
    "checkpoints",
    "samples",
    "tensorboard",
    ".hydra",
    ".lock",
    "config.yaml",
    "config.yaml.partial",
    "metrics.jsonl",
}
OWN |= {"run.json.partial", "multirun.yaml"}
"""What a run that was killed before it had a run.json may have left."""
PATIENCE = 1.0  # seconds in which whoever only looks at a lock has let go of it


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.tensorboard = path / "tensorboard"
        self.samples = path / "samples"
        self.metrics = path / "metrics.jsonl"
        self._lock = FileLock(path / ".lock")

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.pt"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.pt"

    def create(
        self,
        config: Mapping[str, Any],
        hydra_files: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        **facts: Any,
    ) -> None:
        """Lay out a new run, with `hydra_files` (name -> text) beside the configuration in .hydra, and the words of the command.

        `facts` are noted in run.json as well.

        From now on it is running, and this object holds its lock. Raises GenlabError where the folder holds a run already.

        run.json comes last: a folder is a run once it is there, and can then be resumed. Of a process that is killed before, a
        new run finds nothing that it would not write anew.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._refuse_foreign()
        with contextlib.suppress(Timeout):
            self._lock.acquire(timeout=PATIENCE)
        if not self._lock.is_locked or (self.path / "run.json").exists():
            self._lock.release()
            raise GenlabError(
                f"hydra.run.dir={self.path} holds a run already; name another folder, or go on with: "
                f"{to_type('resume', self.path)}"
            )
        for folder in (self.checkpoints, self.samples, self.path / ".hydra"):
            folder.mkdir(exist_ok=True)
        text = self.write_config(config)
        for name, content in {"config.yaml": text, **(hydra_files or {})}.items():
            write_atomically(self.path / ".hydra" / name, content)
        self.begin(
            started=_now(),
            seed=config.get("seed"),
            **of_config(config).facts(),
            versions=_versions(),
            git=_git(),
            command=list(command or [Path(sys.argv[0]).name, *sys.argv[1:]]),
            **facts,
        )

    def _refuse_foreign(self) -> None:
        """Raises GenlabError where the folder holds what no run has left: it would go to the trash with the run."""
        if (self.path / "run.json").exists():
            return
        foreign = sorted(file.name for file in self.path.iterdir() if file.name not in OWN)
        if foreign:
            raise GenlabError(
                f"hydra.run.dir={self.path} holds other files already ({', '.join(foreign[:3])}{', ...' * (len(foreign) > 3)}); "
                "name a folder that is empty or not there"
            )

    def write_config(self, config: Mapping[str, Any]) -> str:
        """Write config.yaml and return its text."""
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        write_atomically(self.path / "config.yaml", text)
        return text

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Keep a second process from training the same run. The lock of a killed process ends with it.

        Raises GenlabError where another process trains it.
        """
        try:
            self._lock.acquire(timeout=PATIENCE, poll_interval=0.05)
        except Timeout:
            raise GenlabError(
                f"run={self.path} is being trained by another process{self._where()}; wait for it, or stop it first"
            ) from None
        for pattern in ("run.json.partial", "config.yaml.partial", ".hydra/*.partial", "checkpoints/*.partial"):
            for cut_short in self.path.glob(pattern):  # by a process that was killed while it wrote
                cut_short.unlink(missing_ok=True)
        try:
            yield
        finally:
            self._lock.release(force=True)

    def begin(self, **facts: Any) -> None:
        """Note that this process, which holds the lock, trains the run, and `facts` with it."""
        self.note(**facts, state="running", error=None, process={**_this_machine(), "pid": os.getpid()})

    @property
    def state(self) -> str:
        """running, finished, failed, interrupted, or unknown.

        A run whose process is gone is interrupted, and whoever finds that out puts run.json right. Of one that another machine
        trains only that machine knows: it is running until run.json says otherwise.
        """
        info = self.info()
        state = str(info.get("state") or "unknown")
        return "interrupted" if state == "running" and self._is_abandoned(info) else state

    @property
    def error(self) -> str | None:
        """Why it did not finish, in words; None where nothing is known of an error."""
        info = self.info()
        if info.get("state") == "running" and self._is_abandoned(info):
            return KILLED
        return None if info.get("error") is None else str(info["error"])

    @property
    def elsewhere(self) -> str | None:
        """The machine that trains it and when it last wrote, where that is another machine; else None.

        Nobody here can tell whether its process is alive: whoever reads the time can.
        """
        process = self.info().get("process")
        if self.state != "running" or not isinstance(process, Mapping) or _is_here(process):
            return None
        written = max(
            path.stat().st_mtime for path in (self.path / "run.json", self.metrics, self.last) if path.exists()
        )
        return f"{process.get('host')}, which last wrote at {datetime.fromtimestamp(written):%Y-%m-%d %H:%M}"

    def _is_abandoned(self, info: Mapping[str, Any]) -> bool:
        """Whether its process ran on this machine and holds the lock no longer; then run.json is put right, if it can be.

        The lock ends with its process, however that ended. So it does not matter who has the process id now.
        """
        process = info.get("process")
        if not isinstance(process, Mapping) or not _is_here(process) or (self.path / ".lock").is_symlink():
            return False
        if self._lock.is_locked:
            return False
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):  # held, or nobody can tell here
            return False
        try:
            if self.info().get("state") != "running":  # it has ended in this moment
                return False
            with contextlib.suppress(OSError):  # a folder that can only be read
                self.note(state="interrupted", error=KILLED)
            return True
        finally:
            lock.release()

    def _where(self) -> str:
        process = self.info().get("process")
        return f" ({process.get('pid')} on {process.get('host')})" if isinstance(process, Mapping) else ""

    def info(self) -> dict[str, Any]:
        """The content of run.json."""
        try:
            info = read_json(self.path / "run.json")
        except (OSError, GenlabError):
            info = {}
        return info if isinstance(info, dict) else {}

    def note(self, **facts: Any) -> None:
        """Add facts to run.json."""
        self.update(lambda info: facts)

    def update(self, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
        """Add to run.json the facts that `change` makes of its content.

        Of several processes, the trainer and a user who gives it a tag, one writes after the other, so that nothing is lost.
        """
        with alone_in(self.path):
            info = self.info()
            write_atomically(self.path / "run.json", json.dumps({**info, **change(info)}, indent=1) + "\n")

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


def _this_machine() -> dict[str, str]:
    """Its name, and a hash of its identity, as names repeat."""
    try:
        identity = hashlib.sha256(Path("/etc/machine-id").read_bytes()).hexdigest()[:12]
    except OSError:
        identity = ""
    return {"host": platform.node(), "machine": identity}


def _is_here(process: Mapping[str, Any]) -> bool:
    return all(process.get(key) == value for key, value in _this_machine().items())


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
