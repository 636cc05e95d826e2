"""One epoch of a convolutional classifier on 55,000 MNIST images: genlab's default network, batches of 128, AdamW at 2e-3.

The same layers, images and number of updates for all, float32 on the CPU. They differ in this: genlab also counts right answers
in every batch; its 430th batch runs on into the next epoch, where that of the others is short; and genlab's AdamW is torch's
fused one, where the others leave torch its default.
"""

import importlib
import logging
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.benchmarks.contest import Contest, Options, Seconds, absent, has
from tests.benchmarks.vae import ABOUT_BF16, BF16, NO_BF16, bare, genlab, in_bf16, loader_of
from tests.helpers.support import configure, make_dataset

EPOCH, BATCH, LR, DECAY, DROPOUT = 55_000, 128, 2e-3, 0.01, 0.3
MEAN, STD = 0.1307, 0.3081

OVERRIDES = [
    "model=classifier",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    f"model.dropout={DROPOUT}",
    f"train.batch_size={BATCH}",
    "optimizer=adamw",
    f"optimizer.lr={LR}",
    f"optimizer.weight_decay={DECAY}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints",
    "genlab + evaluation": "the same, and measures and pictures of 5,000 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    BF16: ABOUT_BF16,
    "textbook": "torchvision's MNIST, ToTensor, Normalize and DataLoader, loss.item() each step; nothing is logged or saved",
    "lightning": "the textbook's layers and data in Lightning's Trainer without logger, checkpoints, bar and summary",
}

Loss = Callable[[Any], Tensor]
"""Of a batch, as the loader hands it out."""


def contest(options: Options) -> Contest:
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    root = config["dataset"]["root"]
    loops: dict[str, Any] = {
        "genlab": partial(genlab, config, dataset),
        "bare": partial(bare, config, dataset),
    }
    loops |= (faster := in_bf16(config, dataset, genlab))
    loops["textbook"] = partial(textbook, root, options.workers)
    if has("lightning"):
        loops["lightning"] = partial(lightning, root, options.workers)
    return Contest(
        title=f"convolutional classifier of MNIST, batches of {BATCH}",
        images=EPOCH,
        loops=loops,
        about=ABOUT,
        absent=absent("lightning") + ([] if faster else [NO_BF16]),
        shares={"the trainer adds to the time inside the model's own loop": ("genlab", "inside the model's loop")},
    )


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(128 * 9, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def adamw(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=LR, weight_decay=DECAY)


def loader(root: str | None, images: int, workers: int) -> "torch.utils.data.DataLoader[list[Tensor]]":
    from torchvision import transforms

    return loader_of(root, images, BATCH, workers, transforms.Normalize((MEAN,), (STD,)))


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    model = network()
    optimizer = adamw(model.parameters())
    batches = loader(root, images, workers)
    total, start = 0.0, time.perf_counter()
    for x, y in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return {"textbook": time.perf_counter() - start}


def lightning(root: str | None, workers: int, images: int) -> Seconds:
    model = network()

    def loss(batch: Any) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    return lightning_loop(model, loss, adamw, loader(root, images, workers))


def lightning_loop(
    network: nn.Module,
    loss: Loss,
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
    batches: "torch.utils.data.DataLoader[list[Tensor]]",
) -> Seconds:
    """One epoch of Lightning's trainer, at its leanest; its warnings and a dozen lines of its log are left out."""
    package = importlib.import_module("lightning.pytorch")

    class Module(package.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, _: int) -> Tensor:
            return loss(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer(self.network.parameters())

    settings = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"),
        False,
    )
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = package.Trainer(max_epochs=1, accelerator="cpu", devices=1, **settings)
            module = Module()
            start = time.perf_counter()
            trainer.fit(module, batches)
            return {"lightning": time.perf_counter() - start}
    finally:
        logging.disable(logging.NOTSET)
