"""Errors of examples in clusters: copies of an example tell no more than the example."""

import math

import pytest
import torch
from torch import Tensor

from genlab.lattice.observables import ALLOWED
from genlab.lattice.statistics import jackknife, thermodynamics
from genlab.metrics.clusters import effective_number, groups, variance_of_mean
from genlab.metrics.estimate import Estimate, mean
from genlab.metrics.frechet import fid
from genlab.metrics.kernels import CUBIC, gaussian, mmd
from genlab.metrics.manifolds import manifold, quality

CHAINS, COPIES = 60, 5
CHAIN = torch.arange(CHAINS * COPIES) % CHAINS


def normal(n: int, d: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_copies_add_nothing_to_what_a_mean_knows() -> None:
    x = normal(CHAINS, 1).squeeze(1)
    assert mean(x).stderr == pytest.approx(float(x.std()) / CHAINS**0.5)
    assert mean(x[CHAIN], CHAIN).stderr == pytest.approx(mean(x).stderr)
    assert mean(x, 7 * torch.arange(CHAINS)).stderr == pytest.approx(mean(x).stderr), "numbers are names"
    assert mean(x[CHAIN]).stderr < 0.5 * mean(x).stderr
    assert math.isnan(mean(x, torch.zeros(CHAINS)).stderr)


def test_shares_of_copies() -> None:
    """Half of the chains are right; all of them are; Jeffreys' prior counts each chain once."""
    half = (torch.arange(CHAINS) % 2).double()
    assert mean(half[CHAIN], CHAIN).stderr == pytest.approx(mean(half).stderr, rel=0.02)
    assert mean(torch.ones(len(CHAIN)), CHAIN) == mean(torch.ones(CHAINS))
    classes = torch.nn.functional.one_hot(torch.arange(CHAINS) % 3, 3)
    assert effective_number(classes[CHAIN], CHAIN) == pytest.approx(CHAINS, rel=0.02)
    assert effective_number(classes, None) == CHAINS
    assert effective_number(torch.ones(len(CHAIN), 3), CHAIN) == len(CHAIN)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_copies_change_no_mmd_and_its_error_by_little(shift: float) -> None:
    real, x = normal(200), shift + normal(CHAINS, seed=1)
    for kernel in (CUBIC, gaussian(2.0)):
        once, copied = mmd(real, x, kernel), mmd(real, x[CHAIN], kernel, chain=CHAIN)
        assert copied.value == pytest.approx(once.value, rel=1e-9)
        assert copied.stderr == pytest.approx(once.stderr, rel=0.03)


def test_copies_change_the_error_of_the_frechet_distance_by_little() -> None:
    real, x = normal(200), 1 + normal(CHAINS, seed=1)
    once, copied = fid(real, x), fid(real, x[CHAIN], CHAIN)
    assert copied.stderr == pytest.approx(once.stderr, rel=0.05)
    assert fid(real, x[CHAIN]).stderr < 0.7 * once.stderr
    few = quality(manifold(real), manifold(normal(20)), torch.zeros(20))
    assert all(math.isnan(one.stderr) for one in few.values()), "one chain has no scatter"


def test_copies_change_no_observable_of_a_lattice() -> None:
    s = torch.where(torch.rand(CHAINS, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.6, 1.0, -1.0)
    once = thermodynamics(s, tuple(ALLOWED), 2.0, torch.arange(CHAINS))
    copied = thermodynamics(s[CHAIN], tuple(ALLOWED), 2.0, CHAIN)
    for name, measure in once.items():
        assert copied[name].value == pytest.approx(measure.value), name
        assert copied[name].stderr == pytest.approx(measure.stderr, rel=1e-6), name


def test_the_jackknife_of_a_mean_is_its_error_also_with_unequal_blocks() -> None:
    x = normal(90, 1).squeeze(1)
    sizes = torch.arange(90) % 3 + torch.arange(90) // 30  # of 5 to 30 rows
    for block in (torch.arange(90), torch.arange(90) // 3, sizes):
        found = jackknife(lambda means: means, {"x": x}, block)["x"]
        assert found.stderr == pytest.approx(variance_of_mean(x, block) ** 0.5, rel=0.15)
    assert jackknife(lambda means: means, {"x": x}, None)["x"].stderr == pytest.approx(mean(x).stderr)


def test_groups_hold_whole_clusters() -> None:
    for generator in (None, torch.Generator().manual_seed(0)):
        group = groups(CHAIN, len(CHAIN), 4, generator)
        assert group.bincount().tolist() == [CHAINS // 4 * COPIES] * 4
        assert all(len(group[k == CHAIN].unique()) == 1 for k in range(CHAINS))


def test_errors_at_equal_distributions_are_neither_too_wide_nor_too_narrow() -> None:
    """The quadratic terms count once: an error with the linear terms alone is sqrt 2 too wide there, a bootstrap sqrt 3."""
    found: dict[str, list[Estimate]] = {}
    for k in range(60):
        x, y = normal(150, 8, 2 * k), normal(150, 8, 2 * k + 1)
        for name, one in (("fid", fid(x, y)), ("kid", mmd(x, y, CUBIC))):
            found.setdefault(name, []).append(one)
    for name, estimates in found.items():
        values, errors = torch.tensor(estimates, dtype=torch.float64).T
        assert 0.75 < float(values.std() / errors.square().mean().sqrt()) < 1.25, name  # known to 9 %
