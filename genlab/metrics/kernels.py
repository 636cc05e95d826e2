"""Maximum mean discrepancy (Gretton et al. 2012), squared and unbiased, between two sets of features.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y). With the cubic kernel (x.y/d + 1)^3 it is the kernel inception distance
(Binkowski et al. 2018); with a Gaussian kernel, whose width is the median distance between real examples, it separates any
two distributions. It is unbiased, so that it scatters around 0 where the two are equal.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.metrics.estimate import Estimate

BLOCK_ELEMENTS = 2**19  # larger blocks leave the cache: their passes then take twice as long

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Kernel:
    """k(x, y) = shape(left(x).right(y)) for all pairs: one product of matrices and one function of its elements."""

    left: Map
    right: Map
    shape: Map
    """May write into its argument."""


CUBIC = Kernel(
    left=lambda x: _with(x / x.shape[1], 1.0),
    right=lambda y: _with(y, 1.0),
    shape=lambda product: product.square().mul_(product),
)
"""k(x, y) = (x.y/d + 1)^3."""


def gaussian(width: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / 2 width^2); a width of 0, that of data which are all the same, counts as 1."""
    width = width or 1.0
    return Kernel(lambda x: -0.5 / width**2 * _left(x), _right, lambda product: product.clamp_max_(0).exp_())


# |x - y|^2 = (x, |x|^2, 1).(-2 y, 1, |y|^2): what would be added to a product afterwards costs more than the product.


def _with(x: Tensor, value: float) -> Tensor:
    return torch.cat([x, x.new_full((len(x), 1), value)], dim=1)


def _left(x: Tensor) -> Tensor:
    return _with(torch.cat([x, x.square().sum(1, keepdim=True)], dim=1), 1.0)


def _right(y: Tensor) -> Tensor:
    return torch.cat([_with(-2 * y, 1.0), y.square().sum(1, keepdim=True)], dim=1)


def distance_blocks(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """|x_i - y_j|^2 >= 0 for rows i of a slice of x (n, d) and all of y (m, d), slice after slice."""
    left, right = _left(x), _right(y).T
    for rows in block_rows(len(x), len(y)):
        yield rows, (left[rows] @ right).clamp_min_(0)


def block_rows(n: int, width: int) -> Iterator[slice]:
    """Slices of n rows such that a block of `width` columns stays in the cache."""
    size = max(1, BLOCK_ELEMENTS // max(1, width))
    for start in range(0, n, size):
        yield slice(start, start + size)


def median_distance(x: Tensor, most: int = 2000) -> float:
    """Median distance between two different ones of the first `most` examples (n, d), n > 1."""
    few = x[:most].double()
    distances = torch.cat([block for _, block in distance_blocks(few, few)])
    upper = torch.ones_like(distances, dtype=torch.bool).triu_(1)
    return float(distances[upper].median().sqrt())


def row_sums(x: Tensor, y: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """sum_j k(x_i, y_j) for each i, and sum_i k(x_i, y_j) for each j, in blocks of bounded memory."""
    rows, columns = x.new_zeros(len(x)), y.new_zeros(len(y))
    left, right = kernel.left(x), kernel.right(y).T
    for part in block_rows(len(x), len(y)):
        block = kernel.shape(left[part] @ right)
        rows[part] = block.sum(1)
        columns += block.sum(0)
    return rows, columns


def within(x: Tensor, kernel: Kernel) -> Tensor:
    """Mean of k(x_i, x_j) over j != i, for each i: shape (n,)."""
    rows, _ = row_sums(x, x, kernel)
    own = kernel.shape((kernel.left(x) * kernel.right(x)).sum(1))
    return (rows - own) / (len(x) - 1)


def mmd(real: Tensor, generated: Tensor, kernel: Kernel, real_within: Tensor | None = None) -> Estimate:
    """MMD^2 of features (n, d) and (m, d), n, m >= 2; `real_within` may hold within(real, kernel) for use with several sets.

    The standard error is that of the linear terms of the statistic, with the scatter of the means in them left in: near
    MMD = 0, where the quadratic terms decide, this overestimates it by up to sqrt(2) and never falls short.
    """
    x, y = real.double(), generated.double()
    xx = within(x, kernel) if real_within is None else real_within
    yy = within(y, kernel)
    xy_rows, xy_columns = row_sums(x, y, kernel)
    xy, yx = xy_rows / len(y), xy_columns / len(x)
    value = xx.mean() + yy.mean() - 2 * xy.mean()
    variance = 4 * (xx - xy).var() / len(x) + 4 * (yy - yx).var() / len(y)
    return Estimate(float(value), float(variance.sqrt()))
