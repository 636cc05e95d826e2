"""Rational-quadratic splines: knots, slopes, the identity beyond the interval, finite gradients everywhere, and zuko's."""

import pytest
import torch
from torch import Tensor

from genlab.models.flows.splines import Knots, inverse_spline, knots_of, numbers_of, spline

BINS, BOUND = 6, 2.0


def raw(n: int, spread: float = 1.5, dtype: torch.dtype = torch.float64) -> Tensor:
    return spread * torch.randn(n, numbers_of(BINS), 3, generator=torch.Generator().manual_seed(1), dtype=dtype)


def points(n: int, reach: float) -> Tensor:
    return reach * (2 * torch.rand(n, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 1)


def test_a_spline_goes_through_its_knots_with_their_slopes() -> None:
    knots = knots_of(raw(4), BOUND)
    assert torch.equal(knots.x[:, 0], torch.full((4, 3), -BOUND, dtype=torch.float64))
    assert torch.equal(knots.y[:, -1], torch.full((4, 3), BOUND, dtype=torch.float64))
    assert bool((knots.x.diff(dim=1) > 0).all() and (knots.y.diff(dim=1) > 0).all() and (knots.slope > 0).all())
    for k in range(1, BINS):
        y, log_slope = spline(knots.x[:, k], knots, BOUND)
        torch.testing.assert_close(y, knots.y[:, k])
        torch.testing.assert_close(log_slope.exp(), knots.slope[:, k])


def test_it_is_the_identity_beyond_its_interval_and_meets_it_at_the_ends() -> None:
    knots = knots_of(raw(4), BOUND)
    for x in (-7.0, -BOUND, BOUND, 1e6):
        at = torch.full((4, 3), x, dtype=torch.float64)
        y, log_slope = spline(at, knots, BOUND)
        assert torch.equal(y, at)
        assert torch.equal(log_slope, torch.zeros_like(at))
        assert torch.equal(inverse_spline(at, knots, BOUND), at)
    inside = torch.full((4, 3), BOUND - 1e-12, dtype=torch.float64)
    torch.testing.assert_close(spline(inside, knots, BOUND)[0], inside, rtol=0, atol=1e-8)
    torch.testing.assert_close(spline(inside, knots, BOUND)[1], torch.zeros_like(inside), rtol=0, atol=1e-6)


def test_zeros_are_the_identity() -> None:
    x = points(200, 1.3 * BOUND)
    y, log_slope = spline(x, knots_of(torch.zeros(200, numbers_of(BINS), 3, dtype=torch.float64), BOUND), BOUND)
    torch.testing.assert_close(y, x, rtol=0, atol=1e-14)
    torch.testing.assert_close(log_slope, torch.zeros_like(x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("spread", [0.5, 3.0, 30.0])
def test_log_slopes_are_those_by_autograd_and_the_inverse_is_one(spread: float) -> None:
    knots = knots_of(raw(500, spread), BOUND)
    x = points(500, 1.2 * BOUND).requires_grad_()
    y, log_slope = spline(x, knots, BOUND)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(log_slope, slope.log(), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(inverse_spline(y, knots, BOUND), x, rtol=0, atol=1e-8)


def test_the_inverse_is_exact_to_1e_4_in_float32() -> None:
    knots = knots_of(raw(2000, 3.0, torch.float32), BOUND)
    x = points(2000, 1.2 * BOUND).float()
    found = inverse_spline(spline(x, knots, BOUND)[0], knots, BOUND)
    flat = spline(x, knots, BOUND)[1] < -3  # there many x have one y in float32
    assert float((found - x)[~flat].abs().max()) < 1e-4
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("x", [-1e8, -BOUND, -BOUND + 1e-6, 0.0, BOUND, 1e8])
def test_gradients_are_finite_wherever_a_number_lies(x: float) -> None:
    numbers = raw(4, 5.0, torch.float32).requires_grad_()
    at = torch.full((4, 3), x, requires_grad=True)
    y, log_slope = spline(at, knots_of(numbers, BOUND), BOUND)
    (y.sum() + log_slope.sum()).backward()
    back = inverse_spline(at, knots_of(numbers, BOUND), BOUND)
    back.sum().backward()
    assert numbers.grad is not None
    assert at.grad is not None
    assert bool(numbers.grad.isfinite().all() and at.grad.isfinite().all())


def test_the_same_knots_give_the_same_numbers_in_zuko() -> None:
    zuko = pytest.importorskip("zuko")
    parts = [
        torch.randn(300, 3, count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
        for count in (BINS, BINS + 0, BINS - 1)
    ]
    peer = zuko.transforms.MonotonicRQSTransform(*parts, bound=BOUND)
    knots = Knots(*(values.movedim(-1, 1) for values in (peer.horizontal, peer.vertical, peer.derivatives)))
    x = points(300, 1.2 * BOUND)
    y, log_slope = peer.call_and_ladj(x)
    found = spline(x, knots, BOUND)
    torch.testing.assert_close(found[0], y)
    torch.testing.assert_close(found[1], log_slope)
    torch.testing.assert_close(inverse_spline(y, knots, BOUND), peer.inv(y))
