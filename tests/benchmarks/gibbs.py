"""Gibbs sampling of an RBM 784-500: 100 chains, 1,000 sweeps from independent pixels, float32 on the CPU.

The same machine, trained by genlab for an epoch. The chains of all have to reach states with as many pixels on, as otherwise the
loops would not do the same work. A sweep needs two matrix products: `products` of the contest ais.py times these alone.
"""

import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from genlab.models.boltzmann.rbm import RBM
from tests.benchmarks import rbm
from tests.benchmarks.ais import CHAINS, products
from tests.benchmarks.contest import Contest, Options, Seconds

SWEEPS = 1000

ABOUT = {
    "genlab": "sample_loop with sampler=gibbs, every state as it was drawn",
    "genlab, means": "the same with the mean of x given h in every state, as pictures are shown",
    "textbook": "h, then v by torch.bernoulli of the sigmoid of their inputs",
    "scikit-learn": "BernoulliRBM.gibbs with the same parameters",
    "products": "the two matrix products of a sweep alone, into memory that is there: what the hardware allows",
}


@dataclass
class PixelsOn:
    """Their share in the last states of every loop's last run; those of whole runs have to agree."""

    last: dict[str, float] = field(default_factory=dict)

    def add(self, loop: str, sweeps: int, share: float) -> None:
        if sweeps < SWEEPS:
            return
        self.last[loop] = share
        for other, value in self.last.items():
            assert abs(share - value) < 0.03, f"{share:.3f} of the pixels are on by {loop}, {value:.3f} by {other}"


def contest(options: Options) -> Contest:
    config, dataset = rbm.setting()
    model, _ = rbm.trained(config, dataset, rbm.EPOCH)
    assert isinstance(model, RBM)
    model.eval()
    pixels_on = PixelsOn()
    return Contest(
        title=f"Gibbs sampling of an RBM {rbm.VISIBLE}-{rbm.HIDDEN}, {CHAINS} chains",
        unit="sweeps",
        images=SWEEPS,
        loops={
            "genlab": partial(genlab, "genlab", model, pixels_on, False),
            "genlab, means": partial(genlab, "genlab, means", model, pixels_on, True),
            "textbook": partial(textbook, model, pixels_on),
            "scikit-learn": partial(scikit_learn, model, pixels_on),
            "products": partial(products, model),
        },
        about=ABOUT,
        limits={"share of the rate of its two matrix products": ("genlab", "products")},
    )


def genlab(name: str, model: RBM, pixels_on: PixelsOn, mean: bool, sweeps: int) -> Seconds:
    start = time.perf_counter()
    (x,) = deque(model.sample_loop(CHAINS, sampler="gibbs", steps=sweeps, mean=mean), maxlen=1)
    seconds = time.perf_counter() - start
    pixels_on.add(name, sweeps, float(x.mean()))
    return {name: seconds}


@torch.no_grad()
def textbook(model: RBM, pixels_on: PixelsOn, sweeps: int) -> Seconds:
    W, a, b, base = model.theta("W"), model.theta("a"), model.theta("b"), model.base_bias
    start = time.perf_counter()
    v = torch.bernoulli(torch.sigmoid(base).expand(CHAINS, -1))
    for _ in range(sweeps):
        h = torch.bernoulli(torch.sigmoid(v @ W + b))
        v = torch.bernoulli(torch.sigmoid(h @ W.t() + a))
    seconds = time.perf_counter() - start
    pixels_on.add("textbook", sweeps, float(v.mean()))
    return {"textbook": seconds}


def scikit_learn(model: RBM, pixels_on: PixelsOn, sweeps: int) -> Seconds:
    from sklearn.neural_network import BernoulliRBM

    v = torch.bernoulli(torch.sigmoid(model.base_bias).expand(CHAINS, -1)).numpy()
    machine = BernoulliRBM(n_components=rbm.HIDDEN, n_iter=1, random_state=0).fit(v)
    machine.components_ = model.theta("W").detach().t().contiguous().numpy()
    machine.intercept_hidden_ = model.theta("b").detach().numpy()
    machine.intercept_visible_ = model.theta("a").detach().numpy()
    with threadpool_limits(torch.get_num_threads(), user_api="blas"):
        start = time.perf_counter()
        for _ in range(sweeps):
            v = machine.gibbs(v)
        seconds = time.perf_counter() - start
    pixels_on.add("scikit-learn", sweeps, float(v.mean()))
    return {"scikit-learn": seconds}
