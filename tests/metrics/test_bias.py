"""Measures that noise would shift: corrected to their true value on average, with errors that cover it, or beside their floor."""

import math

import pytest
import torch
from torch import Tensor

from genlab.metrics.classes import (
    calibration_error,
    calibration_floor,
    entropy,
    squared_calibration_error,
    squared_distance,
    total_variation,
)
from genlab.metrics.estimate import Estimate
from genlab.metrics.memorisation import Nearest, memorisation, nearest

REPETITIONS = 200
LEAST = REPETITIONS * (0.9 - 3 * (0.1 * 0.9 / REPETITIONS) ** 0.5)
"""Hits of two standard errors that nine in ten would give, less three standard deviations."""


def hits(found: list[Estimate], truth: float) -> int:
    return sum(abs(one.value - truth) <= 2 * one.stderr for one in found)


def off(found: list[Estimate], truth: float) -> float:
    """Difference of the mean from the truth, in standard errors of that mean."""
    values = torch.tensor([one.value for one in found], dtype=torch.float64)
    return float((values.mean() - truth) / (values.std() / len(values) ** 0.5))


def shares(p: list[float], n: int, seed: int) -> Tensor:
    """Shares of the classes among n independent examples, in each of the repetitions."""
    torch.manual_seed(seed)
    counts: Tensor = torch.distributions.Multinomial(n, torch.tensor(p, dtype=torch.float64)).sample((REPETITIONS,))
    return counts / n


@pytest.mark.slow
@pytest.mark.parametrize("p", [[0.1] * 10, [0.5, 0.3, 0.2], [0.9] + [0.02] * 5])
def test_the_entropy_of_classes_is_covered(p: list[float]) -> None:
    truth = -sum(q * math.log(q) for q in p)
    for n in (300, 1000, 10_000):
        found = [entropy(one, n) for one in shares(p, n, seed=n)]
        assert hits(found, truth) >= LEAST
        assert abs(off(found, truth)) < 4


@pytest.mark.slow
@pytest.mark.parametrize("p", [[0.1] * 10, [0.08, 0.12] * 5, [1.0] + [0.0] * 9])
def test_the_squared_distance_of_classes_is_covered_and_the_distance_is_not(p: list[float]) -> None:
    q = [0.1] * 10
    truth = sum((a - b) ** 2 for a, b in zip(p, q, strict=True))
    for n, m in ((1000, 1000), (10_000, 1000)):
        both = list(zip(shares(p, n, seed=n), shares(q, m, seed=m + 1), strict=True))
        found = [squared_distance(a, b, n, m) for a, b in both]
        assert hits(found, truth) >= LEAST
        assert abs(off(found, truth)) < 4
        if truth == 0:
            assert hits([total_variation(a, b, n, m) for a, b in both], 0) < 0.5 * REPETITIONS, "so it is called biased"


def test_squared_distance_by_hand() -> None:
    p, q = torch.tensor([0.5, 0.5], dtype=torch.float64), torch.tensor([0.25, 0.75], dtype=torch.float64)
    found = squared_distance(p, q, 101, 76)
    assert found.value == pytest.approx(2 / 16 - 0.5 / 100 - 0.375 / 75)
    s = 0.25 / 100 + 0.1875 / 75  # the covariance is s (1, -1; -1, 1)
    assert found.stderr == pytest.approx((4 * s * 0.25 + 2 * 4 * s**2) ** 0.5)


