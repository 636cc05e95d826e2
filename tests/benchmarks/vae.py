"""One epoch of a VAE 784-512-16 on 55,000 MNIST images, batch 128, Adam at 1e-3, float32 on the CPU.

The same network (the two layers of the encoder's head as one here, as two there), the same images and the same number
of updates for all. They differ in this: genlab binarises every batch anew, 784 random numbers an image, where the others
take grey values as they are; genlab's 430th batch runs on into the next epoch, where that of the others is short; and
genlab's Adam is torch's fused one, where the others leave torch its default.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.benchmark.trainer_overhead import Stopwatch, quiet_console
from genlab.data.batches import Batches
from genlab.data.dataset import Dataset
from genlab.data.sources.mnist import mnist
from genlab.tracking.run_folder import RunFolder
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.helpers.support import configure, experiment_of, make_dataset, make_model

EPOCH, BATCH, LR = 55_000, 128, 1e-3
CPU = torch.device("cpu")

OVERRIDES = [
    "model=vae",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    "model.hidden=[512]",
    "model.latent_dim=16",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    # An epoch here has the cadence of one in a run of ten: 20 records and, at its end, pictures, last.pt and best.pt.
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints; dynamic binarisation",
    "genlab + evaluation": "the same, pictures, and the ELBO of 5,000 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    "pythae": "pythae's VAE and BaseTrainer as they come: progress bar, loss.item(), copy of the best model, final model saved",
    "textbook": "torchvision's MNIST, ToTensor and DataLoader, loss.item() each step; nothing is logged or saved",
}


def contest(options: Options) -> Contest:
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    loops = {"genlab": partial(genlab, config, dataset), "bare": partial(bare, config, dataset)}
    absent = []
    if importlib.util.find_spec("pythae") is None:
        absent.append("pythae is not installed and left out; it comes with: pip install -e '.[bench]'")
    else:
        assert isinstance(dataset.train.x, Tensor)
        loops["pythae"] = partial(pythae, dataset.train.x.float() / 255, options.workers)
    loops["textbook"] = partial(textbook, config["dataset"]["root"], options.workers)
    return Contest(
        title="VAE 784-512-16 on MNIST, batches of 128",
        images=EPOCH,
        loops=loops,
        about=ABOUT,
        absent=absent,
        shares={"the trainer adds to the time inside the model's own loop": ("genlab", "inside the model's loop")},
    )


def genlab(config: dict[str, Any], dataset: Dataset, images: int) -> Seconds:
    """Through the trainer; also the seconds with its evaluation and pictures, which no peer makes, and those of the loop."""
    config = {**config, "train": {**config["train"], "examples": images}}
    with tempfile.TemporaryDirectory() as folder:
        experiment = experiment_of(config, dataset)
        run = RunFolder(Path(folder) / "run")
        run.create(config)
        trainer = experiment.trainer(run)
        stopwatch = Stopwatch(CPU)
        stopwatch.watch(trainer, "evaluate", "evaluation")
        stopwatch.watch(trainer.updates, "next", "updates")
        stopwatch.watch(trainer, "show_samples", "pictures")
        start = time.perf_counter()
        with quiet_console():
            trainer.fit()
        total = time.perf_counter() - start
    return {
        "genlab": total - sum(stopwatch.seconds["evaluation"]) - sum(stopwatch.seconds["pictures"]),
        "genlab + evaluation": total,
        "inside the model's loop": sum(stopwatch.seconds["updates"]),
    }


BF16 = "genlab, device.precision=bf16"
ABOUT_BF16 = "the trainer with all logging as above, products in bfloat16"
NO_BF16 = f"this processor has no products in bfloat16: '{BF16}' is left out"


def in_bf16(
    config: dict[str, Any],
    dataset: Dataset,
    loop: Callable[[dict[str, Any], Dataset, int], Seconds] = genlab,
) -> dict[str, Callable[[int], Seconds]]:
    """The trainer's loop with half the precision in its products, where the processor has such products and so gains by it."""
    if not torch.cpu._is_avx512_bf16_supported():  # also what oneDNN asks before it uses AMX
        return {}
    chosen = {**config, "device": {**config["device"], "precision": "bf16"}}
    return {BF16: lambda images: {BF16: loop(chosen, dataset, images)["genlab"]}}


