"""log(1 + exp(z)) and its relatives against float64, and their derivatives; normal noise."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.numerics.rng import normal_like
from genlab.numerics.softplus import SMALL, bernoulli_log_prob, log_growth, logsigmoid, softplus

Z = torch.cat([torch.linspace(-30, 30, 40_001), torch.tensor([-1e4, -200.0, -90.0, 0.0, 90.0, 200.0, 1e4])])
ROUNDING = 2.0**-23


def exact(z: Tensor) -> Tensor:
    return torch.logaddexp(z.double(), torch.zeros((), dtype=torch.float64))


def test_softplus_is_within_rounding_of_its_value_everywhere() -> None:
    error = (softplus(Z).double() - exact(Z)).abs()
    assert bool((error <= ROUNDING * exact(Z).clamp_min(1)).all())
    assert bool(((logsigmoid(Z).double() + exact(-Z)).abs() <= ROUNDING * exact(-Z).clamp_min(1)).all())


def test_float64_keeps_all_its_digits() -> None:
    z = Z.double()
    assert bool(((softplus(z) - exact(z)).abs() <= 1e-15 * exact(z).clamp_min(1)).all())


def test_softplus_has_the_sigmoid_as_derivative_and_that_has_its_own() -> None:
    z = Z.clone().requires_grad_()
    (first,) = torch.autograd.grad(softplus(z).sum(), z, create_graph=True)
    torch.testing.assert_close(first, Z.sigmoid())
    (second,) = torch.autograd.grad(first.sum(), z)
    torch.testing.assert_close(second, Z.sigmoid() * (1 - Z.sigmoid()), atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 3 * ROUNDING), (torch.float64, 1e-15)])
def test_growth_of_softplus_loses_no_digits(dtype: torch.dtype, rounding: float) -> None:
    p = torch.cat([torch.logspace(-30, 0, 301), 1 - torch.logspace(-7, -0.3, 60)]).to(dtype).unsqueeze(1)
    t = torch.cat([torch.logspace(-12, math.log10(SMALL), 200), torch.zeros(1)]).to(dtype)
    t = torch.cat([t, -t]).clamp(-SMALL, SMALL)
    truth = torch.log1p(p.double() * torch.expm1(t.double()))
    error = (log_growth(p.expand(-1, len(t)), t.expand(len(p), -1)).double() - truth).abs()
    assert bool((error <= rounding * truth.abs() + 1e-8 * t.double().abs()).all())


@pytest.mark.parametrize("grey", [False, True])
def test_bernoulli_log_prob_is_the_cross_entropy_with_its_gradients(grey: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 20 * torch.randn(50, 3, 4, 5, generator=generator)
    x = torch.rand(logits.shape, generator=generator)
    x = x if grey else x.round()
    z, u = logits.clone().requires_grad_(), x.clone().requires_grad_()
    log_p = bernoulli_log_prob(z, u)
    assert log_p.shape == (50,)
    z64, u64 = logits.double().requires_grad_(), x.double().requires_grad_()
    expected = -F.binary_cross_entropy_with_logits(z64, u64, reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(log_p.double(), expected, rtol=1e-6, atol=1e-5)
    weights = torch.rand(50, generator=generator)
    found = torch.autograd.grad((weights * log_p).sum(), (z, u))
    truth = torch.autograd.grad((weights.double() * expected).sum(), (z64, u64))
    for gradient, true in zip(found, truth, strict=True):
        torch.testing.assert_close(gradient.double(), true, rtol=1e-5, atol=1e-6)


def test_what_agrees_with_a_certain_prediction_loses_nothing() -> None:
    logits, x = torch.tensor([[60.0, -60.0]]), torch.tensor([[1.0, 0.0]])
    assert float(bernoulli_log_prob(logits, x)) == 0.0
    assert float(bernoulli_log_prob(logits, 1 - x)) == -120.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_normal_noise_is_normal_and_independent(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    n = 2**20
    drawn = normal_like(torch.empty(4, n // 4, dtype=dtype))
    assert (drawn.shape, drawn.dtype) == ((4, n // 4), dtype)
    z = drawn.double().flatten()
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        # bf16 keeps 8 bits of each draw, and rounding adds 2e-6 to the variance: of no account beside these errors.
        assert abs(float(z.pow(power).mean()) - moment) < 4 * math.sqrt(variance / n)
    edges = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    edges = edges + 1e-3  # not where bf16 rounds to
    expected = 0.5 * (1 + torch.erf(edges / math.sqrt(2)))
    below = (z[:, None] < edges).double().mean(0)
    rounded = 0.003 if dtype == torch.bfloat16 else 0.0
    assert bool(((below - expected).abs() < 4 * (expected * (1 - expected) / n).sqrt() + rounded).all())
    for lag in (1, 2, 3, 4, n // 2):  # four draws share a random number
        assert abs(float((z[lag:] * z[:-lag]).mean())) < 4 / math.sqrt(n - lag)
    assert not torch.equal(drawn, normal_like(drawn))
