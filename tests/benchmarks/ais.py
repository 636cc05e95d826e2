"""log Z of an RBM 784-500 by annealed importance sampling: 100 chains, 1,000 temperatures, float32 on the CPU.

The same machine, trained by genlab for an epoch so that its states are those of a trained one; the same base distribution,
temperatures and transitions for both. The estimates have to agree, as otherwise the loops would not do the same work. A
temperature needs two matrix products, whoever does it: `products` times these alone.
"""

import math
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.inference.partition import Annealing, ais
from genlab.models.boltzmann.rbm import RBM
from tests.benchmarks import rbm
from tests.benchmarks.contest import Contest, Options, Seconds

CHAINS, TEMPERATURES = 100, 1000
TRAINED_ON = rbm.EPOCH

ABOUT = {
    "genlab": "genlab.inference.partition.ais",
    "textbook": "as in Salakhutdinov & Murray (2008): log p*(v) at both temperatures, then h, then v by torch.bernoulli",
    "products": "the two matrix products of a temperature alone, into memory that is there: what the hardware allows",
}


@dataclass
class Estimates:
    """log Z and its standard error by every loop's last run; those over as many temperatures have to agree."""

    last: dict[str, tuple[int, float, float]] = field(default_factory=dict)

    def add(self, loop: str, temperatures: int, log_z: float, stderr: float) -> None:
        self.last[loop] = temperatures, log_z, stderr
        for other, (same, value, error) in self.last.items():
            # With few temperatures a few chains have all the weight, and their scatter says little about the error.
            if same == temperatures >= TEMPERATURES:
                gap = abs(log_z - value)
                assert gap < max(3, 5 * math.hypot(stderr, error)), (
                    f"log Z is {log_z:.1f} by {loop}, {value:.1f} by {other}"
                )


def contest(options: Options) -> Contest:
    config, dataset = rbm.setting()
    model, _ = rbm.trained(config, dataset, TRAINED_ON)
    assert isinstance(model, RBM)
    model.eval()
    estimates = Estimates()
    return Contest(
        title=f"log Z of an RBM {rbm.VISIBLE}-{rbm.HIDDEN}, {CHAINS} annealed chains",
        unit="temperatures",
        images=TEMPERATURES,
        loops={
            "genlab": partial(genlab, model, estimates),
            "textbook": partial(textbook, model, estimates),
            "products": partial(products, model),
        },
        about=ABOUT,
        limits={"share of the rate of its two matrix products": ("genlab", "products")},
        together=True,
    )


def betas(temperatures: int) -> Tensor:
    return Annealing(CHAINS, temperatures, "salakhutdinov", 0).betas


def genlab(model: RBM, estimates: Estimates, temperatures: int) -> Seconds:
    start = time.perf_counter()
    found = ais(model, betas(temperatures), CHAINS)
    seconds = time.perf_counter() - start
    estimates.add("genlab", temperatures, found.value, found.stderr)
    return {"genlab": seconds}


@torch.no_grad()
def textbook(model: RBM, estimates: Estimates, temperatures: int) -> Seconds:
    """Between the base, whose visible units have the biases `base` and whose weights are 0, and the model."""
    W, a, b, base = model.theta("W"), model.theta("a"), model.theta("b"), model.base_bias

    def log_p(v: Tensor, beta: float) -> Tensor:
        return (1 - beta) * (v @ base) + beta * (v @ a) + F.softplus(beta * (v @ W + b)).sum(1)

    start = time.perf_counter()
    steps = betas(temperatures).tolist()
    v = torch.bernoulli(torch.sigmoid(base).expand(CHAINS, -1))
    log_w = torch.zeros(CHAINS)
    for beta, following in pairwise(steps):
        log_w += log_p(v, following) - log_p(v, beta)
        h = torch.bernoulli(torch.sigmoid(following * (v @ W + b)))
        v = torch.bernoulli(torch.sigmoid((1 - following) * base + following * (h @ W.t() + a)))
    log_z_base = F.softplus(base).sum() + len(b) * math.log(2)
    log_z = float(log_z_base + torch.logsumexp(log_w, 0) - math.log(CHAINS))
    seconds = time.perf_counter() - start
    weights = torch.softmax(log_w, 0) * CHAINS
    estimates.add("textbook", temperatures, log_z, float(weights.std()) / CHAINS**0.5)
    return {"textbook": seconds}


@torch.no_grad()
def products(model: RBM, temperatures: int) -> Seconds:
    W, v, h = model.theta("W"), torch.rand(CHAINS, rbm.VISIBLE), torch.rand(CHAINS, rbm.HIDDEN)
    y, z = torch.zeros_like(v), torch.zeros_like(h)
    start = time.perf_counter()
    for _ in range(temperatures):
        torch.mm(v, W, out=z)
        torch.mm(h, W.t(), out=y)
    return {"products": time.perf_counter() - start}