def bare(config: dict[str, Any], dataset: Dataset, images: int) -> Seconds:
    model = make_model(config, dataset.spec)
    size = config["train"]["batch_size"]
    batches = Batches(dataset.train, dataset.represent, batch_size=size, examples=images, seed=0, device=CPU)
    start = time.perf_counter()
    for _ in model.train_loop(batches):
        pass
    return {"bare": time.perf_counter() - start}


def pythae(x: Tensor, workers: int, images: int) -> Seconds:
    """`x` are the grey values in [0, 1]; pythae's default MLP has the 512 hidden units that are wanted here."""
    models = importlib.import_module("pythae.models")
    model = models.VAE(models.VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce"))
    return pythae_loop(model, x[:images], workers, BATCH, LR, save=True)


def pythae_loop(model: Any, x: Tensor, workers: int, batch: int, lr: float, *, save: bool) -> Seconds:
    """One epoch of pythae's trainer over x (n, *shape). Without `save` it neither copies the best model nor writes files."""
    trainers, datasets = (importlib.import_module(f"pythae.{part}") for part in ("trainers", "data.datasets"))
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        settings = trainers.BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=batch,
            train_dataloader_num_workers=workers,
            learning_rate=lr,
            no_cuda=True,
        )
        # The bar is drawn as for any user, but to where nobody sees it; a dozen lines of its log are left out.
        logging.disable(logging.INFO)
        try:
            with contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
                data = datasets.BaseDataset(x, torch.zeros(len(x)))
                trainer = trainers.BaseTrainer(model, data, training_config=settings)
                if not save:
                    trainer.save_model = lambda *_, **__: None
                    trainer.save_checkpoint = lambda *_, **__: None
                start = time.perf_counter()
                trainer.train()
                return {"pythae": time.perf_counter() - start}
        finally:
            logging.disable(logging.NOTSET)


class TextbookVAE(nn.Module):
    """The network of the tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(784, 512), nn.Linear(512, 16), nn.Linear(512, 16)
        self.fc3, self.fc4 = nn.Linear(16, 512), nn.Linear(512, 784)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, log_var = self.fc21(h), self.fc22(h)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, log_var


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    model = TextbookVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def step(x: Tensor) -> float:
        optimizer.zero_grad()
        restored, mu, log_var = model(x)
        bce = F.binary_cross_entropy(restored, x.view(-1, 784), reduction="sum")
        loss = bce - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"textbook": timed(step, loader_of(root, images, BATCH, workers))}


def timed(step: Callable[[Tensor], float], loader: Iterable[list[Tensor]]) -> float:
    """Seconds that the loop of the tutorials takes, which adds up its losses."""
    total, start = 0.0, time.perf_counter()
    for x, _ in loader:
        total += step(x)
    return time.perf_counter() - start


def loader_of(
    root: str | None, images: int, batch: int, workers: int, *further: Callable[[Tensor], Tensor]
) -> "torch.utils.data.DataLoader[list[Tensor]]":
    """torchvision's MNIST, ToTensor, `further` transforms and DataLoader over the first `images` training images."""
    from torchvision import datasets, transforms

    to_tensor = transforms.ToTensor()
    transform = transforms.Compose([to_tensor, *further]) if further else to_tensor
    data = datasets.MNIST(for_torchvision(root).name, train=True, transform=transform)
    part = torch.utils.data.Subset(data, range(images))
    return torch.utils.data.DataLoader(part, batch_size=batch, shuffle=True, num_workers=workers)


@cache
def for_torchvision(root: str | None) -> "tempfile.TemporaryDirectory[str]":
    """MNIST as genlab finds it, written as the four IDX files that torchvision.datasets.MNIST reads."""
    folder = tempfile.TemporaryDirectory()
    raw = Path(folder.name) / "MNIST" / "raw"
    raw.mkdir(parents=True)
    found = mnist(root=root)
    assert found.test is not None
    for part, split in (("train", found.train), ("t10k", found.test)):
        assert isinstance(split.x, Tensor)
        assert split.y is not None
        for name, values in (
            ("images-idx3", split.x.flatten(1).unflatten(1, (28, 28))),
            ("labels-idx1", split.y.byte()),
        ):
            head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (raw / f"{part}-{name}-ubyte").write_bytes(head + values.contiguous().numpy().tobytes())
    return folder
