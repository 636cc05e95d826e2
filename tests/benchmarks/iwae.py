"""IWAE 784-200-200-z50, tanh, k = 5, batches of 100 on MNIST, Adam at 1e-3, float32 on the CPU (Burda et al. 2016).

The same network, the same images and the same number of updates for all. genlab binarises every batch anew, 784 random
numbers an image, where the others take grey values as they are.
"""

import importlib
import importlib.util
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.vae import bare, genlab, loader_of, pythae_loop, timed
from tests.helpers.support import configure, make_dataset

EPOCH, BATCH, LR, K = 20_000, 100, 1e-3, 5

OVERRIDES = [
    "model=vae",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    "model.hidden=[200,200]",
    "model.latent_dim=50",
    "model.activation=tanh",
    f"model.k={K}",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints; dynamic binarisation",
    "genlab + evaluation": "the same, pictures, and bounds of 5,000 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    "pythae": "pythae's IWAE with the same layers and its BaseTrainer, which copies and saves no model here",
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
    return Contest(f"IWAE 784-200-200-50, k = {K}, on MNIST, batches of {BATCH}", EPOCH, loops, ABOUT, absent)


def layers(*sizes: int) -> nn.Sequential:
    found: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        found += [nn.Linear(n_in, n_out), nn.Tanh()]
    return nn.Sequential(*found)


def pythae(x: Tensor, workers: int, images: int) -> Seconds:
    """`x` are the grey values in [0, 1]."""
    models, base, outputs = (
        importlib.import_module(f"pythae.{part}") for part in ("models", "models.nn", "models.base.base_utils")
    )

    class Encoder(base.BaseEncoder):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            base.BaseEncoder.__init__(self)
            self.trunk, self.mu, self.log_var = layers(784, 200, 200), nn.Linear(200, 50), nn.Linear(200, 50)

        def forward(self, x: Tensor) -> Any:
            d = self.trunk(x.reshape(-1, 784))
            return outputs.ModelOutput(embedding=self.mu(d), log_covariance=self.log_var(d))

    class Decoder(base.BaseDecoder):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            base.BaseDecoder.__init__(self)
            self.layers = nn.Sequential(layers(50, 200, 200), nn.Linear(200, 784), nn.Sigmoid())

        def forward(self, z: Tensor) -> Any:
            return outputs.ModelOutput(reconstruction=self.layers(z).reshape(-1, 1, 28, 28))

    settings = models.IWAEConfig(input_dim=(1, 28, 28), latent_dim=50, reconstruction_loss="bce", number_samples=K)
    return pythae_loop(models.IWAE(settings, Encoder(), Decoder()), x[:images], workers, BATCH, LR, save=False)


class TextbookIWAE(nn.Module):
    """As it stands in tutorials: every draw goes through the decoder, probabilities through a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mu, self.log_var = layers(784, 200, 200), nn.Linear(200, 50), nn.Linear(200, 50)
        self.decoder = nn.Sequential(layers(50, 200, 200), nn.Linear(200, 784))

    def loss(self, x: Tensor) -> Tensor:
        d = self.encoder(x)
        mu = self.mu(d).repeat_interleave(K, 0)
        log_var = self.log_var(d).repeat_interleave(K, 0)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        restored = torch.sigmoid(self.decoder(z))
        log_p = -F.binary_cross_entropy(restored, x.repeat_interleave(K, 0), reduction="none").sum(1)
        q = torch.distributions.Normal(mu, torch.exp(0.5 * log_var))
        p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
        log_w = log_p + p.log_prob(z).sum(1) - q.log_prob(z).sum(1)
        return -torch.logsumexp(log_w.view(-1, K), 1).mean()


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    model = TextbookIWAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def step(x: Tensor) -> float:
        optimizer.zero_grad()
        loss = model.loss(x.view(-1, 784))
        loss.backward()
        optimizer.step()
        return loss.item()

    return {"textbook": timed(step, loader_of(root, images, BATCH, workers))}
