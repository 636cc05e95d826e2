"""Figures drawn by all cores: in their order, all of them, whatever becomes of the copies that draw."""

import subprocess
import sys

import pytest

from tests.helpers.processes import REPOSITORY

SCRIPT = """
import os, signal, sys, threading
from functools import partial
from genlab.report import side_by_side
from genlab.plots.style import Drawing

side_by_side.cores = lambda: 3
first = os.getpid()
def task(k):
    there = os.getpid() != first
    if k == 7 and there and "killed" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    if k == 7 and "wrong" in sys.argv:
        raise ValueError("figure 7")
    return Drawing(str(k), "copy" if there else "first", "x" * 10**6)
assert threading.active_count() == 1 and "torch" not in sys.modules
drawn = side_by_side.draw_all([partial(task, k) for k in range(20)], "figures")
assert [drawing.name for drawing in drawn] == [str(k) for k in range(20)]
print(sum(drawing.caption == "copy" for drawing in drawn))
"""


def run(word: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, word], cwd=REPOSITORY, text=True, capture_output=True, timeout=60, check=False
    )


@pytest.mark.skipif(sys.platform != "linux", reason="no copies elsewhere")
def test_copies_draw_all_and_what_a_killed_one_leaves_is_drawn_here() -> None:
    whole, killed = run("whole"), run("killed")
    assert whole.stdout.split()[-1] == "20", whole.stderr
    assert killed.stdout.split()[-1] == str(20 - 5), killed.stderr  # of 1, 4, 7, 10, 13, 16, 19 two were done


def test_a_figure_that_fails_is_an_error() -> None:
    outcome = run("wrong")
    assert outcome.returncode != 0
    assert "ValueError: figure 7" in outcome.stderr
