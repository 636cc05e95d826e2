"""Measures of generated against real features: equal distributions and others, independent samples and clusters of them."""

from functools import partial

import torch
from torch import Tensor

from genlab.metrics.frechet import fid
from genlab.metrics.kernels import CUBIC, gaussian, mmd
from genlab.metrics.manifolds import manifold, quality
from tests.error_bars.study import Case, Measured

N, D = 600, 16
WIDTH = 5.5  # of the Gaussian kernel: fixed, so that the truth is
PER_CHAIN, MEMORY = 6, 0.7  # samples of a chain, and what correlates any two of them


def features(n: int, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(n, D, dtype=torch.float64)


def in_chains(n: int, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Features of n samples that go on from n/PER_CHAIN chains, and the chain of each."""
    chain = torch.arange(n) % (n // PER_CHAIN)
    start = features(n // PER_CHAIN)
    return shift + MEMORY**0.5 * start[chain] + (1 - MEMORY) ** 0.5 * features(n), chain


def measures(x: Tensor, y: Tensor, chain: Tensor | None = None) -> Measured:
    return {
        "fid": fid(x, y, chain),
        "kid": mmd(x, y, CUBIC, chain=chain),
        "mmd": mmd(x, y, gaussian(WIDTH), chain=chain),
        **quality(manifold(x), manifold(y), chain),
    }


AT_EQUALITY = dict.fromkeys(
    ("kid", "mmd"), "up to a fifth too wide at equality, more in one dimension; never too narrow"
)


def independent(shift: float) -> Case:
    def measure(_: int) -> Measured:
        return measures(features(N), features(N, shift))

    return Case(f"{N} independent, shift {shift:g}", measure, partial(truth, shift), {} if shift else AT_EQUALITY)


def of_chains(shift: float) -> Case:
    def measure(_: int) -> Measured:
        return measures(features(N), *in_chains(N, shift))

    return Case(
        f"{N} of {N // PER_CHAIN} chains, shift {shift:g}", measure, partial(truth, shift), {} if shift else AT_EQUALITY
    )


def truth(shift: float) -> dict[str, float]:
    """MMD^2 of N(0, I) and N(m, I), in closed form for both kernels."""
    w2, d = WIDTH**2, D
    base = (w2 / (w2 + 2)) ** (d / 2)
    rbf = 2 * base * (1 - float(torch.tensor(-d * shift**2 / (2 * (w2 + 2))).exp()))
    m2 = (
        d * shift**2
    )  # E (x.y/d + 1)^3 with x.y/d of mean b and variance v: (1 + b)^3 + 3 (1 + b) v + third central moment
    same = _cubic(m2 / d, (d + 2 * m2) / d**2, 6 * m2 / d**3)
    across = _cubic(0.0, (d + m2) / d**2, 0.0)
    return {"kid": _cubic(0.0, 1 / d, 0.0) + same - 2 * across, "mmd": rbf}


def _cubic(b: float, variance: float, third: float) -> float:
    return (1 + b) ** 3 + 3 * (1 + b) * variance + third


CASES = [independent(0.0), independent(0.3), of_chains(0.0), of_chains(0.3)]
