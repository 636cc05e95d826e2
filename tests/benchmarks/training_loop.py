"""What the runner costs, and what it is worth: one epoch of a VAE (784-512-16, batch 128) on MNIST in three loops.

  bare       the same model, batches and optimizer in a plain Python loop: the arithmetic alone
  genlab     the same through genlab's runner with all logging on: records, TensorBoard, pictures, checkpoints
  textbook   torchvision.datasets.MNIST + ToTensor + DataLoader, as in tutorials

The three take turns, round after round, in one process; quoted are medians of the ratios within a round, since a
machine's speed drifts. Run it on an idle machine: make benchmark [ARGS="--rounds 5"]. Needs MNIST (GENLAB_DATA).
"""

import argparse
import gzip
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_module
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from genlab.config import plain
from genlab.data.batches import Batches
from genlab.data.source import Dataset, Examples
from genlab.experiment import check_experiment, make_dataset, make_model
from genlab.loop import Loop
from genlab.models.base import Metrics
from genlab.resolvers import register
from genlab.tracking.run_folder import RunFolder

OVERRIDES = [
    "model=vae",
    "dataset=mnist",
    "dataset.validation=5000",
    "model.hidden=[512]",
    "model.latent_dim=16",
    "train.batch_size=128",
    "train.epochs=1",
    # An epoch here has the cadence of one in a run of ten: 20 records and, at its end, pictures, last.pt and best.pt.
    "train.log_every=2750",
    "optimizer.schedule=constant",
]


class TextbookVAE(nn.Module):
    """The network of the tutorials: 784-512-16, binary cross-entropy plus KL."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 512), nn.Linear(512, 16), nn.Linear(512, 16)
        self.fc3, self.fc4 = nn.Linear(16, 512), nn.Linear(512, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, log_var = self.fc21(h), self.fc22(h)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, log_var


def textbook_epoch(root: Path, workers: int) -> float:
    from torchvision import datasets, transforms

    data = datasets.MNIST(str(root), train=True, transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(data, range(55_000)), batch_size=128, shuffle=True, num_workers=workers
    )
    model = TextbookVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    total, start = 0.0, time.perf_counter()
    for x, _ in loader:
        optimizer.zero_grad()
        restored, mu, log_var = model(x)
        bce = F.binary_cross_entropy(restored, x.view(-1, 784), reduction="sum")
        loss = bce - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
        loss.backward()
        total += loss.item()
        optimizer.step()
    return time.perf_counter() - start


def bare_epoch(dataset: Dataset) -> float:
    model = make_model(CONFIG, dataset.spec)
    optimizer = model.optimizers["vae"]
    batches = Batches(
        dataset.train,
        dataset.represent,
        batch_size=128,
        examples=len(dataset.train),
        seed=0,
        device=torch.device("cpu"),
    )
    start = time.perf_counter()
    for batch in batches:
        reconstruction, kl = model.elbo_terms(batch.x, 1)  # type: ignore[operator]
        loss = (kl - reconstruction).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def genlab_epoch(dataset: Dataset) -> tuple[float, float, float]:
    """Seconds of the epoch without and with the evaluation on held-out data at its end, and those inside the model's loop."""
    with tempfile.TemporaryDirectory() as folder:
        parts = check_experiment(CONFIG)
        run = RunFolder(Path(folder) / "run")
        run.create(CONFIG)
        loop = Loop(
            make_model(CONFIG, dataset.spec), dataset, parts.training, parts.device, run, CONFIG, parts.length(dataset)
        )
        evaluating = computing = 0.0
        evaluate, advance = loop.evaluate, loop._next

        def timed(split: Examples) -> dict[str, tuple[float, float]]:
            nonlocal evaluating
            begin = time.perf_counter()
            result = evaluate(split)
            evaluating += time.perf_counter() - begin
            return result

        def timed_next(updates: Iterator[Metrics]) -> Metrics | None:
            nonlocal computing
            begin = time.perf_counter()
            result = advance(updates)
            computing += time.perf_counter() - begin
            return result

        loop.evaluate, loop._next = timed, timed_next  # type: ignore[method-assign]
        start = time.perf_counter()
        loop.fit()
        total = time.perf_counter() - start
        return total - evaluating, total, computing


def unpack_for_torchvision(root: Path, folder: Path) -> Path:
    """The four IDX files in the layout that torchvision.datasets.MNIST reads."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    found = {
        p.name.removesuffix(".gz"): p for p in sorted(root.rglob("*-idx?-ubyte*")) if "mnist" in str(p.parent).lower()
    }
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        content = found[name].read_bytes()
        (raw / name).write_bytes(gzip.decompress(content) if found[name].suffix == ".gz" else content)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description="one epoch of a VAE on MNIST: bare loop, genlab's runner, textbook loop"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0, help="num_workers of the textbook's DataLoader")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    dataset = make_dataset(CONFIG)
    root = Path(CONFIG["dataset"]["root"] or "~/.cache/genlab/data").expanduser()
    with tempfile.TemporaryDirectory() as folder:
        textbook_root = unpack_for_torchvision(root, Path(folder))
        loops: dict[str, Callable[[], float | tuple[float, float, float]]] = {
            "bare": lambda: bare_epoch(dataset),
            "genlab": lambda: genlab_epoch(dataset),
            "textbook": lambda: textbook_epoch(textbook_root, arguments.workers),
        }
        bare_epoch(dataset)  # warm-up
        rounds: list[dict[str, float]] = []
        for number in range(arguments.rounds):
            seconds: dict[str, float] = {}
            names = list(loops)
            for name in names[number % 3 :] + names[: number % 3]:  # nobody is always the first
                result = loops[name]()
                if isinstance(result, tuple):
                    seconds[name], seconds["genlab + evaluation"], seconds["inside the model's loop"] = result
                else:
                    seconds[name] = result
            rounds.append(seconds)
            console.print("  ".join(f"{name} {value:.2f} s" for name, value in sorted(seconds.items())))
    table = Table(
        title=f"one epoch of 55,000 images, median of {arguments.rounds} rounds, {torch.get_num_threads()} threads",
        box=None,
    )
    for column in ("loop", "seconds", "images/s", "time / bare", "textbook / this"):
        table.add_column(column, justify="left" if column == "loop" else "right")
    for name in ("bare", "genlab", "genlab + evaluation", "textbook"):
        taken = median(r[name] for r in rounds)
        over_bare = median(r[name] / r["bare"] for r in rounds)
        gain = median(r["textbook"] / r[name] for r in rounds)
        table.add_row(name, f"{taken:.2f}", f"{55_000 / taken:,.0f}", f"{over_bare:.3f}", f"{gain:.2f}")
    console.print(table)
    share = median(r["genlab"] / r["inside the model's loop"] - 1 for r in rounds)
    console.print(
        f"the runner adds {100 * share:.1f} % to the time inside the model's own loop, both measured in the same epoch"
    )


register()
with initialize_config_module("genlab.conf", version_base="1.3"):
    CONFIG = plain(compose("train", OVERRIDES))

if __name__ == "__main__":
    main()
