"""genlab list [models|datasets|optimizers|devices|experiments]: the files in conf/, and those of installed packages.

A second comment '# lecture: 4.1 Energy-based models; 15 min; 1 min' puts an experiment into the lecture's table of contents: its
place, and the time it takes on MNIST and with dataset=digits.
"""

import re
import shutil
import sys
from dataclasses import dataclass
from textwrap import wrap

from genlab.config.packages import configurations
from genlab.errors import GenlabError, did_you_mean

GROUPS = ("model", "dataset", "optimizer", "device", "experiment")
HEAD = 4  # lines of a file that may say what it is
LECTURE = re.compile(r"lecture: (\d+)\.(\d+) (.+); (.+); (.+)")
FAST = "dataset=digits"


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


def main(arguments: list[str]) -> int:
    allowed = {group + "s": group for group in GROUPS}
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: genlab list [{'|'.join(allowed)}]")
        return 0
    wanted = []
    for word in arguments:
        if word not in allowed and word not in GROUPS:
            raise GenlabError(f"list {word}: there is no such kind; {did_you_mean(word, allowed)}")
        wanted.append(allowed.get(word, word))
    for group in wanted or GROUPS:
        print(f"{group}=")
        of_lecture = topics() if group == "experiment" else {}
        if of_lecture:
            _print_contents(of_lecture)
        others = {name: text for name, text in names(group).items() if name not in of_lecture}
        _print_table(list(others.items()))
    return 0


def _print_contents(of_lecture: dict[str, Topic]) -> None:
    """The lecture's table of contents: each experiment with its line and its times."""
    texts = names("experiment")
    print(f"the lecture in its order, with times on MNIST and with {FAST}\n")
    for chapter in dict.fromkeys(topic.chapter for topic in of_lecture.values()):
        members = {name: topic for name, topic in of_lecture.items() if topic.chapter == chapter}
        print(f" {chapter}  {next(iter(members.values())).title}")
        _print_table(
            [(n, f"{texts[n]} ({t.time}{f', {t.fast}' if t.fast != t.time else ''})") for n, t in members.items()]
        )
        print()
    print("further ones\n")


def _print_table(rows: list[tuple[str, str]]) -> None:
    """Names and descriptions. On a terminal these go on below themselves; for a pipe each stays on its line."""
    margin = max([16, *(len(name) for name, _ in rows)]) + 3
    room = max(30, shutil.get_terminal_size().columns - 1 - margin) if sys.stdout.isatty() else sys.maxsize
    for name, text in rows:
        first, *rest = wrap(text, room) or [""]
        print(f"  {name:<{margin - 3}} {first}")
        for line in rest:
            print(" " * margin + line)
