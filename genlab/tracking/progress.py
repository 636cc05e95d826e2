"""What a person sees while something takes long: a row for each step in a terminal, a line now and then elsewhere.

Steps nest: a training draws samples between two updates, an evaluation anneals chains. Whoever computes says how far it is,
and needs no console:

    with step("test split", total=10_000, unit="examples") as doing:
        for batch in batches:
            ...
            doing.advance(len(batch))

Nothing is shown of a step that ends soon. Of steps within steps a line in a file is about the innermost. A row fits the width of
the terminal: the share, the rate and the time left stand in every one; the bar, the losses and the time spent take what room
there is. A notebook shows the rows of a terminal below its cell.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Group
from rich.live import Live
from rich.text import Text

from genlab.tracking.console import console
from genlab.tracking.notebook import NotebookRows

T = TypeVar("T")

REFRESH = 0.5  # seconds between redraws; more of them would slow the training down
INTERVAL = 10.0  # seconds between plain lines
PATIENCE = 1.0  # seconds before a row appears
LEAST_BAR, MOST_BAR, MOST_TITLE = 8, 24, 28  # characters


class Step:
    """A step of `total` units, of which `done` are done; without a total only the count is shown."""

    def __init__(self, title: str, total: float | None, unit: str, done: float, main: bool, steady: bool) -> None:
        self.title, self.total, self.unit, self.done, self.main = title, total, unit, done, main
        self.steady = steady
        self.losses: dict[str, float] = {}
        """The values to show beside the bar."""
        self._start, self._began = done, time.perf_counter()
        self._next = self._began if main else self._began + (PATIENCE if redraws() else INTERVAL)
        self.visible = main

    def at(self, done: float) -> None:
        """`done` units are done. It costs one reading of the clock, and a redraw now and then."""
        self.done = done
        now = time.perf_counter()
        ended = self.main and self.total is not None and done >= self.total
        if now < self._next and not ended:
            return
        self._next = now + (REFRESH if redraws() else INTERVAL)
        self.visible = True
        if redraws():
            _redraw()
        elif self.losses or not self.main:
            console.print(self.line(), markup=False)

    def advance(self, n: float = 1) -> None:
        self.at(self.done + n)

    @property
    def share(self) -> float | None:
        return None if not self.total else min(1.0, self.done / self.total)

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self._began

    @property
    def rate(self) -> float:
        """Units a second."""
        return (self.done - self._start) / max(self.elapsed, 1e-9)

    @property
    def left(self) -> float | None:
        """Seconds, if it goes on like this; None where nobody knows."""
        if self.total is None or self.rate <= 0 or not self.steady:
            return None
        return max(0.0, self.total - self.done) / self.rate

    def line(self) -> str:
        """For a file."""
        parts = [self.title]
        if self.total is None:
            parts.append(f"{self.done:,.0f} {self.unit}, {self.elapsed:,.0f} s so far")
        elif not self.steady:
            parts.append(f"{self.done:,.0f} of {self.total:,.0f}, {self.elapsed:,.0f} s so far")
        elif self.unit:
            parts += [f"{min(self.done, self.total):,.0f}/{self.total:,.0f} {self.unit}", f"{self.rate:,.0f}/s"]
        else:
            parts.append(f"{100 * (self.share or 0.0):.0f} %")
        if self.left is not None:
            parts.append(f"{self.left:,.0f} s left")
        return "  ".join([*parts, *_named(self.losses)])

    def row(self, width: int) -> Text:
        """For a terminal of `width` characters, never wider than that."""
        share = self.share
        if share is None:
            facts = [f"{self.done:,.0f} {self.unit}"]
        elif not self.steady:
            facts = [f"{self.done:,.0f} of {self.total:,.0f}"]
        else:
            facts = [f"{100 * share:3.0f}%"]
            if self.unit:
                facts.append(f"{self.rate:,.0f}/s" if self.rate >= 10 else f"{self.rate:.2g}/s")
            facts.append("-:--:-- left" if self.left is None else f"{clock(self.left)} left")
        room = width - sum(len(fact) + 1 for fact in facts) - 1
        bar = 0 if share is None or room < LEAST_BAR + 9 else LEAST_BAR
        title = self.title[: max(0, min(MOST_TITLE, room - (bar + 1 if bar else 0)))]
        room -= len(title) + (bar + 1 if bar else 0)
        beside = []
        for text in [*_named(self.losses), f"after {clock(self.elapsed)}"]:
            if len(text) + 2 > room:
                break
            beside.append(text)
            room -= len(text) + 2
        if bar:
            bar = min(MOST_BAR, bar + room)
        row = Text(no_wrap=True, overflow="crop")
        row.append(title, style="bold" if self.main else "")
        if bar and share is not None:
            full = round(share * bar)
            long, short = ("━", "─") if console.encoding.startswith("utf") else ("#", "-")
            row.append(" " + long * full, style="green").append(short * (bar - full), style="dim")
        row.append(" " + " ".join(facts))
        for text in beside:
            row.append("  " + text, style="cyan")
        row.truncate(width)
        return row


_under_way: list[Step] = []
_live: Live | NotebookRows | None = None


def redraws() -> bool:
    """Whether rows can change where they stand: in a terminal and in a notebook. Elsewhere lines follow each other."""
    return (console.is_terminal or console.is_jupyter) and not console.quiet


@contextmanager
def step(
    title: str, total: float | None = None, unit: str = "", *, done: float = 0, main: bool = False, steady: bool = True
) -> Iterator[Step]:
    """A step that is under way within the block.

    `unit` is what is counted, in the plural; without it only the share is shown. A `main` step is shown at once, and stays on
    the screen when it has ended. Where the units take times of their own, it is not `steady`: no time left is given.
    """
    with shown(Step(title, total, unit, done, main, steady)) as doing:
        yield doing


@contextmanager
def shown(doing: Step) -> Iterator[Step]:
    """Within the block the step has a row; a `main` one stays on the screen when it has ended."""
    global _live
    _under_way.append(doing)
    try:
        if doing.main and redraws():
            _redraw()
        yield doing
    finally:
        if doing in _under_way:  # with the steps within it: a loop that an error left has not closed its own yet
            del _under_way[_under_way.index(doing) :]
        if _live is not None and not _under_way:
            _live.update(Group(doing.row(console.width)) if doing.main else Group(), refresh=True)
            _live.transient = not doing.main
            _live.stop()
            _live = None
        elif _live is not None and doing.visible:
            _redraw()


def tracked(things: Iterable[T], title: str, total: int | None = None, unit: str = "") -> Iterator[T]:
    """The same things; each counts as done when the next one is asked for."""
    if total is None and isinstance(things, Sized):
        total = len(things)
    with step(title, total, unit) as doing:
        for thing in things:
            yield thing
            doing.advance()


def _redraw() -> None:
    global _live
    if _live is None:
        in_terminal = not console.is_jupyter
        _live = Live(console=console, auto_refresh=False, vertical_overflow="crop") if in_terminal else NotebookRows()
        _live.start()
    _live.update(Group(*(one.row(console.width) for one in _under_way if one.visible)), refresh=True)


def clock(seconds: float) -> str:
    """0:01:23"""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _named(values: Mapping[str, float]) -> list[str]:
    return [f"{name} {value:.4g}" for name, value in values.items()]
