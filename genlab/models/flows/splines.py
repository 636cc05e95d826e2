"""Monotonic rational-quadratic splines (Gregory & Delbourgo 1982) as maps of one number each (Durkan et al. 2019).

The interval [-B, B] is cut at knots x_0 < ... < x_K, which go to y_0 < ... < y_K with slopes d_0, ..., d_K. With
w = x_(k+1) - x_k, h = y_(k+1) - y_k, s = h/w and xi = (x - x_k)/w in the bin k of x,

    y = y_k + h [s xi^2 + d_k xi (1 - xi)] / [s + (d_k + d_(k+1) - 2 s) xi (1 - xi)],

    dy/dx = s^2 [d_(k+1) xi^2 + 2 s xi (1 - xi) + d_k (1 - xi)^2] / [s + (d_k + d_(k+1) - 2 s) xi (1 - xi)]^2.

The inverse is the root of a quadratic equation. Beyond the interval the map is the identity; both ends are the same points, and
the slope there is 1. x is clipped to the interval before the formula: else the branch that `where` discards has gradients
that are not finite.

K widths and K heights are a softmax each, K - 1 inner slopes a softplus, so 3K - 1 numbers give a spline, and zeros the identity.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.numerics.softplus import softplus

LEAST_BIN = 1e-3  # width and height of a bin, as a share of the interval
LEAST_SLOPE = 1e-3


class Knots(NamedTuple):
    """K + 1 knots along dimension 1: x and y in increasing order from -B to B, and the slopes, each (n, K + 1, ...)."""

    x: Tensor
    y: Tensor
    slope: Tensor


def numbers_of(bins: int) -> int:
    """Numbers that give a spline of so many bins."""
    return 3 * bins - 1


def knots_of(raw: Tensor, bound: float) -> Knots:
    """The knots that unconstrained numbers (n, 3K - 1, ...) give, on the interval [-bound, bound]."""
    bins = (raw.shape[1] + 1) // 3
    shares = raw[:, : 2 * bins].unflatten(1, (2, bins)).softmax(2)
    inner = (LEAST_BIN + (1 - LEAST_BIN * bins) * shares[:, :, :-1]).cumsum(2) * (2 * bound) - bound
    ends = raw.new_full((len(raw), 2, 1, *raw.shape[2:]), bound)
    x, y = torch.cat([-ends, inner, ends], 2).unbind(1)
    zero = math.log(math.expm1(1 - LEAST_SLOPE))  # at which the slope is 1
    slope = LEAST_SLOPE + softplus(raw[:, 2 * bins :] + zero)
    one = raw.new_ones(len(raw), 1, *raw.shape[2:])
    return Knots(x, y, torch.cat([one, slope, one], 1))


class Bin(NamedTuple):
    """The bin of each number: left knot, width and height, slopes at both knots, each of the shape of the numbers."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor


def bin_of(at: Tensor, among: Tensor, knots: Knots) -> Bin:
    """The bins of numbers `at` (n, ...), which lie in [-B, B], among the knots (n, K + 1, ...) of one of the two axes."""
    index = (at.detach().unsqueeze(1) >= among[:, 1:-1].detach()).sum(1, keepdim=True)
    both = torch.cat([index, index + 1], 1)
    x, y, slope = (values.gather(1, both) for values in knots)
    return Bin(x[:, 0], y[:, 0], x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], slope[:, 0], slope[:, 1])


def spline(x: Tensor, knots: Knots, bound: float) -> tuple[Tensor, Tensor]:
    """y and log dy/dx of numbers x (n, ...), each of the same shape."""
    inside = x.abs() < bound
    clipped = x.clamp(-bound, bound)
    b = bin_of(clipped, knots.x, knots)
    xi = (clipped - b.x) / b.width
    rest = 1 - xi
    s, mixed = b.height / b.width, xi * rest
    below = s + (b.left + b.right - 2 * s) * mixed
    y = b.y + b.height * (s * xi.square() + b.left * mixed) / below
    above = b.right * xi.square() + 2 * s * mixed + b.left * rest.square()
    log_slope = 2 * (s.log() - below.log()) + above.log()
    return torch.where(inside, y, x), torch.where(inside, log_slope, torch.zeros_like(x))


def inverse_spline(y: Tensor, knots: Knots, bound: float) -> Tensor:
    """x of numbers y (n, ...).

    With v = y - y_k, xi is the root in [0, 1] of a xi^2 + b xi + c, a = h (s - d_k) + v t, b = h d_k - v t, c = -s v,
    t = d_k + d_(k+1) - 2 s. It is written such that nothing cancels; rounding may leave a discriminant a little below 0.
    """
    inside = y.abs() < bound
    clipped = y.clamp(-bound, bound)
    bin_ = bin_of(clipped, knots.y, knots)
    s, v = bin_.height / bin_.width, clipped - bin_.y
    bent = v * (bin_.left + bin_.right - 2 * s)
    a, b, c = bin_.height * (s - bin_.left) + bent, bin_.height * bin_.left - bent, -s * v
    root = (b.square() - 4 * a * c).clamp_min(0).sqrt()
    xi = 2 * c / (-b - root)
    return torch.where(inside, bin_.x + xi.clamp(0, 1) * bin_.width, y)
