"""genlab list [models|datasets|optimizers|devices|experiments|searches|launchers|sweepers]: the files in conf/, and those of
installed packages.
"""

import shutil
import sys
from textwrap import wrap

from genlab.composition.catalogue import GROUPS, OF_SWEEPS, Topic, names, topics
from genlab.errors import GenlabError, did_you_mean

FAST = "dataset=digits"


def main(arguments: list[str]) -> int:
    allowed = {group + "s": group for group in GROUPS} | {
        "searches": "search",
        "launchers": "launcher",
        "sweepers": "sweeper",
    }
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: genlab list [{'|'.join(allowed)}]")
        return 0
    wanted = []
    for word in arguments:
        if word not in allowed and word not in allowed.values():
            raise GenlabError(f"list {word}: there is no such kind; {did_you_mean(word, allowed)}")
        wanted.append(allowed.get(word, word))
    for group in wanted or allowed.values():
        print(f"{OF_SWEEPS.get(group, group)}=")
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
