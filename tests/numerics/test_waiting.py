"""Threads turn while they wait on an idle machine, and sleep beside other work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genlab.numerics import waiting
from tests.helpers.processes import environment


@pytest.mark.parametrize(
    ("said", "idle"),
    [("0.52 0.58 0.59 1/467 12345", True), ("0.00 0.00 0.00 3/467 12345", False), ("", False), ("1 2", False)],
)
def test_a_machine_is_idle_where_this_process_alone_runs(said: str, idle: bool, tmp_path: Path) -> None:
    (tmp_path / "loadavg").write_text(said)
    assert waiting.is_idle(tmp_path / "loadavg") == idle
    assert not waiting.is_idle(tmp_path / "nothing")


@pytest.mark.parametrize(("idle", "turns"), [(True, waiting.LATE), (False, waiting.SOON)])
def test_threads_wait_as_fits(idle: bool, turns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "is_idle", lambda: idle)
    monkeypatch.delenv(waiting.KEY, raising=False)
    waiting.wait_as_fits()
    assert os.environ[waiting.KEY] == turns
    monkeypatch.setenv(waiting.KEY, "7")
    waiting.wait_as_fits()
    assert os.environ[waiting.KEY] == "7", "the user has chosen"


def test_the_interface_leaves_the_environment_as_it_was() -> None:
    env = {key: value for key, value in environment().items() if key != waiting.KEY}
    code = "import os, genlab; genlab.load; print('GOMP_SPINCOUNT' in os.environ)"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
