"""One of the processes that train a model together: the first leads and does all that a single process does, the others follow.

    python -m genlab.interface.taking_part FOLDER     started by processes.py, with its job in FOLDER
    torchrun --nproc-per-node 2 -m genlab train ...   started by others, as cli.py finds in the environment

The first process alone reads the command line, composes, writes and prints. It tells the others the resolved configuration.
"""

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from genlab.config.targets import ALLOW
from genlab.errors import GenlabError, InterruptedRun, complain
from genlab.numerics import ranks


def main(folder: Path) -> int:
    """Do the job that lies in `folder`; what came of it is written there."""
    job = json.loads((folder / "job.json").read_text())
    rank, _ = ranks.of_environment()
    (folder / f"pid_{rank}").write_text(str(os.getpid()))
    starter = os.getppid()
    _watch_over(starter, folder)
    sys.path[:] = job["path"]
    _allow(job["allow"])
    outcome: dict[str, Any] = {"kind": "failed", "message": "it ended without a word"}
    try:
        if rank > 0:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        ranks.join(job["timeout"])
        outcome = {"kind": "finished", "value": _lead(job) if rank == 0 else follow()}
    except InterruptedRun as stop:
        outcome = {"kind": "interrupted", "message": str(stop), "signal": stop.signal_number}
        with contextlib.suppress(RuntimeError):  # all have agreed to stop, and may be gone
            ranks.tell(None)
    except KeyboardInterrupt:
        outcome = {"kind": "stopped"}
    except BaseException as error:
        lost, line = _is_loss(error), _explained(error)
        if line is None and not lost:
            traceback.print_exc()
        outcome = {"kind": "failed", "message": line or _named(error), "lost": lost}
    partial = folder / f"outcome_{rank}.partial"
    with contextlib.suppress(FileNotFoundError):  # the one that started this process has ended, and the folder is gone
        partial.write_text(json.dumps(outcome))
        partial.replace(folder / f"outcome_{rank}.json")
    parted = outcome["kind"] in ("finished", "interrupted")
    if parted:  # else others wait in the middle of an update, and so would this one
        ranks.leave()
    if os.getppid() != starter:
        shutil.rmtree(folder, ignore_errors=True)
    return int(not parted)


def _lead(job: dict[str, Any]) -> float:
    from genlab.tracking.console import console

    console.quiet = job["quiet"]
    if job["do"] == "resume":
        from genlab.interface.resuming import resume

        found = resume(job["run"], job["overrides"], job["shell"])
    else:
        from genlab.interface.training_run import train_run

        kept = (job["hydra_files"], job["command"], job["shell"])
        found = train_run(job["config"], Path(job["folder"]), *kept, **job["facts"])
    ranks.tell(None)
    return found


def follow() -> float:
    """Take part in one training after another, until there is none."""
    while (job := ranks.listen()) is not None:
        from genlab.experiment.experiment import Experiment

        sys.path += [folder for folder in job["path"] if folder not in sys.path]
        _allow(job["allow"])
        experiment = Experiment(job["config"])
        experiment.build()
        experiment.follower(Path(job["last"]) if job["last"] else None).fit()
    return 0.0


def lead_or_follow(command: Callable[[], int]) -> int:
    """`command` in the first of the processes that somebody else has started; the others follow. Then the process ends.

    Returns the exit code where they do not meet.
    """
    try:
        ranks.join()
    except GenlabError as error:
        if not ranks.follows():
            raise
        complain(str(error))
        return 2
    if ranks.follows():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
        try:
            follow()
        except BaseException as error:
            if not _is_loss(error):
                complain(f"process {ranks.rank()}: {_explained(error) or _named(error)}")
            _end(1)
        ranks.leave()
        _end(0)
    code = command()
    if code == 0 or code > 128:  # all have agreed to stop
        ranks.tell(None)
        ranks.leave()
    _end(code)


def _end(code: int) -> NoReturn:
    """End this process without a word of the threads that messages have left."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _allow(targets: str | None) -> None:
    if targets is not None:
        os.environ[ALLOW] = targets


def _explained(error: BaseException) -> str | None:
    """A user's mistake in a line; None for a fault of genlab's own."""
    from genlab.composition.explain import explain

    return explain(error, "train", [])


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _is_loss(error: BaseException | None) -> bool:
    """Whether it is that of a message to a process that is gone, or does not answer."""
    import torch.distributed as dist

    words = ("Connection closed by peer", "Connection reset", "Timed out", "timed out", "gloo", "NCCL", "Broken pipe")
    while error is not None:
        if isinstance(error, dist.DistError) or any(word in str(error) for word in words):
            return True
        error = error.__cause__
    return False


def _watch_over(parent: int, folder: Path) -> None:
    """End this process soon after the one that started it has ended, and remove the `folder` of its job: nobody else would."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        shutil.rmtree(folder, ignore_errors=True)
        os.kill(os.getpid(), 15)
        time.sleep(30)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end(main(Path(sys.argv[1])))
