"""One training in several processes of this machine (device.processes): started by torch's elastic agent, watched until the end.

What the processes do is in taking_part.py. This process only waits: it hands signals on, and says in one line how it ended.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType
from typing import Any

from genlab.config.targets import ALLOW
from genlab.errors import GenlabError, InterruptedRun
from genlab.tracking.console import console
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_folder import RunFolder

SHUTDOWN = 10
"""Seconds that the others have to end in, where one process has died."""


def in_processes(count: int, run: RunFolder, timeout: float, job: Mapping[str, Any]) -> float:
    """Do `job`, a training in the folder of `run`, in `count` processes; returns the best validation loss.

    Raises what the first of them raised: GenlabError, or InterruptedRun after a checkpoint. GenlabError where one of them died.
    """
    with tempfile.TemporaryDirectory(prefix="genlab-processes-") as name:
        folder = Path(name)
        told = {**job, "timeout": timeout, "quiet": console.quiet, "path": sys.path, "allow": os.environ.get(ALLOW)}
        (folder / "job.json").write_text(json.dumps(told))
        with ThreadPoolExecutor(1) as pool, _handed_on(folder):
            agent = pool.submit(_run_agent, count, folder)
            while not agent.done():
                wait([agent], timeout=0.2)
        return _outcome(folder, count, run, agent)


def _run_agent(count: int, folder: Path) -> None:
    """Start the processes and wait for all of them. In a thread, so that signals stay with the main one."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.launcher"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(SHUTDOWN)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=folder.name,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        monitor_interval=0.2,
        logs_specs=DefaultLogsSpecs(str(folder / "logs")),  # else in a folder that stays behind
    )
    elastic_launch(config, sys.executable)("-m", "genlab.interface.taking_part", str(folder))


@contextlib.contextmanager
def _handed_on(folder: Path) -> Iterator[None]:
    """Within the block SIGINT and SIGTERM go to the processes, which decide together when they stop."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        for file in folder.glob("pid_*"):
            with contextlib.suppress(OSError, ValueError):  # it has ended
                os.kill(int(file.read_text()), number)

    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to no other
        yield
        return
    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outcome(folder: Path, count: int, run: RunFolder, agent: "Future[None]") -> float:
    """What the first process has written; else which one has died, and what that leaves."""
    first = _written(folder, 0)
    if first is not None and not first.get("lost"):
        if first["kind"] == "finished":
            return float(first["value"])
        if first["kind"] == "stopped":  # at once, by a second signal
            raise KeyboardInterrupt
        if first["kind"] == "interrupted":
            raise InterruptedRun(first["message"], int(first["signal"]))
        raise GenlabError(first["message"])
    reason = next(
        (
            f"process {rank} of {count}: {found['message']}"
            for rank in range(1, count)
            if (found := _written(folder, rank)) is not None and not found.get("lost")
        ),
        None,
    )
    line = f"{reason or _died(agent, count, folder)}; {_left(run)}"
    if (run.path / "run.json").exists():
        run.note(state="failed", error=line)
    raise GenlabError(line)


def _written(folder: Path, rank: int) -> dict[str, Any] | None:
    file = folder / f"outcome_{rank}.json"
    return json.loads(file.read_text()) if file.exists() else None


def _died(agent: "Future[None]", count: int, folder: Path) -> str:
    """Which process ended without a word, as the agent tells."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    error = agent.exception()
    if not isinstance(error, ChildFailedError):
        return f"the {count} processes ended without a word ({error or 'no reason is known'})"
    silent = {rank: failure for rank, failure in error.failures.items() if _written(folder, rank) is None}
    rank, failure = min((silent or error.failures).items(), key=lambda item: item[1].timestamp)
    lost = [found["message"] for other in range(count) if (found := _written(folder, other)) is not None]
    if any("imed out" in message for message in lost):
        return f"process {rank} of {count} has not answered for longer than device.timeout allows"
    how = f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with code {failure.exitcode}"
    return f"process {rank} of {count} {how}, so that the training cannot go on"


def _left(run: RunFolder) -> str:
    """What a training that was cut short has left."""
    if run.last.exists():
        return f"the last checkpoint is whole: {to_type('resume', run.path)}"
    if (run.path / "run.json").exists():
        return f"no checkpoint yet: {to_type('resume', run.path)} starts it anew"
    return "nothing was written yet: start it again"
