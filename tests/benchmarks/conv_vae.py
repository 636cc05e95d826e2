"""Convolutional VAE, channels 32-64-128 and 20 latent components, batches of 128 on MNIST, Adam at 1e-3, float32 on the CPU.

The same layers, the same images and the same number of updates for all. genlab binarises every batch anew, 784 random
numbers an image, where the others take grey values as they are.
"""

import importlib
import importlib.util
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.vae import bare, genlab, loader_of, pythae_loop, timed
from tests.helpers.support import configure, make_dataset

EPOCH, BATCH, LR, LATENT = 20_000, 128, 1e-3, 20

OVERRIDES = [
    "model=vae",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    "model.network=conv",
    f"model.latent_dim={LATENT}",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints; dynamic binarisation",
    "genlab + evaluation": "the same, pictures, and the ELBO of 5,000 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    "pythae": "pythae's VAE with the same layers and its BaseTrainer, which copies and saves no model here",
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
    return Contest(f"convolutional VAE on MNIST, batches of {BATCH}", EPOCH, loops, ABOUT, absent)


def convolutions() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 128, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )


def transposed() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(LATENT, 128 * 16),
        nn.Unflatten(1, (128, 4, 4)),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, stride=2, padding=1, output_padding=1),
        nn.Sigmoid(),
    )


def pythae(x: Tensor, workers: int, images: int) -> Seconds:
    """`x` are the grey values in [0, 1]."""
    models, base, outputs = (
        importlib.import_module(f"pythae.{part}") for part in ("models", "models.nn", "models.base.base_utils")
    )

    class Encoder(base.BaseEncoder):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            base.BaseEncoder.__init__(self)
            self.trunk, self.mu, self.log_var = convolutions(), nn.Linear(2048, LATENT), nn.Linear(2048, LATENT)

        def forward(self, x: Tensor) -> Any:
            d = self.trunk(x)
            return outputs.ModelOutput(embedding=self.mu(d), log_covariance=self.log_var(d))

    class Decoder(base.BaseDecoder):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            base.BaseDecoder.__init__(self)
            self.layers = transposed()

        def forward(self, z: Tensor) -> Any:
            return outputs.ModelOutput(reconstruction=self.layers(z))

    settings = models.VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    return pythae_loop(models.VAE(settings, Encoder(), Decoder()), x[:images], workers, BATCH, LR, save=False)


class TextbookVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mu, self.log_var = convolutions(), nn.Linear(2048, LATENT), nn.Linear(2048, LATENT)
        self.decoder = transposed()

    def loss(self, x: Tensor) -> Tensor:
        d = self.encoder(x)
        mu, log_var = self.mu(d), self.log_var(d)
        restored = self.decoder(mu + torch.exp(0.5 * log_var) * torch.randn_like(mu))
        bce = F.binary_cross_entropy(restored, x, reduction="sum")
        return bce - 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    model = TextbookVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def step(x: Tensor) -> float:
        optimizer.zero_grad()
        loss = model.loss(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"textbook": timed(step, loader_of(root, images, BATCH, workers))}
