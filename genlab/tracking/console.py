"""Where words for a person go: the console itself, small images as characters, and the summary at the end of a run."""

import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from genlab.metrics.rounding import plain, rounded

if TYPE_CHECKING:
    from torch import Tensor  # seconds to import, and commands that only print need none of it


class PatientConsole(Console):
    """Goes silent when its reader has gone (genlab train | head), so that the training goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


console = PatientConsole(soft_wrap=True, highlight=False)
if console.is_jupyter:
    console.soft_wrap, console.width = False, 112  # the cell of a notebook would scroll sideways
elif not console.is_terminal:
    console.width = 160  # in a file nothing needs to fit a screen


BESIDE = 15  # columns before what stands beside a word


def fact(word: str, text: str, style: str | None = None) -> None:
    """Print `text` beside `word`. On a screen its lines end between words, and those after the first are indented.

    Commands stay in one piece, so that they can be copied: those after the word `next`, and further lines of a text.
    """
    first, *others = text.split("\n")
    if console.is_terminal and word != "next":
        room = max(20, console.width - BESIDE)
        first = f"\n{BESIDE * ' '}".join(wrap(first, room, break_long_words=False, break_on_hyphens=False))
    console.print("\n".join([f"  {word:<12} {first}", *others]), style=style, markup=False)


def prose(text: str, style: str | None = None) -> None:
    """Print `text`; on a screen its lines end between words."""
    console.print(text, style=style, markup=False, soft_wrap=not console.is_terminal)


class ConsoleHandler(logging.Handler):
    """Prints what is logged as information by code that knows no console."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(record.getMessage(), markup=False)


log = logging.getLogger("genlab")
log.setLevel(logging.INFO)
log.propagate = False
log.handlers = [ConsoleHandler()]

RAMP = " .:-=+*#%@"
SPACE = 2  # characters between two small images


def preview(images: "Tensor", columns: int) -> Text:
    """Images (n, 1, H, W) in [0, 1] as characters: half blocks in a terminal, shades of ASCII elsewhere.

    `columns` of them a row, or as many as the screen is wide enough for; as many rows as they fill.
    """
    n, _, height, width = images.shape
    columns = max(1, min(columns, n, (console.width + SPACE) // (width + SPACE)))
    rows = n // columns if n >= 2 * columns else 1
    canvas = images[: rows * columns, 0].reshape(rows, columns, height, width).permute(0, 2, 1, 3)
    text = Text()
    for row in canvas.tolist():
        for y in range(0, height, 2):
            for k in range(columns):
                for x in range(width):
                    top = row[y][k][x]
                    bottom = row[y + 1][k][x] if y + 1 < height else 0.0
                    if console.is_terminal:
                        a, b = (round(255 * min(max(v, 0.0), 1.0)) for v in (top, bottom))
                        text.append("▀", style=f"rgb({a},{a},{a}) on rgb({b},{b},{b})")
                    else:
                        text.append(RAMP[round(min(max((top + bottom) / 2, 0.0), 1.0) * (len(RAMP) - 1))])
                if k < columns - 1:
                    text.append(SPACE * " ")
            text.append("\n")
    return text


def summary(title: str, results: Mapping[str, tuple[float, float]], facts: Mapping[str, str]) -> None:
    """Final values with their standard errors, then what was written where."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("measure")
    table.add_column("value ± standard error", justify="right")
    for name, (value, stderr) in results.items():
        table.add_row(name, plain(rounded(value, stderr)))
    console.print(table)
    for word, text in facts.items():
        fact(word, text)
