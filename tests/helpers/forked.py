"""Many command lines in little time: each in a forked child of a process that has imported everything already.

python -m tests.helpers.forked FOLDER < LINES > ANSWERS: a line is a JSON list of arguments, an answer a JSON object. Each child
works in a folder of its own below FOLDER, which is removed where nothing is to be seen in it.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """What came of one command line."""

    code: int
    """Exit code; -9 where the child was stopped for taking too long."""
    err: str
    seconds: float
    files: list[str]
    """What lies in its folder afterwards, relative to it."""


def warm_up(folder: Path) -> None:
    """Import what commands import, by one short training. On one thread, or the children would wait for the others."""
    import torch

    from genlab.cli import main

    torch.set_num_threads(1)
    with contextlib.chdir(folder), contextlib.redirect_stdout(None):
        assert main(["train", "train.examples=8", "train.batch_size=8", "hydra.run.dir=warm"]) == 0
    shutil.rmtree(folder / "warm")


def answer(arguments: Sequence[str], folder: Path, limit: float) -> Answer:
    """`genlab ARGUMENTS` in a child whose current folder is `folder`."""
    err = folder.with_suffix(".err")
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            os.chdir(folder)
            sink = os.open(os.devnull, os.O_RDWR)
            os.dup2(sink, 0)
            os.dup2(sink, 1)
            os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT), 2)
            code = _call(arguments)
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = _wait(child, began + limit)
    text = err.read_text(errors="replace")
    err.unlink()
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    return Answer(code, text, time.monotonic() - began, found)


def _call(arguments: Sequence[str]) -> int:
    import traceback

    from genlab.cli import main

    try:
        return main(arguments)
    except BaseException:
        traceback.print_exc()
        return 1


def _wait(child: int, deadline: float) -> int:
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL
        time.sleep(0.005)


def answer_all(
    lines: Sequence[Sequence[str]], folder: Path, limit: float, prepare: Callable[[Path], None] | None = None
) -> list[Answer]:
    found = []
    for number, arguments in enumerate(lines):
        own = folder / str(number)
        own.mkdir()
        found.append(answer(arguments, own, limit))
        shutil.rmtree(own)
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    warm_up(folder)
    for number, line in enumerate(sys.stdin):
        own = folder / str(number)
        own.mkdir()
        print(json.dumps(asdict(answer(json.loads(line), own, 30.0))), flush=True)
        shutil.rmtree(own)


if __name__ == "__main__":
    main()
