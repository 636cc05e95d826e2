"""Text on a screen: lines end between words, and what is to be copied stays in one piece."""

from pathlib import Path

import pytest
from rich.console import Console

from genlab.tracking import console as module
from genlab.tracking.console import BESIDE, fact

LONG = "no verdict yet on what it has learned: model=wgan has seen 3,072 of the 2,000,000 examples that it prefers"
COMMAND = " ".join(["genlab evaluate", "run=" + 90 * "a"])


@pytest.mark.parametrize("terminal", [True, False])
def test_a_fact_is_wrapped_on_a_screen_and_one_line_in_a_file(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "out.txt").open("w+") as out:
        screen = Console(file=out, force_terminal=terminal, width=80, soft_wrap=True, color_system=None)
        monkeypatch.setattr(module, "console", screen)
        fact("diagnosis", f"{LONG}\n{BESIDE * ' '}{COMMAND}")
        out.seek(0)
        *lines, command = out.read().splitlines()
    assert command == BESIDE * " " + COMMAND
    assert lines[0].startswith("  diagnosis    no verdict")
    if terminal:
        assert len(lines) == 2
        assert all(len(line) <= 80 for line in lines)
        assert lines[1][:BESIDE].isspace()
        assert " ".join(" ".join(lines).split()) == f"diagnosis {LONG}"
    else:
        assert lines == [f"  diagnosis    {LONG}"]
