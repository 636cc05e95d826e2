"""Feed-forward GAN 100-128-256-512-1024-784 against 784-512-256-1 on MNIST, batches of 64, Adam at 2e-4, float32 on the CPU.

The same layers, images and number of updates for all, and no running average of the generator. Both use the samples that the
discriminator was shown for the generator's step too.
"""

import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.vae import ABOUT_BF16, BF16, NO_BF16, bare, genlab, in_bf16, loader_of, timed
from tests.helpers.support import configure, make_dataset

EPOCH, BATCH, LR, LATENT = 55_000, 64, 2e-4, 100
WIDTHS, CRITIC_WIDTHS = [128, 256, 512, 1024], [512, 256]

OVERRIDES = [
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    "model.network=mlp",
    f"model.latent_dim={LATENT}",
    f"model.hidden={WIDTHS}",
    f"model.critic_hidden={CRITIC_WIDTHS}",
    "model.average=0.0",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints",
    "genlab + evaluation": "the same, pictures, and the players on 5,000 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizers with nothing around them",
    BF16: ABOUT_BF16,
    "products": "the matrix products of an update and nothing else: no loop in this precision is faster",
    "textbook": "torchvision's MNIST, ToTensor and DataLoader, item() of both losses each step; nothing is logged or saved",
}


def contest(options: Options) -> Contest:
    found = against_textbook("gan", f"feed-forward GAN on MNIST, batches of {BATCH}", textbook, options)
    limits = {f"{row}: share of the rate of its matrix products": (row, "products") for row in ("genlab", "bare")}
    return replace(found, loops={**found.loops, "products": products}, limits=limits)


def against_textbook(model: str, title: str, textbook: "Loop", options: Options) -> Contest:
    config = configure(f"model={model}", *OVERRIDES)
    dataset = make_dataset(config)
    loops: dict[str, Any] = {
        "genlab": partial(genlab, config, dataset),
        "bare": partial(bare, config, dataset),
        **(faster := in_bf16(config, dataset)),
        "textbook": partial(textbook, config["dataset"]["root"], options.workers),
    }
    return Contest(title, EPOCH, loops, ABOUT, [] if faster else [NO_BF16])


class Loop(Protocol):
    """A textbook's loop: (root of the data, worker processes, images) -> seconds."""

    def __call__(self, root: str | None, workers: int, images: int) -> Seconds: ...


def generator() -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip([LATENT, *WIDTHS], WIDTHS, strict=False):
        layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))


def discriminator(*last: nn.Module) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in zip([784, *CRITIC_WIDTHS], CRITIC_WIDTHS, strict=False):
        layers += [nn.Linear(a, b), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(CRITIC_WIDTHS[-1], 1), *last)


def products(images: int) -> Seconds:
    """Of one update after another: G's samples, D's step on data and samples, G's step through D."""
    g = [(a, b) for a, b in pairwise([LATENT, *WIDTHS, 784])]
    d = [(a, b) for a, b in pairwise([784, *CRITIC_WIDTHS, 1])]
    rows = {BATCH: [*g, *d], 2 * BATCH: d}
    x = {(m, a): torch.randn(m, a) for m, layers in rows.items() for layer in layers for a in layer}
    weights = {(a, b): torch.randn(b, a) for a, b in [*g, *d]}

    def forward(m: int, layers: list[tuple[int, int]]) -> None:
        for a, b in layers:
            torch.mm(x[m, a], weights[a, b].T)

    def of_weights(m: int, layers: list[tuple[int, int]]) -> None:
        for a, b in layers:
            torch.mm(x[m, b].T, x[m, a])

    def of_inputs(m: int, layers: list[tuple[int, int]]) -> None:
        for a, b in layers:
            torch.mm(x[m, b], weights[a, b])

    start = time.perf_counter()
    for _ in range(images // BATCH):
        forward(BATCH, g)
        forward(2 * BATCH, d)
        of_weights(2 * BATCH, d)
        of_inputs(2 * BATCH, d[1:])
        forward(BATCH, d)
        of_inputs(BATCH, [*d, *g[1:]])
        of_weights(BATCH, g)
    return {"products": time.perf_counter() - start}


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    g, d, bce = generator(), discriminator(nn.Sigmoid()), nn.BCELoss()
    optimizer_g = torch.optim.Adam(g.parameters(), lr=LR, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(d.parameters(), lr=LR, betas=(0.5, 0.999))

    def step(x: Tensor) -> float:
        x = 2 * x - 1
        real, fake = torch.ones(len(x), 1), torch.zeros(len(x), 1)
        optimizer_g.zero_grad()
        x_g = g(torch.randn(len(x), LATENT))
        loss_g = bce(d(x_g), real)
        loss_g.backward()
        optimizer_g.step()
        optimizer_d.zero_grad()
        loss_d = (bce(d(x), real) + bce(d(x_g.detach()), fake)) / 2
        loss_d.backward()
        optimizer_d.step()
        return float(loss_d.item() + loss_g.item())

    return {"textbook": timed(step, loader_of(root, images, BATCH, workers))}
