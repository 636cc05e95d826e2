"""Observation models: normalised, with the right moments, and numerically safe where a naive formula is not."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from genlab.errors import GenlabError
from genlab.models.latent.observation import (
    SUPPORTS,
    Bernoulli,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Gaussian,
    Likelihood,
    observation_model,
)
from tests.helpers.support import KINDS, small_data, spec_of

LOGITS = torch.tensor([-30.0, -5.0, -1.0, -0.049, -1e-4, 0.0, 1e-4, 0.049, 0.051, 1.0, 5.0, 30.0], dtype=torch.float64)


def integrate(density: Tensor, x: Tensor) -> Tensor:
    return torch.trapezoid(density, x, dim=0)


def test_bernoulli_probabilities_sum_to_one() -> None:
    out = torch.randn(1, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)), dtype=torch.float64)
    log_p = Bernoulli().log_prob(out.expand(16, 4), states)
    assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_continuous_bernoulli_integrates_to_one_with_the_mean_it_states() -> None:
    model, x = ContinuousBernoulli(), torch.linspace(0, 1, 200_001, dtype=torch.float64)
    for logit in LOGITS:
        out = logit.expand(len(x), 1)
        density = model.log_prob(out, x[:, None]).exp()
        assert integrate(density, x).item() == pytest.approx(1.0, abs=1e-6)
        assert integrate(density * x, x).item() == pytest.approx(model.mean(out[:1]).item(), abs=1e-6)


def test_continuous_bernoulli_constant_is_smooth_where_series_and_closed_form_meet() -> None:
    logits = torch.tensor([0.05 - 1e-9, 0.05 + 1e-9], dtype=torch.float64, requires_grad=True)
    values = ContinuousBernoulli.log_constant(logits)
    (slopes,) = torch.autograd.grad(values.sum(), logits)
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-9)
    assert slopes[0].item() == pytest.approx(slopes[1].item(), abs=1e-7)
    zero = torch.zeros(1, requires_grad=True)
    (slope,) = torch.autograd.grad(ContinuousBernoulli.log_constant(zero).sum(), zero)
    assert slope.item() == 0.0


def test_discretized_logistic_probabilities_sum_to_one_even_where_they_underflow() -> None:
    for levels in (2, 17, 256):
        model = DiscretizedLogistic(levels).double()
        x = torch.arange(levels, dtype=torch.float64)[:, None] / (levels - 1)
        for m, log_s in itertools.product([-0.5, 0.0, 0.3, 1.0, 1.7], [-7.0, -4.0, -1.0, 1.0]):
            out = torch.tensor([[m, log_s]], dtype=torch.float64).expand(levels, 2)
            log_p = model.log_prob(out, x)
            assert log_p.isfinite().all()
            assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-9)


def test_discretized_logistic_equals_the_difference_of_its_distribution_function() -> None:
    model = DiscretizedLogistic(256).double()
    x = torch.tensor([[3 / 255], [100 / 255], [254 / 255]], dtype=torch.float64)
    out = torch.tensor([[0.4, -2.0]], dtype=torch.float64).expand(3, 2)
    half = 0.5 / 255
    naive = torch.sigmoid((x + half - 0.4) / math.exp(-2)) - torch.sigmoid((x - half - 0.4) / math.exp(-2))
    torch.testing.assert_close(model.log_prob(out, x), naive.log().squeeze(1))


def test_discretized_logistic_mean_is_within_half_a_grey_level() -> None:
    model = DiscretizedLogistic(17).double()
    x = torch.arange(17, dtype=torch.float64)[:, None] / 16
    for m, log_s in itertools.product([-0.2, 0.1, 0.5, 1.1], [-5.0, -2.0, 0.0]):
        out = torch.tensor([[m, log_s]], dtype=torch.float64)
        exact = (model.log_prob(out.expand(17, 2), x).exp()[:, None] * x).sum()
        assert abs(exact.item() - model.mean(out).item()) <= 0.5 / 16


def test_gaussian_density_of_real_data_integrates_to_one_in_the_units_of_the_data() -> None:
    data = spec_of(torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([100.0, 0.01]) + 7)
    model = Gaussian(data)
    scale = data.std.tolist()
    out = torch.tensor([[0.3, -0.2]])
    total = 1.0
    for i in (0, 1):
        # The density factorises: integrate over component i with the other one at its mean, where it is known.
        x = model.mean(out).repeat(40_001, 1)
        x[:, i] += torch.linspace(-12, 12, 40_001) * scale[i]
        density = model.log_prob(out.expand(len(x), 2), x).detach().double().exp()
        other = 1 / (math.sqrt(2 * math.pi) * scale[1 - i] * model.log_sigma.exp().item())
        total = integrate(density, x[:, i].double()).item() / other
        assert total == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic"])
def test_draws_have_the_mean_that_the_model_states(likelihood: Likelihood) -> None:
    data = small_data("binary" if likelihood == "bernoulli" else "grey").spec
    model = observation_model(likelihood, data)
    torch.manual_seed(0)
    row = model.marginal(data)[None] + 0.3 * torch.randn(1, model.outputs * data.shape[0], *data.shape[1:])
    n = 20_000
    with torch.no_grad():
        draws, mean = model.sample(row.expand(n, -1, -1, -1)), model.mean(row)[0]
    if likelihood != "gaussian":
        assert draws.min() >= 0
        assert draws.max() <= 1
    slack = 0.5 / 255 if likelihood == "discretized_logistic" else 0.0
    error = draws.std(0) / n**0.5
    assert ((draws.mean(0) - mean).abs() < 5.5 * error + slack + 1e-6).all()  # 64 pixels: 5.5 sigma is 2e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("likelihood", [*SUPPORTS, "auto"])
def test_a_likelihood_that_is_none_of_these_data_is_refused(likelihood: Likelihood, kind: str) -> None:
    data = small_data(kind).spec
    fits = likelihood == "auto" or data.support in SUPPORTS[likelihood]
    if likelihood == "discretized_logistic" and data.levels is None:
        fits = False
    if fits:
        observation_model(likelihood, data)
    else:
        with pytest.raises(GenlabError, match=rf"model\.likelihood={likelihood}.*set "):
            observation_model(likelihood, data)
