"""Densities of the plane that are known exactly, and can be drawn from.

    Blurred      sum_k w_k N(x; c_k, s^2 I)                       Gaussians about points, or about the points of curves
    Checkerboard the dark squares of a board, uniform, convolved with N(0, s^2 I) where s > 0
    Pinwheel     Gaussians about the ends of spokes, twisted about the origin

A curve c(u) with u uniform and Gaussian noise added has p(x) = int_0^1 N(x; c(u), s^2 I) du. Cut into pieces
shorter than s, each with four nodes of Gauss and Legendre, that integral is a sum over nodes with relative errors below 1e-7
(tests compare the ring with its Bessel function). A twist turns each point by an angle that depends on its distance from the
origin alone, so it keeps areas, and the twisted density at x is the plain one at the point from which x came.

The entropy is the sum of -p log p over a grid that is finer than s and covers all of the probability.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

AT_ONCE = 2**21  # numbers in one block of the sums
BEYOND = 7.0  # standard deviations of the noise beyond which p counts as 0
FINEST = 2**21  # points of the grid for the entropy

Rectangle = tuple[tuple[float, float], tuple[float, float]]


class Density(ABC):
    """A density p(x) over the plane. Its noise has the standard deviation `sigma` in both components."""

    discrete = False

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats of points (n, 2): float64, on the CPU, (n,)."""

    @abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """n points, float64, (n, 2), and the part of the shape to which each belongs, int64, (n,), if it has several."""

    @abstractmethod
    def box(self) -> Rectangle:
        """Intervals of both components, beyond which there is no more than 1e-9 of the probability."""

    @cached_property
    def _entropy(self) -> float:
        (left, right), (low, high) = self.box()
        step = self.sigma / 2
        columns, rows = math.ceil((right - left) / step), math.ceil((high - low) / step)
        if columns * rows > FINEST:
            return -float(self.log_prob(self.draw(200_000, torch.Generator().manual_seed(0))[0]).mean())
        lattice, area = grid_over(self.box(), columns, rows)
        log_p = self.log_prob(lattice)
        return -float(torch.special.xlogy(log_p.exp(), log_p.exp()).sum()) * area

    def entropy(self) -> float:
        """-E log p(x) in nats: a sum over a grid, or where that would be too fine, the mean over 200,000 draws (error 0.003)."""
        return self._entropy


def grid_over(box: Rectangle, columns: int, rows: int) -> tuple[Tensor, float]:
    """Midpoints of the cells of a grid, (rows * columns, 2), row by row, float64, and the area of a cell."""
    (left, right), (low, high) = box
    x1 = left + (torch.arange(columns, dtype=torch.float64) + 0.5) * (right - left) / columns
    x2 = low + (torch.arange(rows, dtype=torch.float64) + 0.5) * (high - low) / rows
    second, first = torch.meshgrid(x2, x1, indexing="ij")
    area = (right - left) * (high - low) / (columns * rows)
    return torch.stack([first.flatten(), second.flatten()], 1), area


