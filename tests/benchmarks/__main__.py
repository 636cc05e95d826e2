"""python -m tests.benchmarks [vae ...] --rounds 5: every family's loops, or those named, taking turns.

Run it on an idle machine (make benchmark [ARGS="vae --rounds 9"]). Needs the data of the family (GENLAB_DATA).
"""

import argparse
import gc
import importlib
import os
import pkgutil
import sys
from dataclasses import replace
from statistics import median

import torch
from rich.console import Console

from genlab.benchmark.hardware import facts
from genlab.errors import GenlabError, did_you_mean
from tests import benchmarks
from tests.benchmarks.contest import Contest, Options, Seconds, table
from tests.benchmarks.own_process import in_own_processes

NO_FAMILIES = (
    "__main__",
    "contest",
    "equal_time",
    "scripts",
    "scale",
    "several_processes",
    "sparse_units",
    "own_process",
)
FAMILIES = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name not in NO_FAMILIES)
WARM_UP = 1280  # images, or what else a contest counts

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = 200  # in a file nothing needs to fit a screen


def rounds_of(contest: Contest, images: int, rounds: int) -> list[Seconds]:
    """Seconds of every row, round after round; in each round another loop comes first."""
    names = list(contest.loops)
    for name in names:
        contest.loops[name](min(images, WARM_UP))
    found: list[Seconds] = []
    for number in range(rounds):
        seconds: dict[str, float] = {}
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()
            seconds |= contest.loops[name](images)
        found.append(seconds)
        console.print(f"round {number + 1}:  " + "  ".join(f"{name} {seconds[name]:.2f} s" for name in names))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("families", nargs="*", metavar="family", help=f"of {', '.join(FAMILIES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--images", type=int, help="training images, or what else is counted, of a loop; by default one epoch"
    )
    parser.add_argument("--threads", type=int, help="of every loop; by default one a core")
    parser.add_argument("--workers", type=int, default=0, help="num_workers of every DataLoader")
    arguments = parser.parse_args()
    for family in arguments.families:
        if family not in FAMILIES:
            parser.error(f"there is no family '{family}'; {did_you_mean(family, FAMILIES)}")
    if any(number is not None and number < 1 for number in (arguments.rounds, arguments.images, arguments.threads)):
        parser.error("--rounds, --images and --threads should be 1 or larger")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    threads = torch.get_num_threads()
    machine = facts(torch.device("cpu"))
    console.print(
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}; torch {torch.__version__} with "
        f"{threads} threads in every loop (GOMP_SPINCOUNT={os.environ['GOMP_SPINCOUNT']}), float32, CPU"
    )
    for family in arguments.families or FAMILIES:
        options = Options(arguments.workers)
        try:
            contest: Contest = importlib.import_module(f"tests.benchmarks.{family}").contest(options)
        except GenlabError as error:
            print(f"benchmark: error: {error}", file=sys.stderr)
            return 2
        images = min(arguments.images or contest.images, contest.images)
        for line in contest.absent:
            console.print(line, markup=False)
        if contest.together:
            rounds = rounds_of(contest, images, arguments.rounds)
            assert torch.get_num_threads() == threads, "no loop may change the number of threads"
        else:
            with in_own_processes(family, list(contest.loops), options) as loops:
                rounds = rounds_of(replace(contest, loops=loops), images, arguments.rounds)
        console.print(
            f"\n{contest.title}; {images:,} {contest.unit}, median of {arguments.rounds} rounds", markup=False
        )
        console.print(table(contest, images, rounds))
        shares = {text: [100 * (r[a] / r[b] - 1) for r in rounds] for text, (a, b) in contest.shares.items()}
        shares |= {text: [100 * r[b] / r[a] for r in rounds] for text, (a, b) in contest.limits.items()}
        for text, found in shares.items():
            console.print(f"{text}: {median(found):.1f} % ({min(found):.1f} to {max(found):.1f})", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
