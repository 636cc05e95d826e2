"""log Z of a model of two real components, p(x) = exp(-F(x))/Z: the sum of exp(-F) dA over a grid. The grid is three times as
wide and as high as the data. It is refined until half as many points a side change log Z by less than 0.001, or until it has
2^20 of them. That change is the stated error. The share of Z outside the middle ninth, which holds the data, is stated too:
it is large where an energy is low far from the data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.data.densities import Rectangle, grid_over
from genlab.data.spec import DataSpec
from genlab.models.abilities import HasFreeEnergy
from genlab.models.base import Model

BLOCK = 2**14  # points evaluated at a time
COARSEST, FINEST = 128, 1024  # points a side
CONVERGED = 1e-3  # nats


@dataclass(frozen=True)
class GridZ:
    """log Z by summing over a grid."""

    value: float
    error: float
    """Change from a grid of half as many points a side, in nats."""
    outside: float
    """Share of Z outside the box of the data."""
    side: int
    """Points a side."""


def is_plane(data: DataSpec) -> bool:
    """Whether the data are points of a plane: two real components."""
    return data.shape == (2,) and data.support == "real"


def box_of(data: DataSpec, margin: float) -> Rectangle:
    """The box of the training data with `margin` times its size added at each side."""
    assert is_plane(data)
    mean, std = data.mean.double(), data.std.double()
    reach = 4 * torch.where(std > 0, std, torch.ones_like(std))
    low, high = mean - reach, mean + reach
    low, high = (
        torch.where(std > 0, low.clamp_min(data.low), low),
        torch.where(std > 0, high.clamp_max(data.high), high),
    )
    low, high = low - margin * (high - low), high + margin * (high - low)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))


@torch.no_grad()
def grid_log_z(model: HasFreeEnergy, finest: int = FINEST) -> GridZ:
    """log of the integral of exp(-F(x)) of a model of the plane, from at most `finest` points a side."""
    assert isinstance(model, Model)
    box, inner = box_of(model.data, 1.0), box_of(model.data, 0.0)
    before, side = math.nan, min(COARSEST, finest // 2)
    while True:
        points, area = grid_over(box, side, side)
        log_p = -in_blocks(model.free_energy, points, model.device)
        value = float(log_p.logsumexp(0)) + math.log(area)
        error = abs(value - before)
        if error < CONVERGED or side >= finest:
            within = torch.stack([(points[:, i] > inner[i][0]) & (points[:, i] < inner[i][1]) for i in (0, 1)]).all(0)
            outside = float((log_p[~within] - log_p.logsumexp(0)).exp().sum())
            return GridZ(value, error, outside, side)
        before, side = value, 2 * side


def in_blocks(function: Callable[[Tensor], Tensor], points: Tensor, device: torch.device) -> Tensor:
    """`function` of points (n, 2) in float32 on `device`, a few at a time: float64, on the CPU."""
    return torch.cat([function(part.float().to(device)).cpu().double() for part in points.split(BLOCK)])
