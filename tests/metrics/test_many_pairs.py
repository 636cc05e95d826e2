"""Sets so large that pairs are in single precision, or are ruled out by bounds: the same measures as of all pairs in double."""

import math

import pytest
import torch
from torch import Tensor

from genlab.metrics import kernels, memorisation
from genlab.metrics.kernels import CUBIC, Kernel, distance_tiles, gaussian, median_distance, mmd
from genlab.metrics.manifolds import manifold, quality
from genlab.metrics.memorisation import nearest

N, D = 2500, 16
SHIFT = 300.0  # of all features: their squares then have few digits left for distances


def features(seed: int, shift: float = 0.0) -> Tensor:
    points = torch.randn(N, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points.exp() * (1 + shift) + SHIFT


def measures(x: Tensor, y: Tensor, kernel: Kernel) -> dict[str, float]:
    found = {"mmd": mmd(x, y, kernel), "kid": mmd(x - SHIFT, y - SHIFT, CUBIC)}
    found |= quality(manifold(x), manifold(y))
    values = {name: one.value for name, one in found.items()}
    return values | {f"{name}_error": one.stderr for name, one in found.items()}


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_rounding_is_far_below_the_errors_of_the_measures(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(0), features(1, shift)
    kernel = gaussian(median_distance(x), x.mean(0))
    single = measures(x, y, kernel)
    monkeypatch.setattr(kernels, "FEW_PAIRS", math.inf)
    double = measures(x, y, kernel)
    assert single != double, "the sets are large enough for single precision"
    for name in ("mmd", "kid", "precision", "recall", "density", "coverage"):
        assert abs(single[name] - double[name]) < 0.01 * double[f"{name}_error"]
        assert single[f"{name}_error"] == pytest.approx(double[f"{name}_error"], rel=1e-3)


def test_far_outliers_are_measured_in_double(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(0), features(1)
    y[:3] = 1e6
    y[3] = 1e7
    kernel = gaussian(median_distance(x), x.mean(0))
    found = mmd(x, y, kernel)
    pairs = torch.cat([tile.flatten() for _, columns, tile in distance_tiles(y[:4], y) if columns.start == 0])
    assert pairs.dtype == torch.float64
    monkeypatch.setattr(kernels, "FEW_PAIRS", math.inf)
    assert abs(mmd(x, y, kernel).value - found.value) < 0.001 * found.stderr


@pytest.mark.parametrize("n", [200, N], ids=["double", "single"])
def test_examples_that_are_copied_have_the_distance_zero(n: int) -> None:
    """Ten copies of each of n / 10 examples: all balls are points, and hold the copies alone."""
    some = features(0)[: n // 10]
    x = some.repeat(10, 1)
    exact = quality(manifold(x), manifold(x))
    assert [exact[name].value for name in ("precision", "recall", "coverage")] == [1, 1, 1]
    other = quality(manifold(x), manifold(x + 0.1))
    assert [other[name].value for name in ("precision", "recall", "coverage")] == [0, 0, 0]


def pictures(n: int, seed: int) -> Tensor:
    """Of 784 pixels in [0, 1], most of whose variance lies along 30 directions."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(30, 784, generator=torch.Generator().manual_seed(9))
    waves = torch.randn(n, 30, generator=generator) @ axes
    return torch.sigmoid(waves + 0.3 * torch.randn(n, 784, generator=generator))


@pytest.mark.parametrize("kind", ["grey", "binary", "noise", "copies"])
def test_bounds_find_the_nearest_of_all(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorisation, "MANY_PAIRS", 2**20)
    known, x = pictures(8_000, 0), pictures(300, 1)
    if kind == "binary":
        known, x = known.round(), x.round()
    elif kind == "noise":
        x = torch.rand(300, 784, generator=torch.Generator().manual_seed(2))
    elif kind == "copies":
        known[4000:4100] = known[:100]
        x[:100], x[100:200] = known[:100], known[6000:6100]
    assert len(known) * len(x) >= memorisation.MANY_PAIRS
    found = nearest(x, known)
    index, count = memorisation._of_all(x, known)
    torch.testing.assert_close(found.distance, torch.linalg.vector_norm(x - known[index], dim=1))
    if kind != "grey":
        assert torch.equal(found.count, count)
    assert torch.equal(found.index, index)
    if kind == "copies":
        assert found.count[:200].tolist() == [2] * 100 + [1] * 100
        assert not found.distance[:200].any()
