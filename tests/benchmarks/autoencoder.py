"""One epoch of an autoencoder 784-512-256-32 on 55,000 MNIST images: genlab's default, batches of 128, Adam at 1e-3.

The same layers, squared error, images and number of updates for all, float32 on the CPU. They differ in this: genlab also keeps
the codes that it fits a density to, for samples; its 430th batch runs on into the next epoch, where that of the others is short;
and genlab's Adam is torch's fused one, where the others leave torch its default.
"""

import importlib
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.benchmarks.classifier import lightning_loop
from tests.benchmarks.contest import Contest, Options, Seconds, absent, has
from tests.benchmarks.vae import ABOUT_BF16, BF16, NO_BF16, bare, genlab, in_bf16, loader_of, pythae_loop, timed
from tests.helpers.support import configure, make_dataset

EPOCH, BATCH, LR, CODE = 55_000, 128, 1e-3, 32

OVERRIDES = [
    "model=ae",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    "model.hidden=[512,256]",
    f"model.latent_dim={CODE}",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints",
    "genlab + evaluation": "the same, pictures, and the errors of 5,000 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    BF16: ABOUT_BF16,
    "textbook": "torchvision's MNIST, ToTensor and DataLoader, loss.item() each step; nothing is logged or saved",
    "lightning": "the textbook's layers and data in Lightning's Trainer without logger, checkpoints, bar and summary",
    "pythae": "pythae's AE with the same layers and its BaseTrainer, which copies and saves no model here",
}


def contest(options: Options) -> Contest:
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    root = config["dataset"]["root"]
    loops: dict[str, Any] = {"genlab": partial(genlab, config, dataset), "bare": partial(bare, config, dataset)}
    loops |= (faster := in_bf16(config, dataset))
    loops["textbook"] = partial(textbook, root, options.workers)
    if has("lightning"):
        loops["lightning"] = partial(lightning, root, options.workers)
    if has("pythae"):
        assert isinstance(dataset.train.x, Tensor)
        loops["pythae"] = partial(pythae, dataset.train.x.float() / 255, options.workers)
    return Contest(
        title=f"autoencoder 784-512-256-{CODE} of MNIST, batches of {BATCH}",
        images=EPOCH,
        loops=loops,
        about=ABOUT,
        absent=absent("lightning", "pythae") + ([] if faster else [NO_BF16]),
        shares={"the trainer adds to the time inside the model's own loop": ("genlab", "inside the model's loop")},
    )


def encoder() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, CODE)
    )


def decoder() -> nn.Sequential:
    layers = [nn.Linear(CODE, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 784)]
    return nn.Sequential(*layers, nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28)))


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=LR)


def squared_error(model: nn.Module, x: Tensor) -> Tensor:
    return F.mse_loss(model(x), x, reduction="sum") / len(x)


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    model = nn.Sequential(encoder(), decoder())
    optimizer = adam(model.parameters())

    def step(x: Tensor) -> float:
        optimizer.zero_grad()
        loss = squared_error(model, x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"textbook": timed(step, loader_of(root, images, BATCH, workers))}


def lightning(root: str | None, workers: int, images: int) -> Seconds:
    model = nn.Sequential(encoder(), decoder())

    def loss(batch: Any) -> Tensor:
        return squared_error(model, batch[0])

    return lightning_loop(model, loss, adam, loader_of(root, images, BATCH, workers))


def pythae(x: Tensor, workers: int, images: int) -> Seconds:
    """`x` are the grey values in [0, 1]."""
    models = importlib.import_module("pythae.models")
    settings = models.AEConfig(input_dim=(1, 28, 28), latent_dim=CODE)
    model = models.AE(settings, *pythae_networks(encoder(), decoder()))
    return pythae_loop(model, x[:images], workers, BATCH, LR, save=False)


def pythae_networks(encoder: nn.Module, decoder: nn.Module) -> tuple[nn.Module, nn.Module]:
    """An encoder (n, 1, 28, 28) -> code and its decoder, as pythae takes them."""
    base, outputs = (importlib.import_module(f"pythae.models.{part}") for part in ("nn", "base.base_utils"))

    class Encoder(base.BaseEncoder):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            base.BaseEncoder.__init__(self)
            self.layers = encoder

        def forward(self, x: Tensor) -> Any:
            return outputs.ModelOutput(embedding=self.layers(x))

    class Decoder(base.BaseDecoder):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            base.BaseDecoder.__init__(self)
            self.layers = decoder

        def forward(self, z: Tensor) -> Any:
            return outputs.ModelOutput(reconstruction=self.layers(z))

    return Encoder(), Decoder()
