"""Flow matching of MNIST, batches of 128, Adam at 1e-3, float32 on the CPU: genlab's loop beside that of torchcfm.

torchcfm's ConditionalFlowMatcher with sigma = 0 pairs noise and data at random, as genlab does by default. In the row `torchcfm`
its loop trains genlab's network, so that the loops are compared. In another row trains the U-Net of torchcfm's example for MNIST,
with about as many parameters (1.16 and 1.08 million). It works at full resolution, with attention between all pixels; it trains
on an eighth of the images, and its time counts eight times. genlab also keeps a running average of its parameters, which the
example does not.
"""

import importlib
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from genlab.data.dataset import Dataset
from genlab.models.diffusion.flow_matching import FlowMatching
from tests.benchmarks.contest import Contest, Options, Seconds, absent, has
from tests.benchmarks.vae import ABOUT_BF16, BF16, NO_BF16, bare, genlab, in_bf16, loader_of, timed
from tests.helpers.support import configure, make_dataset, make_model

EPOCH, BATCH, LR = 5_120, 128, 1e-3
CHANNELS = 32  # of torchcfm's U-Net at its finest level

OVERRIDES = [
    "model=flow_matching",
    "dataset=mnist",
    "dataset.validation=500",
    "device=cpu",
    f"train.batch_size={BATCH}",
    "optimizer=adam",
    f"optimizer.lr={LR}",
    "optimizer.schedule=constant",
    f"train.log_every={EPOCH // 20}",
]

OWN_UNET = "torchcfm, its U-Net"

ABOUT = {
    "genlab": "the trainer with all logging: 20 records, TensorBoard, 2 checkpoints; a running average",
    "genlab + evaluation": "the same, and losses of 500 validation and 10,000 test images, and pictures of 128 samples",
    "bare": "genlab's model, batches and optimizer with nothing around them",
    BF16: ABOUT_BF16,
    "torchcfm": "genlab's network in the loop of torchcfm's example for MNIST, loss.item() each step",
    OWN_UNET: f"the same loop with UNetModel of {CHANNELS}, {2 * CHANNELS} and {2 * CHANNELS} channels, one block a level",
}


def contest(options: Options) -> Contest:
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    root = config["dataset"]["root"]
    loops: dict[str, Any] = {
        "genlab": partial(genlab, config, dataset),
        "bare": partial(bare, config, dataset),
    }
    loops |= (faster := in_bf16(config, dataset, genlab))
    if has("torchcfm"):
        loops["torchcfm"] = partial(with_our_network, config, dataset, options.workers)
        loops[OWN_UNET] = partial(with_their_network, root, options.workers)
    return Contest(
        title=f"flow matching of MNIST, U-Nets of a million parameters, batches of {BATCH}",
        images=EPOCH,
        loops=loops,
        about=ABOUT,
        absent=absent("torchcfm") + ([] if faster else [NO_BF16]),
        shares={"torchcfm's loop, the same network: longer by": ("torchcfm", "bare")} if has("torchcfm") else {},
    )


class TimeFirst(nn.Module):
    """genlab's network, called with the time first as those of torchcfm."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        out: Tensor = self.network(x, t)
        return out


def with_our_network(config: dict[str, Any], dataset: Dataset, workers: int, images: int) -> Seconds:
    model = make_model(config, dataset.spec)
    assert isinstance(model, FlowMatching)
    return {"torchcfm": example(TimeFirst(model.network), config["dataset"]["root"], workers, images)}


def unet() -> nn.Module:
    found: nn.Module = importlib.import_module("torchcfm.models.unet").UNetModel(
        dim=(1, 28, 28), num_channels=CHANNELS, num_res_blocks=1
    )
    return found


def with_their_network(root: str | None, workers: int, images: int) -> Seconds:
    part = max(BATCH, images // 8)
    return {OWN_UNET: example(unet(), root, workers, part) * images / part}


def example(network: nn.Module, root: str | None, workers: int, images: int) -> float:
    """Seconds of the loop of torchcfm's example for MNIST."""
    flow = importlib.import_module("torchcfm.conditional_flow_matching")
    matcher = flow.ConditionalFlowMatcher(sigma=0.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)

    def step(x1: Tensor) -> float:
        optimizer.zero_grad()
        x0 = torch.randn_like(x1)
        t, xt, ut = matcher.sample_location_and_conditional_flow(x0, x1)
        loss = torch.mean((network(t, xt) - ut) ** 2)
        loss.backward()
        optimizer.step()
        return loss.item()

    from torchvision import transforms

    return timed(step, loader_of(root, images, BATCH, workers, transforms.Normalize((0.5,), (0.5,))))
