"""Scalings are affine and invertible, and dequantised densities integrate to probabilities."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from genlab.data.spec import DataSpec
from genlab.models.scaling import Scaling
from tests.helpers.support import spec_of


def real_data() -> tuple[Tensor, DataSpec]:
    x = torch.tensor([0.5, 2.0, 40.0]) * torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) + 7
    return x, replace(spec_of(x), mean=x.mean(0), std=x.std(0, correction=0))


def grey_levels(levels: int) -> tuple[Tensor, DataSpec]:
    x = torch.randint(levels, (200, 1, 2, 2), generator=torch.Generator().manual_seed(0)) / (levels - 1)
    return x, replace(spec_of(x), support="unit", levels=levels)


@pytest.mark.parametrize("make", [Scaling.of, Scaling.standard])
def test_real_data_are_seen_in_standard_deviations_from_their_mean(make: type[Scaling]) -> None:
    x, data = real_data()
    scaling = make(data)  # type: ignore[call-arg]
    u = scaling.inner(x)
    torch.testing.assert_close(u.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(u.std(0, correction=0), torch.ones(3), atol=1e-2, rtol=0)
    torch.testing.assert_close(scaling.restore(u), x)


def test_data_between_0_and_1_are_seen_as_they_are_or_between_minus_1_and_1() -> None:
    x, data = grey_levels(5)
    assert Scaling.standard(data).inner(x) is x
    assert Scaling.standard(data).outer(x) is x
    assert Scaling.standard(data).shift_and_scale == (torch.zeros(()), torch.ones(()))
    assert Scaling.standard(data).log_volume == 0
    u = Scaling.of(data).inner(x)
    assert (u.min().item(), u.max().item()) == (-1, 1)
    assert Scaling.of(data).restore(u + 1).max() == 1, "what is restored lies in the support"
    assert Scaling.of(data).outer(u + 1).max() == 1.5


def test_continuous_data_keep_their_place_and_take_the_volume_of_their_units() -> None:
    x, data = real_data()
    u, log_volume = Scaling.of(data).dequantised(x)
    scaling = Scaling.of(data)
    assert torch.equal(u, scaling.inner(x))
    standard = Normal(torch.zeros(3), torch.ones(3))
    expected = Normal(scaling.shift, scaling.scale).log_prob(x).sum(1)
    torch.testing.assert_close(standard.log_prob(u).sum(1) + log_volume, expected)


@pytest.mark.parametrize("make", [Scaling.of, Scaling.standard])
@pytest.mark.parametrize("levels", [2, 5, 256])
def test_dequantised_levels_fill_their_cells_evenly_and_their_probabilities_sum_to_one(
    make: type[Scaling], levels: int
) -> None:
    _, data = grey_levels(levels)
    scaling = make(data)  # type: ignore[call-arg]
    values = (torch.arange(levels) / (levels - 1)).expand(4000, levels).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    torch.manual_seed(0)
    u, log_volume = scaling.dequantised(values)
    cell = math.exp(log_volume / data.dim)
    offset = (u - scaling.inner(values)) / cell
    assert offset.abs().max() <= 0.5 + 1e-4 * levels
    assert abs(offset.mean()) < 0.01
    assert abs(offset.var() - 1 / 12) < 0.002
    # A uniform density over all cells gives each level the probability 1/levels.
    width = levels * cell
    low, high = scaling.inner(torch.zeros(())) - cell / 2, scaling.inner(torch.ones(())) + cell / 2
    assert high - low == pytest.approx(width, rel=1e-5)
    assert -data.dim * math.log(width) + log_volume == pytest.approx(-data.dim * math.log(levels))


def test_dequantisation_is_that_of_cells_between_neighbouring_levels() -> None:
    x, data = grey_levels(17)
    torch.manual_seed(3)
    u, log_volume = Scaling.of(data).dequantised(x)
    torch.manual_seed(3)
    cell = 2 / 16
    assert torch.equal(u, Scaling.of(data).inner(x) + cell * (torch.rand_like(x) - 0.5))
    assert log_volume == data.dim * math.log(cell)
