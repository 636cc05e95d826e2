"""What a person sees during a run: a progress bar in a terminal, plain lines in a file, a summary at the end."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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
if not console.is_terminal:
    console.width = 160  # in a file nothing needs to fit a screen


class ConsoleHandler(logging.Handler):
    """Prints what is logged as information by code that knows no console."""

    def emit(self, record: logging.LogRecord) -> None:
        console.print(record.getMessage(), markup=False)


log = logging.getLogger("genlab")
log.setLevel(logging.INFO)
log.propagate = False
log.handlers = [ConsoleHandler()]

REFRESH = 0.5  # seconds between redraws; more of them would slow the training down
PLAIN_INTERVAL = 10.0  # seconds between plain lines
RAMP = " .:-=+*#%@"


class ProgressReport:
    """Progress of a training over `total` examples. It costs one clock reading a step, and a redraw now and then."""

    def __init__(self, title: str, total: int, start: int) -> None:
        self.title, self.total, self.start = title, total, start
        self._losses = ""
        self._next = 0.0
        self._began = time.perf_counter()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("[cyan]{task.fields[losses]}"),
                console=console,
                auto_refresh=False,
            )
            self._task = self._bar.add_task(title, total=total, completed=start, rate="", losses="")

    def __enter__(self) -> "ProgressReport":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.refresh()
            self._bar.stop()

    def losses(self, values: Mapping[str, float]) -> None:
        """The values to show beside the bar from now on."""
        self._losses = "  ".join(f"{name} {value:.4g}" for name, value in values.items())

    def at(self, seen: int) -> None:
        now = time.perf_counter()
        if now < self._next and seen < self.total:
            return
        self._next = now + (REFRESH if self._bar else PLAIN_INTERVAL)
        rate = (seen - self.start) / max(now - self._began, 1e-9)
        if self._bar:
            self._bar.update(self._task, completed=min(seen, self.total), rate=f"{rate:,.0f}/s", losses=self._losses)
            self._bar.refresh()
        elif self._losses:
            seen = min(seen, self.total)
            left = (self.total - seen) / max(rate, 1e-9)
            console.print(
                f"{self.title}  {seen:,}/{self.total:,} examples  {rate:,.0f}/s  {left:,.0f} s left  {self._losses}"
            )


class ShareReport:
    """Progress of one long computation that reports the share it has done. Nothing is shown of a short one."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._next = time.perf_counter() + PLAIN_INTERVAL
        self._bar = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.percentage:>3.0f}%"),
            )
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task(title, total=1.0, visible=False)

    def __enter__(self) -> "ShareReport":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, share: float) -> None:
        if self._bar:
            self._bar.update(self._task, completed=share, visible=True)
        elif time.perf_counter() >= self._next:
            self._next = time.perf_counter() + PLAIN_INTERVAL
            console.print(f"{self.title}  {100 * share:.0f} %")


def preview(images: "Tensor", columns: int) -> Text:
    """Images (n, 1, H, W) in [0, 1] as characters: half blocks in a terminal, shades of ASCII elsewhere."""
    n, _, height, width = images.shape
    rows = n // columns
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
                text.append("  ")
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
    for name, fact in facts.items():
        console.print(f"  {name:<12} {fact}", markup=False)
