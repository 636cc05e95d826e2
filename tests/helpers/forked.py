"""Many command lines in little time: each in a forked child of a process that has imported everything already.

python -m tests.helpers.forked FOLDER < LINES > ANSWERS: a line is a JSON list of arguments, an answer a JSON object. Each child
works in a folder of its own, with points.npy and `trained`, a run, in it, and with a home of its own.
"""

import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from genlab.cli import COMMANDS, main
from tests.helpers.processes import REPOSITORY, environment

LIMIT = 30  # seconds of the processor's time, which other work on the machine does not lengthen
LONGEST_WAIT = 300.0  # seconds, for a child that does nothing
MEMORY = 12 * 2**30  # bytes of addresses; what wants more is told so, and the machine stays as it was
NOBODY = "http://127.0.0.1:9"  # a proxy where nobody listens


@dataclass(frozen=True)
class Answer:
    """What came of one command line."""

    code: int
    """Exit code; -9 where the child was stopped at a limit of time."""
    err: str
    seconds: float
    files: list[str]
    """What lies in its folder or beside it afterwards and did not lie there before, relative to it."""


def answers(lines: Sequence[Sequence[str]], folder: Path) -> Iterator[Answer]:
    """The answers to `lines` one after the other, from a process of its own that works in `folder`."""
    home = {"HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache"), "TMPDIR": str(folder / "temporary")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.forked", str(folder)],
        cwd=REPOSITORY,
        env=environment(**home, **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOBODY)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        for line in lines:
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            yield Answer(**json.loads(process.stdout.readline()))
        process.stdin.close()


def serve(folder: Path) -> None:
    warm_up(folder)
    for number, line in enumerate(sys.stdin):
        own = folder / str(number)
        shutil.copytree(folder / "template", own / "here")
        print(json.dumps(asdict(answer(json.loads(line), own))), flush=True)
        shutil.rmtree(own)


def warm_up(folder: Path) -> None:
    """Import what commands import. Other threads than this one would not live on in the children."""
    import torch

    torch.set_num_threads(1)
    for command in COMMANDS:
        importlib.import_module(f"genlab.commands.{command}")
    for path in sorted((REPOSITORY / "genlab" / "models").rglob("*.py")):
        importlib.import_module(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    for name in ("home", "temporary", "template"):
        (folder / name).mkdir()
    np.save(folder / "template" / "points.npy", np.random.default_rng(0).normal(size=(60, 2)))
    words = ["model=vae", "train.examples=24", "train.batch_size=8", "model.hidden=[4]", "dataset.test=30"]
    with contextlib.chdir(folder / "template"), contextlib.redirect_stdout(sys.stderr):
        assert main(["train", *words, "hydra.run.dir=trained"]) == 0


def answer(arguments: Sequence[str], own: Path) -> Answer:
    """`genlab ARGUMENTS` in a child that works in `own`/here."""
    here, err = own / "here", own.parent / "stderr"
    before = _files(own)
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            os.chdir(here)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            used = int(time.process_time())
            resource.setrlimit(resource.RLIMIT_CPU, (used + LIMIT, used + LIMIT))
            sink = os.open(os.devnull, os.O_RDWR)
            os.dup2(sink, 0)
            os.dup2(sink, 1)
            os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            code = _call(arguments)
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = _wait(child, began + LONGEST_WAIT)
    seconds = time.monotonic() - began
    return Answer(code, err.read_text(errors="replace"), seconds, sorted(_files(own) - before))


def _files(own: Path) -> set[str]:
    return {os.path.relpath(path, own / "here") for path in own.rglob("*") if not path.is_dir()}


def _call(arguments: Sequence[str]) -> int:
    import traceback

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


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
