"""python -m tests.benchmarks.several_processes [vae gan ...] --seconds 30: how far sharing batches carries, on this machine.

For each family on MNIST: images a second of one process with one thread, of one with two, and of two processes with one thread
each, all as `genlab train` runs them, in turns; the bytes of its gradients; and what a sum over two processes costs. Run it
on an idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from genlab.numerics import ranks
from genlab.training import checkpoint

WAYS = {
    "1 process, 1 thread": ("device.threads=1",),
    "1 process, 2 threads": ("device.threads=2",),
    "2 processes": ("device.threads=1", "device.processes=2"),
}
SIZES = (4, 76_104, 400_000, 1_600_000)  # float32 numbers
console = Console(highlight=False)


def rate(words: list[str], examples: int) -> tuple[float, Path]:
    """Images a second of a run after its first third, and its folder. Records are few: one takes a while, and all wait for it."""
    folder = Path(tempfile.mkdtemp(prefix="genlab-rate-"))
    run = folder / "run"
    quiet = ["train.evaluation_budget=0.001", f"train.log_every={max(1, examples // 3)}", f"hydra.run.dir={run}"]
    command = [sys.executable, "-m", "genlab", "train", "device=cpu", *words, f"train.examples={examples}", *quiet]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "COLUMNS": "200"})
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [line["throughput/images_per_second"] for line in lines if "throughput/images_per_second" in line]
    return median(found[1:] or found), run


def sums() -> None:
    """Microseconds of a sum over the processes of torchrun, by its size."""
    ranks.join()
    torch.set_num_threads(1)
    for size in SIZES:
        values = torch.ones(size)
        laps = []
        for _ in range(60):
            began = time.perf_counter()
            ranks.add_up(values)
            laps.append(time.perf_counter() - began)
        if not ranks.follows():
            print(f"all_reduce of {4 * size / 1e6:.3g} MB: {1e6 * median(laps[10:]):,.0f} us", flush=True)
    ranks.leave()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.several_processes", description=__doc__)
    parser.add_argument("families", nargs="*", default=[], help="vae, gan and diffusion by default")
    parser.add_argument("--seconds", type=float, default=30.0, help="about so long trains each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value")
    options = parser.parse_args()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m"]
    done = subprocess.run([*torchrun, __spec__.name, "sums"], check=True, capture_output=True, text=True)
    console.print(done.stdout.strip())
    table = Table("family", "gradient", *WAYS, "2 processes / 2 threads", box=None)
    for family in options.families or ["vae", "gan", "diffusion"]:
        words = [f"model={family}", "dataset=mnist", *options.set]
        first, run = rate([*words, *WAYS["1 process, 1 thread"]], 2560)
        state = checkpoint.load(run / "checkpoints" / "last.pt")
        size = sum(value.numel() for name, value in state["model"].items() if not name.startswith(("ema", "average_")))
        examples = max(2560, int(first * options.seconds) // 128 * 128)
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        for number in range(options.rounds):
            names = list(WAYS)
            for name in names[number % 3 :] + names[: number % 3]:
                rates[name].append(rate([*words, *WAYS[name]], examples)[0])
        middle = {name: median(found) for name, found in rates.items()}
        ratio = middle["2 processes"] / middle["1 process, 2 threads"]
        shown = [f"{middle[name]:,.0f} ({min(rates[name]):,.0f}-{max(rates[name]):,.0f})" for name in WAYS]
        table.add_row(family, f"{4 * size / 1e6:.2f} MB", *shown, f"{ratio:.2f}")
        console.print(family, rates)
    console.print(table)


if __name__ == "__main__":
    sums() if sys.argv[1:] == ["sums"] else main()
