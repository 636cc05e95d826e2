"""Mean and leading principal axes of a stream of examples, in one pass over them.

With y = x - s for a fixed shift s near the mean (so that no digits cancel), sums of 1, y and y y^T over n examples give

    m = s + <y>,    S = <y y^T> - <y><y>^T    (the maximum-likelihood covariance, divided by n).

`ExactMoments` keeps all D^2 second moments. Grey levels and binary data are whole numbers in the unit of one level. Products of
few of them have no rounding error in single precision, which takes half the time: so only their sums are in double precision.
`SketchedMoments` keeps D l of them, the products with a fixed random test matrix
Omega (D, l): S Omega = <y (y^T Omega)> - <y> (<y>^T Omega), from which the Nystroem approximation

    S ~ (S Omega) (Omega^T S Omega)^-1 (S Omega)^T

follows. A small shift of the spectrum makes it stable (Halko, Martinsson & Tropp 2011; Tropp et al. 2017, algorithm 3). The
approximation never exceeds S, so its variances are a little too small. The total variance is exact.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

BLOCKS = 4  # along each side of the matrix of second moments
WHOLE = 0.999 * 2**24  # up to which whole numbers have no rounding error in single precision
MOST_LEVELS = 2**9  # so that sums over dozens of examples stay below it


@dataclass(frozen=True)
class PrincipalAxes:
    """The leading principal axes, in float64."""

    mean: Tensor
    """(D,)"""
    vectors: Tensor
    """Orthonormal rows (q, D), in the order of variance; the largest entry of each is positive."""
    variances: Tensor
    """Variances of the examples along the axes, (q,)."""
    total: Tensor
    """Variance summed over all components, scalar."""


class Moments(nn.Module, ABC):
    """Running sums as buffers, which are part of the state dict. In float64, or float32 on mps, which has no float64."""

    shift: Tensor
    count: Tensor
    first: Tensor
    squares: Tensor
    """Summed over components, too."""
    unit = 1.0

    def __init__(self, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("shift", shift.flatten().double())
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("first", torch.zeros_like(self.shift))
        self.register_buffer("squares", torch.zeros((), dtype=torch.float64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Moments":
        to_mps = fn(torch.zeros(0)).device.type == "mps"
        return super()._apply((lambda t: fn(t.float())) if to_mps else fn, recurse)  # type: ignore[no-any-return]

    @final
    @torch.no_grad()
    def add(self, x: Tensor) -> None:
        """Add examples (n, ...) to the sums."""
        self.count += len(x)
        for y in self.shifted(x.flatten(1)):
            self.first.add_(y.sum(0), alpha=self.unit)
            self.add_products(y)

    def shifted(self, x: Tensor) -> Sequence[Tensor]:
        """y of examples x (n, D), in units of `unit`; in parts that are summed in turns."""
        return [x - self.shift]  # float64, in one pass

    @final
    @torch.no_grad()
    def variance(self) -> Tensor:
        """Variance of the examples so far, summed over components; scalar."""
        return self.squares / self.count - (self.first / self.count).square().sum()

    @final
    @torch.no_grad()
    def leading(self, q: int) -> PrincipalAxes:
        """The first q principal axes of the examples so far, of which there must be at least one."""
        n, mean = exact(self.count), exact(self.first) / exact(self.count)
        vectors, variances = self.spectrum(q, n, mean)
        largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
        total = exact(self.squares) / n - mean.square().sum()
        return PrincipalAxes(exact(self.shift) + mean, vectors * largest.sign(), variances.clamp_min(0), total)

    @abstractmethod
    def add_products(self, y: Tensor) -> None:
        """Add the products of the shifted examples y (n, D) to `squares` and to the second moments."""

    @abstractmethod
    def spectrum(self, q: int, n: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """Axes (q, D) and variances (q,), largest first, from sums over n examples of the mean <y> (D,)."""


class ExactMoments(Moments):
    """O(D^2) memory, about D^2 operations an example, and one eigenvalue problem of size D."""

    second: Tensor

    def __init__(self, shift: Tensor, levels: int | None = None) -> None:
        """`levels` is the number of values v/(levels - 1) that a component takes; None where it takes others."""
        self.steps = levels - 1 if levels is not None and levels <= MOST_LEVELS else 0
        if self.steps:
            shift, self.unit = (shift.double() * self.steps).round() / self.steps, 1 / self.steps
        super().__init__(shift)
        self.register_buffer("second", torch.zeros(len(self.shift), len(self.shift), dtype=torch.float64))

    def shifted(self, x: Tensor) -> Sequence[Tensor]:
        if not self.steps:
            return super().shifted(x)
        return _without_rounding((x.float() * self.steps).round_().sub_((self.shift * self.steps).float()))

    def add_products(self, y: Tensor) -> None:
        """Rows up to the block on the diagonal: the matrix is symmetric, and half of it costs less."""
        size = -(-y.shape[1] // BLOCKS)
        with torch.autocast(y.device.type, enabled=False):
            for i, (columns, rows) in enumerate(zip(y.split(size, 1), self.second.split(size, 0), strict=True)):
                end = (i + 1) * size
                if self.steps:
                    rows[:, :end].add_(columns.T @ y[:, :end], alpha=self.unit**2)
                else:
                    rows[:, :end].addmm_(columns.T, y[:, :end])
        self.squares.copy_(self.second.diagonal().sum())

    def spectrum(self, q: int, n: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        lower = exact(self.second).tril()
        second = lower + lower.tril(-1).T
        variances, vectors = torch.linalg.eigh(second / n - torch.outer(mean, mean))
        return vectors[:, -q:].flip(1).T.contiguous(), variances[-q:].flip(0)


def _without_rounding(y: Tensor) -> list[Tensor]:
    """Whole numbers y (n, D) in parts: no sum over one of them, of y or of products, goes beyond the largest sum of y^2."""
    if len(y) == 1 or float(y.square().sum(0).max()) <= WHOLE:
        return [y]
    return [part for half in y.tensor_split(2) for part in _without_rounding(half)]


class SketchedMoments(Moments):
    """O(D l) memory, 4 D l operations an example, and problems of size l only."""

    omega: Tensor
    sketch: Tensor

    def __init__(self, shift: Tensor, columns: int) -> None:
        super().__init__(shift)
        omega, _ = torch.linalg.qr(torch.randn(len(self.shift), columns, dtype=torch.float64))
        self.register_buffer("omega", omega)
        self.register_buffer("sketch", torch.zeros_like(omega))

    def add_products(self, y: Tensor) -> None:
        flat = y.flatten()
        self.squares += flat @ flat
        self.sketch += y.T @ (y @ self.omega)

    def spectrum(self, q: int, n: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        omega = exact(self.omega)
        y = exact(self.sketch) / n - torch.outer(mean, mean @ omega)
        step = (len(y) * torch.finfo(y.dtype).eps * y.norm()).clamp_min(1e-280)
        y = y + step * omega
        core = omega.T @ y
        lower = torch.linalg.cholesky((core + core.T) / 2)
        vectors, roots, _ = torch.linalg.svd(
            torch.linalg.solve_triangular(lower, y.T, upper=False).T, full_matrices=False
        )
        return vectors[:, :q].T.contiguous(), roots[:q].square() - step


def exact(t: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none."""
    return t.cpu().double() if t.device.type == "mps" else t.double()
