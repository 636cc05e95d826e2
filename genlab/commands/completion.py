"""Tab completion: `eval "$(genlab -sc install=bash)"` (or zsh, fish). Hydra completes keys and values, this file the commands.

Hydra's shell function calls `genlab -sc query=...` with the line typed so far in COMP_LINE. It does not know sub-commands.
"""

import importlib
import os
import sys

from genlab.commands.list import GROUPS

WORDS = {
    "list": [f"{group}s" for group in GROUPS],
    "resume": ["latest"],
    "dashboard": ["latest"],
    "compare": ["latest"],
}


def main(request: list[str], commands: list[str], hydra_commands: set[str]) -> None:
    """Answer `request` (['-sc', 'query=bash'] and the like) on standard output."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()[1:]
    asks_for_command = not typed or (len(typed) == 1 and not line.endswith(" "))
    if request[-1].startswith("query") and asks_for_command:
        print(" ".join(commands))
        return
    command = typed[0] if typed and typed[0] in commands else "train"
    if command in WORDS and request[-1].startswith("query"):
        print(" ".join(WORDS[command]))
        return
    os.environ["COMP_LINE"] = line.replace(f" {command}", "", 1)
    sys.argv = ["genlab", *request]
    importlib.import_module(f"genlab.commands.{command if command in hydra_commands else 'train'}").main()
