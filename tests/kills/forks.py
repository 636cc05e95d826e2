"""Commands of genlab in forked processes: torch is imported once, and a start costs milliseconds. Kills are real SIGKILLs.

A process is killed at one of its file events (a file is opened to be written, renamed, removed, cut; a folder is made), in the
middle of writing a checkpoint, a record or an event, or when so many seconds are over.
"""

import io
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["event", "end", "checkpoint", "record", "curve", "time"]

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.truncate", "os.rmdir", "os.link", "os.symlink")


@dataclass(frozen=True)
class Moment:
    """When a process is killed: before its file event number `at`, also of those after the last update (end); within its write
    number `at`; after `at` seconds."""

    kind: Kind
    at: float
    share: float = 0.5
    """Of the bytes of that write which reach the disk."""


def fork(arguments: Sequence[str], folder: Path, moment: Moment | None = None) -> int | None:
    """`genlab ARGUMENTS` in a process of its own in `folder`, killed at `moment`; its exit code, or None where it was killed.

    What it prints goes into folder/said.txt, the number of its file events into folder/events.txt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _run(arguments, folder, moment)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    if moment is not None and moment.kind == "time":
        time.sleep(moment.at)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _run(arguments: Sequence[str], folder: Path, moment: Moment | None) -> int:
    from genlab.cli import main

    os.chdir(folder)
    said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    count = _count_file_events(folder, moment)
    if moment is not None:
        _tear(moment)
    code = main(arguments)
    (folder / "events.txt").write_text(f"{count[0]} {count[1]}")
    return code


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _count_file_events(folder: Path, moment: Moment | None) -> list[int]:
    """The number of events below folder/run, and of those after the last update; kills this process at `moment`."""
    from genlab.training.trainer import Trainer

    count, ending, top = [0, 0], [False], str(folder / "run")
    finish = Trainer._finish

    def finish_counted(trainer: Trainer) -> Any:
        ending[0] = True
        return finish(trainer)

    patch(Trainer, "_finish", finish_counted)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if not (writes or event in CHANGES) or not isinstance(arguments[0], str | os.PathLike):
            return
        if not str(Path(arguments[0]).absolute()).startswith(top):
            return
        count[0] += 1
        count[1] += ending[0]
        if moment is not None and {"event": count[0], "end": count[1]}.get(moment.kind) == moment.at:
            die()

    sys.addaudithook(watch)
    return count


def patch(owner: Any, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)


def _tear(moment: Moment) -> None:
    """Of write number `moment.at` of that kind only the first bytes reach the disk."""
    import torch

    from genlab.tracking.events import EventWriter
    from genlab.tracking.run_folder import RunFolder

    left = [int(moment.at)]

    def is_it() -> bool:
        left[0] -= 1
        return left[0] == 0

    if moment.kind == "checkpoint":
        whole = torch.save

        def save(state: Any, file: Any) -> None:
            if is_it():
                buffer = io.BytesIO()
                whole(state, buffer)
                file.write(buffer.getvalue()[: int(moment.share * buffer.tell())])
                file.flush()
                die()
            whole(state, file)

        patch(torch, "save", save)
    elif moment.kind == "record":
        record = RunFolder.record

        def cut(run: RunFolder, values: Any) -> None:
            record(run, values)
            if is_it():
                os.truncate(run.metrics, run.metrics.stat().st_size - int(20 * moment.share) - 1)
                die()

        patch(RunFolder, "record", cut)
    elif moment.kind == "curve":
        write = EventWriter._write

        def half(writer: EventWriter, event: Any) -> None:
            write(writer, event)
            if is_it():
                writer.flush()
                path = Path(writer._file.name)
                os.truncate(path, path.stat().st_size - int(20 * moment.share) - 1)
                die()

        patch(EventWriter, "_write", half)
