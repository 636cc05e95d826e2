"""python -m tests.error_bars [PART ...] --repetitions 200: the table of stated errors against the truth."""

import argparse
import importlib
import pkgutil

import torch
from rich.console import Console

from tests import error_bars
from tests.error_bars.study import REPETITIONS, Coverage, study, table

PARTS = sorted(m.name for m in pkgutil.iter_modules(error_bars.__path__) if m.name not in ("__main__", "study"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.error_bars", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=200, highlight=False)
    for part in arguments.parts or PARTS:
        rows: list[Coverage] = []
        for case in importlib.import_module(f"tests.error_bars.{part}").CASES:
            rows += study(case, arguments.repetitions)
        console.print(part, table(rows), sep="\n")


if __name__ == "__main__":
    main()
