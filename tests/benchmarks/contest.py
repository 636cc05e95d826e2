"""What a family's file describes: loops that train the same network on the same data, one of them genlab's.

A family is a file in this folder with a function `contest(options) -> Contest`; the runner finds it by its name. A loop
is called with a number of training images, trains afresh on about as many, and returns seconds: those of its row of the
table, and of further rows that it can tell (genlab with and without its evaluation). What it prepares is not counted.
A contest about something else than training says in `unit` what it counts in the place of images.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.table import Table

REFERENCE = "genlab"

Seconds = Mapping[str, float]


@dataclass(frozen=True)
class Options:
    workers: int
    """Worker processes of every DataLoader."""


@dataclass(frozen=True)
class Contest:
    title: str
    images: int
    """Training images of one epoch, or as many of `unit` as a loop is called with."""
    loops: Mapping[str, Callable[[int], Seconds]]
    """Name of the loop -> the loop."""
    about: Mapping[str, str]
    """Row of the table -> what it does that another does not."""
    absent: Sequence[str] = ()
    """Lines about loops that cannot run here."""
    shares: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Text -> two entries of one loop's seconds; the text tells how much longer the first one is."""
    limits: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Text -> two rows; the text tells what share of the second one's rate, which cannot be had in full, the first one has."""
    unit: str = "images"
    together: bool = False
    """Whether all loops run in one process, where they compare what they find; else each has its own."""


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def absent(*packages: str) -> list[str]:
    """A line for each of these that is not installed."""
    return [
        f"{name} is not installed and left out; it comes with: pip install -e '.[bench]'"
        for name in packages
        if not has(name)
    ]


def table(contest: Contest, images: int, rounds: Sequence[Seconds]) -> Table:
    """Medians over the rounds; ratios are taken within a round, since a machine's speed drifts.

    What other users of a shared machine take away only ever adds to a time, so each loop's shortest is shown too.
    """
    found = Table(box=None, pad_edge=False)
    rate = f"{contest.unit}/s"
    for column in ("loop", "seconds", rate, "time / genlab", "least to most", "shortest", "shortest / genlab's"):
        found.add_column(column, justify="left" if column == "loop" else "right", no_wrap=True)
    found.add_column("what it does")
    for row, about in contest.about.items():
        if row not in rounds[0]:
            continue
        seconds = median(r[row] for r in rounds)
        shortest, ours = min(r[row] for r in rounds), min(r[REFERENCE] for r in rounds)
        ratios = [r[row] / r[REFERENCE] for r in rounds]
        found.add_row(
            row,
            f"{seconds:.2f}",
            f"{images / seconds:,.0f}",
            f"{median(ratios):.2f}",
            f"{min(ratios):.2f} to {max(ratios):.2f}",
            f"{shortest:.2f}",
            f"{shortest / ours:.2f}",
            about,
        )
    return found