class Blurred(Density):
    """sum_k w_k N(x; c_k, sigma^2 I) with centres (k, 2) and weights (k,); `place` draws centres anew."""

    def __init__(
        self,
        centres: Tensor,
        weights: Tensor,
        sigma: float,
        place: Callable[[int, torch.Generator], tuple[Tensor, Tensor | None]],
    ) -> None:
        super().__init__(sigma)
        self.centres, self.log_weights, self.place = centres.double(), weights.double().log(), place

    def log_prob(self, x: Tensor) -> Tensor:
        points, centres = x.cpu().double() / self.sigma, self.centres / self.sigma
        constant = self.log_weights - centres.square().sum(1) / 2  # -|x - c|^2/2 = x.c - |c|^2/2 - |x|^2/2
        parts = []
        for few in points.split(max(1, AT_ONCE // len(centres))):
            parts.append(torch.logsumexp(torch.addmm(constant, few, centres.T), 1) - few.square().sum(1) / 2)
        return torch.cat(parts) - math.log(2 * math.pi * self.sigma**2)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        points, part = self.place(n, generator)
        return points + self.sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64), part

    def box(self) -> Rectangle:
        low = (self.centres.amin(0) - BEYOND * self.sigma).tolist()
        high = (self.centres.amax(0) + BEYOND * self.sigma).tolist()
        return (low[0], high[0]), (low[1], high[1])


def gaussians(centres: Tensor, sigma: float) -> Blurred:
    """Equally many points about each of the centres (k, 2)."""
    k = len(centres)

    def place(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        part = torch.randint(k, (n,), generator=generator)
        return centres.double()[part], part

    return Blurred(centres, torch.full((k,), 1 / k), sigma, place)


Curve = tuple[Callable[[Tensor], Tensor], float]
"""c(u) of u in [0, 1], (n,) -> (n, 2), and its greatest speed |dc/du|."""


def curves(parts: list[Curve], sigma: float) -> Blurred:
    """Curves c(u) with u uniform, each with the same number of points."""
    nodes, node_weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(4))
    centres, weights = [], []
    for curve, speed in parts:
        pieces = math.ceil(speed / sigma)
        centres.append(curve(((torch.arange(pieces).unsqueeze(1) + (nodes + 1) / 2) / pieces).flatten()))
        weights.append((node_weights / (2 * pieces * len(parts))).repeat(pieces))

    def place(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        part = torch.randint(len(parts), (n,), generator=generator)
        at = torch.rand(n, generator=generator, dtype=torch.float64)
        points = torch.stack([curve(at) for curve, _ in parts])[part, torch.arange(n)]
        return points, part if len(parts) > 1 else None

    return Blurred(torch.cat(centres), torch.cat(weights), sigma, place)


class Checkerboard(Density):
    """Eight dark squares of side 2 on the board [-4, 4]^2, uniform; sigma may be 0."""

    SIDE = 2.0

    def __init__(self, sigma: float) -> None:
        super().__init__(sigma)
        dark = [(i, j) for j in range(4) for i in range(4) if (i + j) % 2 == 0]
        self.corners = torch.tensor(dark, dtype=torch.float64) * self.SIDE - 4

    def log_prob(self, x: Tensor) -> Tensor:
        offset = x.cpu().double().unsqueeze(1) - self.corners  # (n, 8, 2)
        if self.sigma == 0:
            inside = ((offset >= 0) & (offset < self.SIDE)).all(2).any(1)
            level = torch.full(inside.shape, -math.log(len(self.corners) * self.SIDE**2), dtype=torch.float64)
            return level.masked_fill(~inside, -torch.inf)
        upper, lower = offset / self.sigma, (offset - self.SIDE) / self.sigma
        mass = _log_normal_mass(lower, upper).sum(2)
        return torch.logsumexp(mass, 1) - math.log(len(self.corners) * self.SIDE**2)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        part = torch.randint(len(self.corners), (n,), generator=generator)
        points = self.corners[part] + self.SIDE * torch.rand(n, 2, generator=generator, dtype=torch.float64)
        return points + self.sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64), part

    def box(self) -> Rectangle:
        edge = 4 + BEYOND * self.sigma
        return (-edge, edge), (-edge, edge)

    @cached_property
    def _entropy(self) -> float:
        return math.log(len(self.corners) * self.SIDE**2) if self.sigma == 0 else super()._entropy


def _log_normal_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """log of P(lower < z < upper) for a standard normal z, without loss in the tails."""
    swap = lower > 0  # both in the right tail: the same mass lies in the left one
    a, b = torch.where(swap, -upper, lower), torch.where(swap, -lower, upper)
    top: Tensor = torch.special.log_ndtr(b)
    return top + torch.log1p(-torch.exp(torch.special.log_ndtr(a) - top))


class Pinwheel(Density):
    """`arms` Gaussians about points at distance 2, sigma across and 3 sigma along the spoke, each point turned by e^(r/2)/4."""

    RADIUS = 2.0

    def __init__(self, arms: int, sigma: float) -> None:
        super().__init__(sigma)
        self.arms = arms
        self.spread = torch.tensor([3 * sigma, sigma], dtype=torch.float64)
        self.centre = torch.tensor([self.RADIUS, 0.0], dtype=torch.float64)

    def log_prob(self, x: Tensor) -> Tensor:
        points = x.cpu().double()
        spokes = torch.arange(self.arms) * (2 * math.pi / self.arms)
        plain = _turned(points.unsqueeze(1), -spokes - _twist(points).unsqueeze(1))  # (n, arms, 2)
        squares = ((plain - self.centre) / self.spread).square().sum(2)
        constant = math.log(self.arms * 2 * math.pi) + float(self.spread.log().sum())
        return torch.logsumexp(-squares / 2, 1) - constant

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        part = torch.randint(self.arms, (n,), generator=generator)
        plain = self.centre + self.spread * torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return _turned(plain, part * (2 * math.pi / self.arms) + _twist(plain)), part

    def box(self) -> Rectangle:
        edge = self.RADIUS + 3 * BEYOND * self.sigma
        return (-edge, edge), (-edge, edge)


def _twist(points: Tensor) -> Tensor:
    """The angle by which points (..., 2) are turned."""
    return 0.25 * torch.exp(points.norm(dim=-1) / 2)


def _turned(points: Tensor, angle: Tensor) -> Tensor:
    c, s = torch.cos(angle), torch.sin(angle)
    return torch.stack([c * points[..., 0] - s * points[..., 1], s * points[..., 0] + c * points[..., 1]], -1)
