"""Tab completion: `eval "$(genlab -sc install=bash)"` (or zsh, fish). Hydra completes keys and values, this file the commands.

Hydra's shell function calls `genlab -sc query=...` with the line typed so far in COMP_LINE. It does not know sub-commands.
"""

import contextlib
import importlib
import io
import os
import re
import sys

from genlab.composition.catalogue import GROUPS, groups_of

WORDS = {
    "list": [*(f"{group}s" for group in GROUPS), "searches", "launchers", "sweepers"],
    "resume": ["latest"],
    "dashboard": ["latest"],
    "compare": ["latest"],
    "runs": [
        "set",
        "remove",
        "trash",
        "restore",
        "empty-trash",
        "state=",
        "model=",
        "dataset=",
        "tag=",
        "since=",
        "--sort",
    ],
    "export": ["latest"],
    "new": ["model"],
}


def main(request: list[str], commands: list[str], hydra_commands: set[str]) -> None:
    """Answer `request` (['-sc', 'query=bash'] and the like) on standard output."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()[1:]
    asks_for_command = not typed or (len(typed) == 1 and not line.endswith(" "))
    if request[-1].startswith("query") and asks_for_command:
        print(" ".join(commands))
        return
    command = typed[0] if typed and typed[0] in hydra_commands | WORDS.keys() else "train"
    if command in WORDS and request[-1].startswith("query"):
        print(" ".join(WORDS[command]))
        return
    os.environ["COMP_LINE"] = line.replace(f" {command}", "", 1)
    sys.argv = ["genlab", *request]
    offered = io.StringIO()
    try:
        with contextlib.redirect_stdout(offered):
            importlib.import_module(f"genlab.commands.{command}").main()
    finally:
        print(_without_other_groups(offered.getvalue(), command), end="")


def _without_other_groups(offered: str, command: str) -> str:
    """Hydra's answer without the groups from which `command` does not choose: it offers all that lie in conf/."""
    others = tuple(f"{group}=" for group in GROUPS if group not in groups_of(command))
    others += (
        "launcher=",
        "sweeper=",
        *(() if command == "train" else ("search=",)),
    )  # which Hydra has as hydra/launcher=
    return "".join(part for part in re.split(r"(\s+)", offered) if not part.startswith(others))
