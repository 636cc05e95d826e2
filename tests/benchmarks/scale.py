"""python -m tests.benchmarks.scale [--largest 1000000]: time and memory of one training as the data grow.

A VAE sees the same number of synthetic pictures (28 x 28 bytes, a .npy file) of sets of 1,000 to 1,000,000, in memory and on disk
(dataset.memory_limit_gb), and of a folder of PNG files. Then 1,000 to 100,000 samples are drawn. Memory is the peak of the
process. Every row is a command of its own; run it on an idle machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from PIL import Image
from rich.console import Console
from rich.table import Table

SIDE, STEP = 28, 10_000
PEAK = "import sys; from genlab.cli import main; from genlab.numerics.memory import peak_memory_mb; "
PEAK += "code = main(sys.argv[1:]); print('peak', round(peak_memory_mb())); sys.exit(code)"
console = Console(highlight=False, width=160)


def write(path: Path, n: int) -> None:
    """n pictures of a bright disc each, at a place and of a size of its own."""
    random, file = np.random.default_rng(0), open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, SIDE, SIDE))
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for start in range(0, n, STEP):
        count = min(STEP, n - start)
        x, y, r = (
            random.uniform(low, high, (count, 1, 1)).astype(np.float32) for low, high in ((6, 22), (6, 22), (2, 6))
        )
        distance = np.sqrt((rows - y) ** 2 + (columns - x) ** 2)
        file[start : start + count] = (255 / (1 + np.exp(2 * (distance - r)))).astype(np.uint8)
    file.flush()


def write_folder(folder: Path, n: int) -> None:
    """The same as PNG files in two classes."""
    write(folder.with_suffix(".npy"), n)
    for number, picture in enumerate(np.load(folder.with_suffix(".npy"))):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)


def train(words: list[str], examples: int, folder: Path) -> dict[str, Any]:
    """Images a second after the first third, and what run.json says of the cost."""
    run = Path(tempfile.mkdtemp(dir=folder)) / "run"
    few = ["train.evaluation_budget=0.001", f"train.log_every={examples // 8}", f"hydra.run.dir={run}", "device=cpu"]
    threads = f"device.threads={torch.get_num_threads()}"
    command = [
        sys.executable,
        "-m",
        "genlab",
        "train",
        "model=vae",
        *words,
        *few,
        threads,
        f"train.examples={examples}",
    ]
    subprocess.run(command, check=True, capture_output=True)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rates = [line["throughput/images_per_second"] for line in lines if "throughput/images_per_second" in line]
    return {"rate": median(rates[2:] or rates), "run": run, **json.loads((run / "run.json").read_text())["cost"]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--largest", type=int, default=1_000_000, help="pictures of the largest set")
    parser.add_argument("--examples", type=int, default=200_000, help="that each training sees")
    parser.add_argument("--files", type=int, default=20_000, help="PNG files")
    options = parser.parse_args()
    table = Table("data", "where", "bytes", "images/s", "peak MB", box=None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = [n for n in (1_000, 10_000, 100_000, 1_000_000) if n <= options.largest]
        for n in sizes:
            write(folder / f"{n}.npy", n)
            wheres = {"memory": "8"} | ({"disk": "0.01"} if n == sizes[-1] else {})
            for where, limit in wheres.items():
                words = ["dataset=array", f"dataset.path={folder / f'{n}.npy'}", f"dataset.memory_limit_gb={limit}"]
                found = train(words, options.examples, folder)
                size = f"{n * SIDE**2 / 1e6:,.1f} MB"
                table.add_row(f"{n:,} pictures", where, size, f"{found['rate']:,.0f}", f"{found['peak_memory_mb']:,}")
        write_folder(folder / "pictures", options.files)
        words = [
            "dataset=image_folder",
            f"dataset.path={folder / 'pictures'}",
            f"dataset.size={SIDE}",
            "dataset.channels=1",
        ]
        for where, limit in (("memory", "8"), ("disk", "0.001")):
            found = train([*words, f"dataset.memory_limit_gb={limit}"], options.examples // 4, folder)
            label = f"{options.files:,} PNG files"
            table.add_row(label, where, "", f"{found['rate']:,.0f}", f"{found['peak_memory_mb']:,}")
        for n in (1_000, 10_000, 100_000):
            command = [sys.executable, "-c", PEAK, "sample", f"run={found['run']}", f"n={n}", "device=cpu"]
            done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
            peak = int(done.stdout.split("peak ")[-1].split()[0])
            table.add_row(f"{n:,} samples", "", f"{4 * n * SIDE**2 / 1e6:,.1f} MB", "", f"{peak:,}")
    console.print(table)


if __name__ == "__main__":
    main()
