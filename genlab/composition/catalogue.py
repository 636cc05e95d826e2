"""The files in conf/ that a configuration is composed of: their names, and what their first comment says.

A second comment '# lecture: 4.1 Energy-based models; 15 min; 1 min' puts an experiment into the lecture's table of contents: its
place, and the time it takes on MNIST and with dataset=digits.
"""

import re
from dataclasses import dataclass

from genlab.config.packages import configurations

GROUPS = ("model", "dataset", "optimizer", "device", "experiment")
OF_SWEEPS = {"search": "search", "launcher": "hydra/launcher", "sweeper": "hydra/sweeper"}
"""Folder in conf/ -> the key that chooses from it, of what concerns sweeps only."""
HEAD = 4  # lines of a file that may say what it is
LECTURE = re.compile(r"lecture: (\d+)\.(\d+) (.+); (.+); (.+)")


@dataclass(frozen=True)
class Topic:
    """A place in the lecture's table of contents."""

    chapter: int
    number: int
    title: str
    """Of the chapter."""
    time: str
    fast: str
    """The time with dataset=digits."""


def groups_of(command: str) -> tuple[str, ...]:
    """The groups from which a command chooses."""
    return GROUPS if command in ("train", "benchmark") else ("device",)


def names(group: str) -> dict[str, str]:
    """Name -> description of every configuration in a group, read from the files' comments alone.

    Those of installed packages come last, and say where they are from.
    """
    return {name: next(iter(comments), "") for name, comments in _comments(group).items()}


def topics() -> dict[str, Topic]:
    """The lecture's experiments in its order."""
    found = {}
    for name, comments in _comments("experiment").items():
        for match in filter(None, map(LECTURE.fullmatch, comments[1:])):
            chapter, number, title, time, fast = match.groups()
            found[name] = Topic(int(chapter), int(number), title, time, fast)
    return dict(sorted(found.items(), key=lambda item: (item[1].chapter, item[1].number)))


def _comments(group: str) -> dict[str, list[str]]:
    """Name -> the comments at the top of the file of every configuration in a group."""
    found = {}
    for name, (file, package) in configurations(group).items():
        head = [line[1:].strip() for line in file.read_text().splitlines()[:HEAD] if line.startswith("#")]
        found[name] = [line for line in head if not line.startswith("@package")]
        if package is not None:
            found[name] = [f"{next(iter(found[name]), '')} (of the installed package {package})".strip()]
    return found
