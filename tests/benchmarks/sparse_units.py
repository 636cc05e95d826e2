"""python -m tests.benchmarks.sparse_units [--threads 2]: from which share of units on a dense product takes less time.

Milliseconds of b + u W as a dense product and as a sum of rows, and the faster of the two by genlab's rule
(models/boltzmann/sparse_units.py). Each call has new units: the same ones again would find their branches and caches ready.
"""

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from genlab.models.boltzmann.sparse_units import COLUMNS, ON, affine_of, sum_of_rows

SHAPES = ((784, 500), (784, 1000), (784, 256), (784, 64), (300, 500))
SHARES = (0.05, 0.13, 0.2, 0.3)
Way = Callable[[Tensor, Tensor, Tensor], Tensor]


def milliseconds(way: Way, b: Tensor, units: list[Tensor], W: Tensor) -> float:
    """The shortest of five rounds, for one call."""
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for u in units:
            way(b, u, W)
        rounds.append((time.perf_counter() - start) / len(units) * 1e3)
    return min(rounds)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sparse_units", description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    table = Table("rows x columns", "examples", "on", "dense", "sum of rows", "genlab", box=None)
    for rows, columns in SHAPES:
        W, b = 0.01 * torch.randn(rows, columns), torch.zeros(columns)
        for n in (64, 500):
            for share in SHARES:
                units = [(torch.rand(n, rows) < share).float() for _ in range(4000 // n)]
                found = [f"{milliseconds(way, b, units, W):.3f}" for way in (torch.addmm, sum_of_rows, affine_of)]
                table.add_row(f"{rows} x {columns}", str(n), f"{share:.0%}", *found)
    console = Console()
    console.print(table)
    console.print(f"genlab sums rows up to {ON:.0%} on, from {COLUMNS} columns on; {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
