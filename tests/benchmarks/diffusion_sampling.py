"""One step of sampling 64 images of MNIST by DDIM, float32 on the CPU: the U-Nets of genlab and of diffusers (diffusion.py).

The networks are not trained, which changes nothing of their arithmetic.
"""

import importlib
import time
from collections import deque
from functools import partial
from typing import Any

import torch

from genlab.models.diffusion.diffusion import Diffusion
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.benchmarks.diffusion import ABSENT, has_diffusers, setting, unet
from tests.helpers.support import make_dataset, make_model

STEPS, IMAGES = 20, 64

ABOUT = {
    "genlab": "sample_loop of model=diffusion with sampler=ddim, its running average and all states kept",
    "diffusers": "UNet2DModel (32, 64, 128) and DDIMScheduler in the loop of diffusers' tutorial",
}


def contest(options: Options) -> Contest:
    config = setting()
    model = make_model(config, make_dataset(config).spec)
    assert isinstance(model, Diffusion)
    model.eval()
    loops: dict[str, Any] = {"genlab": partial(ours, model)}
    if has_diffusers():
        loops["diffusers"] = partial(theirs, unet().eval())
    return Contest(
        title=f"sampling {IMAGES} images of MNIST by diffusion",
        unit="steps",
        images=STEPS,
        loops=loops,
        about=ABOUT,
        absent=[] if has_diffusers() else [ABSENT],
    )


def ours(model: Diffusion, steps: int) -> Seconds:
    start = time.perf_counter()
    deque(model.sample_loop(IMAGES, sampler="ddim", steps=min(steps, 1000)), maxlen=0)
    return {"genlab": time.perf_counter() - start}


@torch.no_grad()
def theirs(network: Any, steps: int) -> Seconds:
    scheduler = importlib.import_module("diffusers").DDIMScheduler(num_train_timesteps=1000)
    scheduler.set_timesteps(min(steps, 1000))
    start = time.perf_counter()
    x = torch.randn(IMAGES, 1, 28, 28)
    for t in scheduler.timesteps:
        x = scheduler.step(network(x, t).sample, t, x).prev_sample
    return {"diffusers": time.perf_counter() - start}
