"""Pairs of noise and data by optimal transport, batches of 128 MNIST images on the CPU: genlab's coupling=ot beside torchcfm's.

Both find the exact plan for squared distances between the examples of a batch. For as many examples on both sides it is a
permutation: genlab asks for an assignment, torchcfm for a plan from which it draws pairs. The pairs of both have to be as near to
each other, up to the draws, as otherwise the loops would not do the same work.
"""

import importlib
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genlab.models.diffusion.flow_matching import nearest_partners
from tests.benchmarks.contest import Contest, Options, Seconds, absent, has
from tests.helpers.support import configure, make_dataset

EXAMPLES, BATCH = 12_800, 128

ABOUT = {
    "genlab": "nearest_partners: distances by torch.cdist, assignment by scipy",
    "torchcfm": "OTPlanSampler('exact'): distances by torch.cdist, plan by POT, pairs drawn from it with replacement",
}


@dataclass
class Distances:
    """Mean squared distance of the pairs, by the last run of every loop."""

    last: dict[int, float] = field(default_factory=dict)

    def add(self, examples: int, value: float) -> None:
        other = self.last.setdefault(examples, value)
        assert abs(value / other - 1) < 0.02, f"pairs are {value:.1f} apart by one loop, {other:.1f} by another"


def contest(options: Options) -> Contest:
    dataset = make_dataset(configure("model=flow_matching", "dataset=mnist", "device=cpu"))
    x = 2 * dataset.represent(dataset.train.take(torch.arange(EXAMPLES))) - 1
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    distances = Distances()
    loops: dict[str, Any] = {"genlab": partial(genlab, x, z, distances)}
    if has("torchcfm"):
        loops["torchcfm"] = partial(torchcfm, x, z, distances)
    return Contest(
        title=f"optimal transport between noise and MNIST, batches of {BATCH}",
        unit="examples",
        images=EXAMPLES,
        loops=loops,
        about=ABOUT,
        absent=absent("torchcfm"),
        together=True,
    )


def genlab(x: Tensor, z: Tensor, distances: Distances, examples: int) -> Seconds:
    start = time.perf_counter()
    pairs = [
        (batch, noise[nearest_partners(batch, noise)])
        for batch, noise in zip(x[:examples].split(BATCH), z[:examples].split(BATCH), strict=True)
    ]
    seconds = time.perf_counter() - start
    distances.add(examples, apart(pairs))
    return {"genlab": seconds}


def torchcfm(x: Tensor, z: Tensor, distances: Distances, examples: int) -> Seconds:
    sampler = importlib.import_module("torchcfm.optimal_transport").OTPlanSampler("exact")
    start = time.perf_counter()
    pairs = [
        sampler.sample_plan(batch, noise)
        for batch, noise in zip(x[:examples].split(BATCH), z[:examples].split(BATCH), strict=True)
    ]
    seconds = time.perf_counter() - start
    distances.add(examples, apart(pairs))
    return {"torchcfm": seconds}


def apart(pairs: list[tuple[Tensor, Tensor]]) -> float:
    return float(torch.cat([(x - z).square().flatten(1).sum(1) for x, z in pairs]).mean())
