"""Means over test examples and what follows from them: every measure of held-out examples but the likelihoods."""

import math
from functools import partial

import torch

from genlab.evaluation.denoising import psnr
from genlab.inference.sampling import rate_of
from genlab.metrics.estimate import Estimate, mean
from genlab.metrics.neighbours import (
    linear_accuracy,
    nearest_neighbours_accuracy,
    ranks_of_distances,
    trustworthiness,
)
from genlab.metrics.ranking import auroc
from tests.error_bars.study import Case, Measured

DIM = 20


def means(n: int, _: int) -> Measured:
    """Squared errors, skewed as those of reconstructions are, and energies that are normal."""
    errors = torch.randn(n, DIM, dtype=torch.float64).square().mul(torch.linspace(0.01, 0.2, DIM)).sum(1)
    return {
        "reconstruction_mse": mean(errors),
        "denoising_psnr": psnr(mean(errors), DIM),
        "free_energy": mean(torch.randn(n) - 80),
    }


def truth_of_means() -> dict[str, float]:
    error = float(torch.linspace(0.01, 0.2, DIM).sum())
    return {"reconstruction_mse": error, "denoising_psnr": -10 * math.log10(error / DIM), "free_energy": -80.0}


def area(n: int, shift: float, _: int) -> Measured:
    return {"auroc": auroc(shift + torch.randn(n), torch.randn(2 * n))}


def true_area(shift: float) -> dict[str, float]:
    return {"auroc": 0.5 * math.erfc(-shift / 2)}


def codes(_: int) -> Measured:
    """Codes of three classes, and the data that they are made of: all drawn anew, also the training examples."""
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])

    def drawn(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.randint(3, (n,))
        return centres[y] + torch.randn(n, 2), y

    (train, y), (test, labels) = drawn(400), drawn(300)
    lifted = torch.cat([test, torch.randn(len(test), 2)], 1)
    return {
        "knn_accuracy": nearest_neighbours_accuracy(train, y, test, labels),
        "linear_accuracy": linear_accuracy(train, y, test, labels),
        "trustworthiness": trustworthiness(ranks_of_distances(lifted), test),
    }


def rate(blocks: int, _: int) -> Measured:
    """Blocks of samples whose times scatter by a tenth, some of which wait for other processes."""
    times = 0.02 * (0.1 * torch.randn(blocks)).exp()
    times[torch.rand(blocks) < 0.05] *= 3
    return {"sampling_images_per_s": rate_of(64, times.tolist())}


def ratio(n: int, _: int) -> Measured:
    """Bits of an example over the mean length of its code."""
    rate = mean(30 + 5 * torch.randn(n))
    return {"compression_ratio_rate": Estimate(512 / rate.value, 512 / rate.value * rate.stderr / rate.value)}


CASES = [
    Case(
        "300 examples",
        partial(means, 300),
        truth_of_means,
        {"free_energy": "by chance: 200 repetitions scatter by 1.5 %"},
    ),
    *(Case(f"100 against 200, d' = {d:g}", partial(area, 100, d), partial(true_area, d)) for d in (0.0, 1.0, 3.0)),
    Case("400 training, 300 test", codes),
    Case("157 blocks", partial(rate, 157)),
    Case("300 examples", partial(ratio, 300), lambda: {"compression_ratio_rate": 512 / 30}),
]
