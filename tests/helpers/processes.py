"""genlab as people start it: in this process with its output caught, or as a process of its own that can be killed."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.cli import main
from genlab.errors import LONGEST_LINE

REPOSITORY = Path(__file__).parents[2]
TIMEOUT = 240.0  # seconds; far beyond what anything here needs, so that a hang ends in a failure
CLOCK = ("seconds", "throughput/images_per_second")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def environment(**extra: str) -> dict[str, str]:
    """That of a plain shell: one thread, no data folder but what a test names."""
    kept = {key: value for key, value in os.environ.items() if key not in ("GENLAB_DATA", "HYDRA_FULL_ERROR")}
    return {**kept, "OMP_NUM_THREADS": "1", **extra}


def start(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """`genlab ARGUMENTS` as a process in `folder`, its output caught."""
    command = [sys.executable, "-m", "genlab", *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env or environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def end(process: subprocess.Popen[str]) -> Outcome:
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"did not end:\n{out}\n{err}") from None
    return Outcome(process.returncode, out, err)


def execute(arguments: Sequence[str], folder: Path, **options: Any) -> Outcome:
    return end(start(arguments, folder, **options))


def succeed(arguments: Sequence[str], folder: Path, **options: Any) -> Outcome:
    outcome = execute(arguments, folder, **options)
    assert outcome.code == 0, outcome.err
    return outcome


def call(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Outcome:
    """`genlab ARGUMENTS` in this process."""
    capsys.readouterr()
    code = main(arguments)
    out, err = capsys.readouterr()
    return Outcome(code, out, err)


def assert_refused(outcome: Outcome, *words: str) -> None:
    """One line on standard error that holds every one of `words`, exit code 2."""
    assert outcome.err.startswith("genlab: error: "), outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    assert len(outcome.err) <= LONGEST_LINE + 1, outcome.err
    assert outcome.code == 2
    for word in words:
        assert word in outcome.err


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until `condition` holds; fails where the process ends before."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode}: {end(process).err}"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def files(folder: Path) -> dict[str, bytes]:
    """Relative path -> content of every file below `folder`."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def strict_json(text: str) -> Any:
    """As other programs read it: NaN and Infinity are no JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def info(run: Path) -> dict[str, Any]:
    found = strict_json((run / "run.json").read_text())
    assert isinstance(found, dict)
    return found


def records(run: Path, without: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The complete lines of metrics.jsonl."""
    path = run / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [{key: value for key, value in strict_json(line).items() if key not in without} for line in lines]


def trained(folder: Path) -> list[Path]:
    """The run folders below `folder`."""
    return sorted(path.parent for path in folder.rglob("run.json"))


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, through containers and tensors."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def write_mnist(folder: Path, n: int = 200) -> None:
    """Four small files in the format of MNIST."""
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        for name, array in (("images-idx3", values), ("labels-idx1", np.arange(n, dtype=np.uint8) % 10)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())


def one_job_fails(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Outcome:
    """A sweep of which a job fails: neither success nor the whole command's mistake, and no traceback."""
    outcome = call(arguments, capsys)
    assert outcome.code not in (0, 2)
    assert "Traceback" not in outcome.err
    return outcome
