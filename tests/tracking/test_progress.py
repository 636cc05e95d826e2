"""What is shown of something that takes long: rows that fit a terminal, lines in a file."""

import os
import pty
import re
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
import torch

from genlab.tracking import console, progress
from genlab.tracking.progress import Step, step, tracked
from tests.helpers.processes import environment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless a test moves it."""
    now = [1000.0]
    monkeypatch.setattr("genlab.tracking.progress.time.perf_counter", lambda: now[0])
    return now


def halfway(clock: list[float], title: str = "VAE on digits") -> Step:
    doing = Step(title, 600_000, "examples", 0, main=True, steady=True)
    doing.losses = {"loss": 123.456, "reconstruction": -99.99, "kl": 25.11}
    clock[0] += 83
    doing.done = 300_000
    return doing


@pytest.mark.parametrize("width", [40, 60, 80, 98, 120, 200])
@pytest.mark.parametrize(
    "title", ["PCA", "VAE on digits", "FlowMatching on a data set with a very long name of its own"]
)
def test_share_rate_and_time_left_stand_in_a_row_of_every_width(clock: list[float], width: int, title: str) -> None:
    row = halfway(clock, title).row(width).plain
    assert len(row) <= width
    for wanted in ("50%", "3,614/s", "0:01:23 left"):
        assert wanted in row
    assert "loss 123.5" in row or width < 80
    assert "kl 25.11" in row or width < 120


def test_a_row_of_eighty_characters_has_a_title_a_bar_and_the_loss(clock: list[float]) -> None:
    row = halfway(clock).row(80).plain
    assert row.startswith("VAE on digits ━━━━")
    assert "loss 123.5" in row


def test_a_step_without_a_known_end_counts(clock: list[float]) -> None:
    doing = Step("drawing samples", None, "states", 0, main=False, steady=True)
    doing.done = 12
    assert "12 states" in doing.row(80).plain
    assert "left" not in doing.row(80).plain


def test_time_left_counts_what_this_session_has_done(clock: list[float]) -> None:
    doing = Step("resumed", 1000, "examples", 900, main=True, steady=True)
    clock[0] += 10
    doing.done = 950
    assert doing.rate == pytest.approx(5)
    assert doing.left == pytest.approx(10)


def test_a_file_gets_a_line_every_ten_seconds_with_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with step("test split", 100, "examples") as doing:
        for second in range(25):
            clock[0] += 1
            doing.at(4 * second + 4)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["test split  40/100 examples  4/s  15 s left", "test split  80/100 examples  4/s  5 s left"]


def test_nothing_is_said_of_a_short_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked(range(1000), "short")) == list(range(1000))
    assert capsys.readouterr().out == ""


def test_a_loop_that_an_error_leaves_is_under_way_no_longer() -> None:
    def fail() -> None:
        for _ in tracked(range(3), "inner"):
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"), step("outer", 1):
        fail()
    assert progress._under_way == []


NESTED = """
import time
from genlab.tracking.progress import step, tracked
from genlab.tracking.console import console
with step("training", 4, "examples", main=True) as doing:
    doing.losses = {"loss": 1.0}
    for k in range(4):
        for _ in tracked(range(16), "drawing samples"):
            time.sleep(0.1)
        doing.at(k + 1)
console.print("done")
"""


def on_a_terminal(code: str, columns: int) -> str:
    """What a program writes to a terminal of that width."""
    primary, secondary = pty.openpty()
    ioctl(secondary, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**environment(TERM="xterm-256color"), "PYTHONIOENCODING": "utf-8"}
    env = {key: value for key, value in env.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen([sys.executable, "-c", code], stdout=secondary, stderr=secondary, env=env) as process:
        os.close(secondary)
        shown = b""
        while True:
            try:
                part = os.read(primary, 4096)
            except OSError:  # the other end is closed
                break
            shown += part
    os.close(primary)
    assert process.returncode == 0
    return shown.decode()


@pytest.mark.parametrize("columns", [60, 80])
def test_a_terminal_shows_the_training_and_the_step_within_it(columns: int) -> None:
    shown = on_a_terminal(NESTED, columns)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    lines = [line for part in plain.split("\r") for line in part.split("\n")]
    assert max(map(len, lines)) <= columns
    drawing = [line for line in lines if line.startswith("drawing samples")]
    assert any("left" in line and "%" in line for line in drawing)
    last = [line for line in lines if line.strip()][-2:]
    assert last[0].startswith("training")
    assert "100%" in last[0]
    assert last[1] == "done"
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is back


# Thumbnails


@pytest.mark.parametrize(("width", "columns", "rows"), [(160, 10, 1), (98, 10, 1), (80, 8, 1), (20, 2, 5), (5, 1, 10)])
def test_thumbnails_fit_the_screen(monkeypatch: pytest.MonkeyPatch, width: int, columns: int, rows: int) -> None:
    monkeypatch.setattr(console.console, "width", width)
    lines = console.preview(torch.ones(10, 1, 8, 8), 10).plain.rstrip("\n").split("\n")
    assert [len(line) for line in lines] == [columns * 8 + 2 * (columns - 1)] * (4 * rows)


def test_a_process_without_a_terminal_needs_none(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-c", NESTED], capture_output=True, text=True, env=environment(), check=True, cwd=tmp_path
    )
    assert found.stdout.splitlines()[-1] == "done"
    assert "\x1b" not in found.stdout