def answers(n: int, excess: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Confidences of which (1 - excess) are right."""
    confidence = torch.sigmoid(2 + 1.5 * torch.randn(n, generator=generator)).clamp_min(0.1)
    return confidence, torch.rand(n, generator=generator) < (1 - excess) * confidence


def test_squared_calibration_error_by_hand() -> None:
    """Two bins: pairs of predictions in the place of squares, whose expectation is that of the mean, squared."""
    confidence = torch.tensor([0.5, 0.5, 0.5, 0.9, 0.9])
    right = torch.tensor([True, False, False, True, False])
    pairs = [(0.5 * -0.5) * 4 / 6 + (0.5 * 0.5) * 2 / 6, 0.9 * -0.1]
    assert squared_calibration_error(confidence, right).value == pytest.approx(0.6 * pairs[0] + 0.4 * pairs[1])


@pytest.mark.slow
@pytest.mark.parametrize("excess", [0.0, 0.1])
def test_the_squared_calibration_error_is_covered_and_the_error_lies_at_its_floor(excess: float) -> None:
    generator = torch.Generator().manual_seed(0)
    confidence, _ = answers(2_000_000, 0, generator)
    which = (confidence.double() * 15).long().clamp(0, 14)
    count = torch.bincount(which, minlength=15).double()
    gaps = excess * torch.bincount(which, weights=confidence.double(), minlength=15)[count > 0] / count[count > 0]
    truth = float((gaps.square() * count[count > 0]).sum() / count.sum())
    for n in (300, 3000):
        drawn = [answers(n, excess, generator) for _ in range(REPETITIONS)]
        found = [squared_calibration_error(*one) for one in drawn]
        assert hits(found, truth) >= LEAST
        assert abs(off(found, truth)) < 4
        errors = torch.tensor([calibration_error(*one) for one in drawn], dtype=torch.float64)
        floor = calibration_floor(drawn[0][0])
        if excess:
            assert float(errors.mean()) > floor.value + 2 * floor.stderr or n == 300
        else:
            assert float(errors.mean()) == pytest.approx(floor.value, abs=floor.stderr), "of other confidences"
            assert float(errors.std()) == pytest.approx(floor.stderr, rel=0.4)
            assert floor.value > 2 * floor.stderr, "so it is called biased"


def test_a_nearly_perfect_classifier_has_a_floor_of_its_own() -> None:
    """99.5 % accurate and calibrated: 0.13 % at n = 10,000, where a squared error of 0 is covered."""
    generator = torch.Generator().manual_seed(0)
    confidence = torch.sigmoid(7 + 2 * torch.randn(10_000, generator=generator))
    right = torch.rand(10_000, generator=generator) < confidence
    floor, found = calibration_floor(confidence), squared_calibration_error(confidence, right)
    assert 0.0005 < floor.value < 0.002
    assert abs(calibration_error(confidence, right) - floor.value) < 4 * floor.stderr
    assert abs(found.value) < 2 * found.stderr


def test_the_error_of_a_share_of_neighbours_by_hand() -> None:
    """Three training examples attract 2, 1 and 0 samples, two test examples 3 and 0."""
    here, there = torch.zeros(6), torch.ones(6)
    closer = torch.tensor([1, 1, 1, 0, 0, 0]).bool()
    in_train = Nearest(torch.where(closer, here, there), torch.tensor([0, 0, 1, 2, 2, 2]), torch.ones(6).long())
    in_test = Nearest(torch.where(closer, there, here), torch.tensor([1, 1, 1, 0, 0, 0]), torch.ones(6).long())
    found = memorisation(in_train, in_test, 3, 2).nearest_is_train
    assert found.value == 0.5
    assert found.stderr == pytest.approx(((3**2 * 3 * 1 + 3**2 * 2 * 4.5) / 6**4) ** 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("dim", "train", "test", "n"), [(5, 450, 50, 5000), (20, 900, 100, 3000), (5, 900, 100, 200)])
def test_the_share_of_nearest_training_examples_is_covered(dim: int, train: int, test: int, n: int) -> None:
    """Training, test and generated examples anew each time. The scatter over n alone covers 72 % in the first two."""
    found = []
    for seed in range(REPETITIONS):
        generator = torch.Generator().manual_seed(seed)
        a, b, x = (torch.randn(size, dim, generator=generator) for size in (train, test, n))
        found.append(memorisation(nearest(x, a), nearest(x, b), train, test).nearest_is_train)
    assert hits(found, train / (train + test)) >= LEAST
    assert abs(off(found, train / (train + test))) < 4
