"""Points of the plane whose density is known exactly (data/densities.py): toy problems on which the behaviour of a model can be
seen.

    moons                  two half circles of radius 1 that reach into each other (as in scikit-learn)
    rings                  three circles of radii 1, 2, 3, in each as many points
    checkerboard           eight dark squares of side 2
    eight_gaussians        on a circle of radius 2
    twenty_five_gaussians  on a grid of spacing 2 (Srivastava et al. 2017)
    swiss_roll             a spiral, (t cos t, t sin t)/5 with t uniform over [3 pi/2, 9 pi/2]
    pinwheel               five twisted arms (Johnson et al. 2016)

The part of the shape to which a point belongs (moon, ring, square, Gaussian, arm) is its class.
"""

import math
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from genlab.config.types import NonNegative
from genlab.data.dataset import RawData
from genlab.data.densities import Checkerboard, Density, Pinwheel, curves, gaussians
from genlab.data.examples import Examples
from genlab.errors import GenlabError
from genlab.numerics.rng import derive

Shape = Literal["moons", "rings", "checkerboard", "eight_gaussians", "twenty_five_gaussians", "swiss_roll", "pinwheel"]
NOISE: dict[Shape, float] = {
    "moons": 0.1,
    "rings": 0.1,
    "checkerboard": 0.0,
    "eight_gaussians": 0.2,
    "twenty_five_gaussians": 0.1,
    "swiss_roll": 0.1,
    "pinwheel": 0.1,
}
PARTS: dict[Shape, int | None] = {
    "moons": 2,
    "rings": 3,
    "checkerboard": 8,
    "eight_gaussians": 8,
    "twenty_five_gaussians": 25,
    "swiss_roll": None,
    "pinwheel": 5,
}


def toy2d(
    *,
    shape: Shape,
    size: Annotated[int, Field(ge=10)],
    noise: NonNegative | None,
    seed: Annotated[int, Field(ge=0)],
) -> RawData:
    """`size` points (size, 2) of a shape with Gaussian noise of standard deviation `noise` (None: what suits the shape)."""
    density = density_of(shape, noise)
    generator = torch.Generator().manual_seed(derive(seed, "toy2d", shape))
    points, part = density.draw(size, generator)
    return RawData("toy2d", Examples(points.float(), part), None, levels=None, num_classes=PARTS[shape], truth=density)


def density_of(shape: Shape, noise: float | None) -> Density:
    """Raises GenlabError where a shape needs noise to have a density and is given none."""
    sigma = NOISE[shape] if noise is None else noise
    if shape == "checkerboard":
        return Checkerboard(sigma)
    if sigma == 0:
        raise GenlabError(f"dataset.noise=0: {shape} without noise has no density; set a number above 0, such as 0.1")
    if shape == "moons":
        return curves([(_upper_moon, math.pi), (_lower_moon, math.pi)], sigma)
    if shape == "rings":
        return curves([(partial(_ring, radius), 2 * math.pi * radius) for radius in (1.0, 2.0, 3.0)], sigma)
    if shape == "eight_gaussians":
        return gaussians(_circle(torch.arange(8) * (math.pi / 4), 2.0), sigma)
    if shape == "twenty_five_gaussians":
        axis = torch.arange(-4.0, 5.0, 2.0)
        return gaussians(torch.cartesian_prod(axis, axis), sigma)
    if shape == "swiss_roll":
        return curves([(_spiral, 0.6 * math.pi * math.hypot(1, 4.5 * math.pi))], sigma)
    return Pinwheel(5, sigma)


def _circle(angle: Tensor, radius: float) -> Tensor:
    return radius * torch.stack([angle.cos(), angle.sin()], -1)


def _ring(radius: float, u: Tensor) -> Tensor:
    return _circle(2 * math.pi * u, radius)


def _upper_moon(u: Tensor) -> Tensor:
    return _circle(math.pi * u, 1.0)


def _lower_moon(u: Tensor) -> Tensor:
    return torch.tensor([1.0, 0.5], dtype=u.dtype) - _circle(math.pi * u, 1.0)


def _spiral(u: Tensor) -> Tensor:
    t = 1.5 * math.pi * (1 + 2 * u)
    return (t / 5).unsqueeze(-1) * _circle(t, 1.0)
