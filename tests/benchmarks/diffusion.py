"""Diffusion models of MNIST, batches of 64, Adam at 1e-3, float32 on the CPU: genlab's U-Net beside diffusers' UNet2DModel.

The networks have about as many parameters (2.4 and 2.5 million) and both see 28x28 pixels; they are not the same network, and
that is the point: what a user would otherwise take has its first level at the full resolution. genlab also keeps a running
average of its parameters, which the other does not.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_module
from torch import Tensor

from genlab.composition.resolvers import register
from genlab.config.schema import plain
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.vae import ABOUT_BF16, BF16, NO_BF16, bare, genlab, in_bf16, loader_of, timed
from tests.helpers.support import make_dataset

EPOCH, BATCH, LR = 5_120, 64, 1e-3

OVERRIDES = [
    "model=diffusion",
    "dataset=mnist",
    "dataset.validation=500",
    "device=cpu",
    "model.hidden=[64,208]",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints",
    "genlab + evaluation": "the same, pictures, and losses and bounds of 500 validation and 10,000 test images",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    BF16: ABOUT_BF16,
    "diffusers": "UNet2DModel (32, 64, 128) and DDPMScheduler in the loop of diffusers' tutorial, loss.item() each step",
}

ABSENT = "diffusers is not installed and left out; it comes with: pip install -e '.[bench]'"


def setting() -> dict[str, Any]:
    register()
    with initialize_config_module("genlab.conf", version_base="1.3"):
        return plain(compose("train", OVERRIDES))


def has_diffusers() -> bool:
    return importlib.util.find_spec("diffusers") is not None


def contest(options: Options) -> Contest:
    config = setting()
    dataset = make_dataset(config)
    loops: dict[str, Any] = {"genlab": partial(genlab, config, dataset), "bare": partial(bare, config, dataset)}
    loops |= (faster := in_bf16(config, dataset))
    if has_diffusers():
        loops["diffusers"] = partial(tutorial, config["dataset"]["root"], options.workers)
    return Contest(
        title=f"diffusion of MNIST, U-Nets of 2 million parameters, batches of {BATCH}",
        images=EPOCH,
        loops=loops,
        about=ABOUT,
        absent=([] if has_diffusers() else [ABSENT]) + ([] if faster else [NO_BF16]),
    )


def unet() -> Any:
    diffusers = importlib.import_module("diffusers")
    return diffusers.UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        norm_num_groups=8,
    )


def tutorial(root: str | None, workers: int, images: int) -> Mapping[str, float]:
    scheduler = importlib.import_module("diffusers").DDPMScheduler(num_train_timesteps=1000)
    network = unet()
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)

    def step(x: Tensor) -> float:
        x = 2 * x - 1
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        predicted = network(scheduler.add_noise(x, noise, t), t, return_dict=False)[0]
        loss = F.mse_loss(predicted, noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.item())

    found: Seconds = {"diffusers": timed(step, loader_of(root, images, BATCH, workers))}
    return found
