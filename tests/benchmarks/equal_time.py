"""python -m tests.benchmarks.equal_time --seconds 600: what the U-Nets of diffusion.py have learned after as much processor time.

Each trains on all of MNIST, batches of 64, float32: genlab's by model=diffusion as it is configured, but for the network and a
schedule of the rate that ends with the time; diffusers' as its tutorial has it, AdamW, a cosine schedule of the rate with
warm-up, noise predicted on 1,000 linear levels. Diffusers' network is judged twice, as it is and by a running average of its
parameters, which the tutorial does not keep. Samples of both come by DPM-Solver++ in 20 evaluations, and are judged by the
distance that `genlab evaluate` reports. One after the other, one thread: nothing else should need the core.
"""

import argparse
import importlib
import math
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset
from genlab.evaluation.features import feature_space
from genlab.evaluation.sample_reference import Reference
from genlab.inference.sampling import draw
from genlab.metrics.frechet import fid
from genlab.models.diffusion.diffusion import Diffusion
from tests.benchmarks.diffusion import BATCH, unet
from tests.helpers.support import configure, make_dataset, make_model

OVERRIDES = ["model=diffusion", "dataset=mnist", "device=cpu", "model.hidden=[64,208]", f"train.batch_size={BATCH}"]
RATE, WARM_UP = 1e-3, 500  # of diffusers' loop; updates until its rate is full
DECAY = 0.999
STEPS = 20

console = Console(highlight=False, soft_wrap=True)


def shuffled(dataset: Dataset, seconds: float) -> Iterator[Batch]:
    """Training batches until so much processor time is used, each with the share of it that is."""
    generator, start = torch.Generator().manual_seed(0), time.process_time()
    while True:
        order = torch.randperm(len(dataset.train), generator=generator)
        for index in order.split(BATCH)[:-1]:
            used = (time.process_time() - start) / seconds
            if used >= 1:
                return
            yield Batch(dataset.represent(dataset.train.take(index)), None, used)


def genlab(config: dict[str, Any], dataset: Dataset, seconds: float) -> tuple[Diffusion, int]:
    torch.manual_seed(0)
    model = make_model(config, dataset.spec)
    assert isinstance(model, Diffusion)
    (optimizer,) = model.optimizers.values()
    seen = 0

    def scheduled() -> Iterator[Batch]:
        for batch in shuffled(dataset, seconds):
            for group in optimizer.param_groups:
                group["lr"] = config["optimizer"]["lr"] * 0.5 * (1 + math.cos(math.pi * batch.progress))
            yield batch

    for _ in model.train_loop(scheduled()):
        seen += BATCH
    return model.eval(), seen


def diffusers(dataset: Dataset, seconds: float) -> tuple[Any, Any, int]:
    """The tutorial's loop: its network and the average of it, and how many images it saw."""
    torch.manual_seed(0)
    scheduler = importlib.import_module("diffusers").DDPMScheduler(num_train_timesteps=1000)
    network = unet()
    average = AveragedModel(
        network, avg_fn=lambda mean, now, n: mean + (now - mean) * max(1 / (1 + 0.1 * n), 1 - DECAY)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE)
    updates = 0
    for batch in shuffled(dataset, seconds):
        rate = RATE * min(1.0, (updates + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * batch.progress))
        for group in optimizer.param_groups:
            group["lr"] = rate
        x = 2 * batch.x - 1
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        loss = F.mse_loss(network(scheduler.add_noise(x, noise, t), t, return_dict=False)[0], noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(network)
        updates += 1
    return network.eval(), average.module.eval(), updates * BATCH


@torch.no_grad()
def samples_of(network: Any, n: int) -> Tensor:
    """(n, 1, 28, 28) in [0, 1]."""
    torch.manual_seed(0)
    scheduler = importlib.import_module("diffusers").DPMSolverMultistepScheduler(num_train_timesteps=1000)
    found = []
    for _ in range(-(-n // BATCH)):
        scheduler.set_timesteps(STEPS)
        x = torch.randn(BATCH, 1, 28, 28)
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t).sample, t, x).prev_sample
        found.append(x)
    return (torch.cat(found)[:n] / 2 + 0.5).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.equal_time", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="processor time of each training")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--loops", nargs="+", choices=["genlab", "diffusers"], default=["genlab", "diffusers"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = configure(*OVERRIDES)
    dataset = make_dataset(config)
    reference = Reference(dataset, feature_space(dataset, torch.device("cpu")), arguments.samples, 0)

    def report(name: str, x: Tensor, seen: int) -> None:
        distance = fid(reference.features, reference.space.features(x).double())
        console.print(
            f"{name}: {seen:,} images in {arguments.seconds:,.0f} s, FID {distance.value:.2f} +- {distance.stderr:.2f}"
        )

    if "genlab" in arguments.loops:
        model, seen = genlab(config, dataset, arguments.seconds)
        report("genlab", draw(model, arguments.samples, 0, sampler="dpm_solver", steps=STEPS, eta=0.0).x, seen)
    if "diffusers" in arguments.loops:
        network, average, seen = diffusers(dataset, arguments.seconds)
        report("diffusers", samples_of(network, arguments.samples), seen)
        report("diffusers, averaged", samples_of(average, arguments.samples), seen)


if __name__ == "__main__":
    main()
