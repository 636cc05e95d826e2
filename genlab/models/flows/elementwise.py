"""Maps of one component each, z_i = g(x_i; numbers_i): what couplings and autoregressive layers are made of.

    affine   z = (x - m) e^-a,  log dz/dx = -a,  with a = A tanh(r/A) from an unconstrained r, so that no sample is infinite
    spline   a rational-quadratic spline with K bins on [-B, B] (splines.py)

The numbers of all components come from a network, (n, count, ...) for components (n, ...). Zeros give the identity.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from genlab.models.flows.splines import inverse_spline, knots_of, numbers_of, spline

Transform = Literal["affine", "spline"]

MOST_LOG_SCALE = 3.0  # A: a layer scales a component by 20 at most


class Elementwise(ABC):
    """An increasing map of each component, with its inverse."""

    count: int
    """Numbers for each component."""

    @abstractmethod
    def forward(self, x: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """z of components x (n, ...), and log dz/dx summed over those of an example, (n,)."""

    @abstractmethod
    def inverse(self, z: Tensor, numbers: Tensor) -> Tensor:
        """x of components z (n, ...)."""


class Affine(Elementwise):
    count = 2

    def forward(self, x: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self.shift_and_log_scale(numbers)
        return (x - shift) * torch.exp(-log_scale), -log_scale.flatten(1).sum(1)

    def inverse(self, z: Tensor, numbers: Tensor) -> Tensor:
        shift, log_scale = self.shift_and_log_scale(numbers)
        return z * torch.exp(log_scale) + shift

    @staticmethod
    def shift_and_log_scale(numbers: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = numbers.unbind(1)
        return shift, MOST_LOG_SCALE * torch.tanh(raw / MOST_LOG_SCALE)


class Spline(Elementwise):
    def __init__(self, bins: int, bound: float) -> None:
        self.count, self.bound = numbers_of(bins), bound

    def forward(self, x: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slope = spline(x, knots_of(numbers, self.bound), self.bound)
        return z, log_slope.flatten(1).sum(1)

    def inverse(self, z: Tensor, numbers: Tensor) -> Tensor:
        return inverse_spline(z, knots_of(numbers, self.bound), self.bound)


def elementwise(transform: Transform, bins: int, bound: float) -> Elementwise:
    return Affine() if transform == "affine" else Spline(bins, bound)
