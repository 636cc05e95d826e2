"""Energy-based model on MNIST: convolutions 16-32-64, ten Langevin steps an update on batches of 64, a buffer of 2,000 pictures.

The same layers, steps, images and number of updates for all, and no running average of the network. The textbook's loop is what
tutorials make of Du & Mordatch's: gradients are asked of the parameters' graph too and thrown away, the buffer is a tensor whose
slots are drawn with replacement, and restarts come from a draw for each chain.
"""

from functools import partial

import torch
from torch import Tensor, nn

from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.gan import ABOUT
from tests.benchmarks.vae import bare, genlab, loader_of, timed
from tests.helpers.support import configure, make_dataset

EPOCH, BATCH, LR, K, SLOTS = 10_000, 64, 1e-3, 10, 2_000
CHANNELS = [16, 32, 64]
STEP, NOISE, CLIP, ALPHA = 10.0, 0.005, 0.03, 0.1

OVERRIDES = [
    "model=ebm",
    "dataset=mnist",
    "dataset.validation=5000",
    "device=cpu",
    f"model.hidden={CHANNELS}",
    f"model.k={K}",
    f"model.buffer={SLOTS}",
    "model.average=0.0",
    f"train.batch_size={BATCH}",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]


def contest(options: Options) -> Contest:
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    loops = {
        "genlab": partial(genlab, config, dataset),
        "bare": partial(bare, config, dataset),
        "textbook": partial(textbook, config["dataset"]["root"], options.workers),
    }
    about = ABOUT | {
        "genlab + evaluation": "the same, pictures, and the energies of 5,000 validation and 10,000 test images"
    }
    return Contest(f"EBM on MNIST, {K} Langevin steps, batches of {BATCH}", EPOCH, loops, about)


def network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip([1, *CHANNELS], CHANNELS, strict=False):
        layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(CHANNELS[-1] * 9, 1))


def textbook(root: str | None, workers: int, images: int) -> Seconds:
    energy = network()
    optimizer = torch.optim.Adam(energy.parameters(), lr=LR, betas=(0.0, 0.999))
    buffer = torch.rand(SLOTS, 1, 28, 28) * 2 - 1

    def langevin(x: Tensor) -> Tensor:
        for _ in range(K):
            x = x.detach().requires_grad_(True)
            energy(x).sum().backward()
            assert x.grad is not None
            x = x.detach() - STEP * x.grad.clamp(-CLIP, CLIP) + NOISE * torch.randn_like(x)
            x = x.clamp(-1, 1)
        return x.detach()

    def step(x: Tensor) -> float:
        x = 2 * x - 1
        x = (x + NOISE * torch.randn_like(x)).clamp(-1, 1)
        index = torch.randint(SLOTS, (len(x),))
        start = buffer[index]
        fresh = torch.rand(len(x)) < 0.05
        start[fresh] = torch.rand_like(start[fresh]) * 2 - 1
        x_model = langevin(start)
        buffer[index] = x_model
        e, e_model = energy(x), energy(x_model)
        loss = e.mean() - e_model.mean() + ALPHA * (e**2 + e_model**2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
        optimizer.step()
        return float(loss.item())

    return {"textbook": timed(step, loader_of(root, images, BATCH, workers))}
