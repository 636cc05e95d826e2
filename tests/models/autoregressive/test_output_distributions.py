"""Distributions of one component: they add up to one, also far from the data, and are sampled as they are."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.autoregressive.output_distributions import (
    Bernoulli,
    Categorical,
    GaussianMixture,
    LogisticMixture,
    OutputDistribution,
    output_distribution,
)
from genlab.models.scaling import Scaling

RARE = 1e-4


def parameters(distribution: OutputDistribution, n: int, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return spread * torch.randn(n, distribution.outputs, generator=generator, dtype=torch.float64)


def grid(levels: int) -> Tensor:
    """All levels on the inner scale."""
    return 2 * torch.arange(levels, dtype=torch.float64) / (levels - 1) - 1


@pytest.mark.parametrize("levels", [2, 3, 256])
@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0])
@pytest.mark.parametrize("kind", ["categorical", "logistic"])
def test_levels_add_up_to_one(kind: str, levels: int, spread: float) -> None:
    distribution = Categorical(levels) if kind == "categorical" else LogisticMixture(4, levels)
    given = parameters(distribution, 20, spread)
    log_p = distribution.log_prob(given.unsqueeze(2).expand(-1, -1, levels), grid(levels).expand(20, -1))
    assert log_p.isfinite().all()
    assert float(log_p.logsumexp(1).abs().max()) < 1e-10


def test_grey_levels_far_from_a_logistic_keep_their_digits_in_single_precision() -> None:
    """At 60 scales from the mean p = e^-60 (1 - e^(-2/255 s)) to rounding, where a difference of two sigmoids is 0."""
    s = 0.02
    given = torch.tensor([[0.0, 60 * s - 1, math.log(s)]])
    log_p = LogisticMixture(1, 256).log_prob(given[..., None], torch.tensor([[1 / 255 * 2 - 1]]))
    distance = (60 * s - 2 / 255) / s
    expected = -distance + 1 / 255 / s + math.log(-math.expm1(-2 / 255 / s))
    assert float(log_p) == pytest.approx(expected, rel=1e-5)


def test_a_gaussian_mixture_integrates_to_one() -> None:
    distribution = GaussianMixture(3)
    given = parameters(distribution, 5, 0.5)
    u = torch.linspace(-20, 20, 400_001, dtype=torch.float64)
    p = distribution.log_prob(given.unsqueeze(2).expand(-1, -1, len(u)), u.expand(5, -1)).exp()
    assert float((torch.trapezoid(p, u) - 1).abs().max()) < 1e-9


@pytest.mark.parametrize("distribution", [Bernoulli(), Categorical(5), LogisticMixture(3, 5)])
def test_draws_have_their_probabilities(distribution: OutputDistribution) -> None:
    torch.manual_seed(0)
    given = parameters(distribution, 1, 0.7)
    values = torch.tensor([-1.0, 1.0]).double() if isinstance(distribution, Bernoulli) else grid(5)
    p = distribution.log_prob(given.expand(len(values), -1).unsqueeze(2), values[:, None])[:, 0].exp()
    drawn = distribution.sample(given.expand(20_000, -1))
    counts = torch.stack([(drawn - value).abs().lt(1e-9).sum() for value in values]).double()
    assert float(counts.sum()) == 20_000
    chi_square = ((counts - 20_000 * p).square() / (20_000 * p)).sum()
    assert float(torch.special.gammaincc(torch.tensor((len(p) - 1) / 2).double(), chi_square / 2)) > RARE


@pytest.mark.parametrize("distribution", [Bernoulli(), Categorical(5), GaussianMixture(3)])
def test_means_are_those_of_draws(distribution: OutputDistribution) -> None:
    torch.manual_seed(0)
    given = parameters(distribution, 1, 0.7)
    drawn = distribution.sample(given.expand(20_000, -1))
    assert float((drawn.mean() - distribution.mean(given)) / (drawn.std() / 20_000**0.5)) == pytest.approx(0, abs=4)


def test_draws_of_a_gaussian_mixture_follow_its_distribution_function() -> None:
    """Kolmogorov and Smirnov's distance of 20,000 draws; 2.23/sqrt(n) is exceeded once in 10,000."""
    torch.manual_seed(0)
    distribution = GaussianMixture(3)
    given = parameters(distribution, 1, 0.8)
    drawn = distribution.sample(given.expand(20_000, -1)).sort().values
    log_pi, m, log_s = distribution.split(given)
    cdf = (log_pi.exp()[..., None] * torch.special.ndtr((drawn - m[..., None]) / log_s[..., None].exp())).sum(1)[0]
    assert float((cdf - (torch.arange(20_000) + 0.5) / 20_000).abs().max()) < 2.23 / 20_000**0.5


@pytest.mark.parametrize(
    ("support", "levels"), [("binary", None), ("unit", 256), ("unit", 4), ("unit", None), ("real", None)]
)
def test_training_starts_near_the_moments_of_the_data(support: Any, levels: int | None) -> None:
    mean, std = torch.tensor([0.2, 0.5]), torch.tensor([0.1, 0.25])
    data = DataSpec("test", (2,), support, levels, None, 0.0, 1.0, mean, std)
    distribution, scaling = output_distribution("auto", 5, data), Scaling.of(data)
    start = distribution.marginal(data, scaling)
    assert start.shape == (distribution.outputs, 2)
    torch.manual_seed(0)
    drawn = torch.stack([distribution.sample(start[:, i].expand(20_000, -1)) for i in range(2)], 1)
    x = scaling.outer(drawn)
    if isinstance(distribution, Categorical):
        return  # of a few levels the uniform distribution
    assert torch.allclose(x.mean(0), mean, atol=0.03)
    if support != "binary":
        assert torch.allclose(x.std(0), std, rtol=0.35)


@pytest.mark.parametrize("likelihood", ["categorical", "logistic_mixture"])
def test_continuous_values_have_no_levels(likelihood: Any) -> None:
    data = DataSpec("test", (2,), "unit", None, None, 0.0, 1.0, torch.zeros(2), torch.ones(2))
    with pytest.raises(
        GenlabError, match=rf"model\.likelihood={likelihood} needs integer grey levels.*gaussian_mixture"
    ):
        output_distribution(likelihood, 3, data)


def test_a_density_of_grey_levels_is_refused() -> None:
    data = DataSpec("test", (2,), "unit", 256, None, 0.0, 1.0, torch.zeros(2), torch.ones(2))
    with pytest.raises(GenlabError, match=r"model\.likelihood=gaussian_mixture is a density.*dequantize=true"):
        output_distribution("gaussian_mixture", 3, data)
