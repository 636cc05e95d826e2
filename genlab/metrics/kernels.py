"""Maximum mean discrepancy (Gretton et al. 2012), squared and unbiased, between two sets of features.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y). With the cubic kernel (x.y/d + 1)^3 it is the kernel inception distance
(Binkowski et al. 2018); with a Gaussian kernel, whose width is the median distance between real examples, it tells any two
distributions apart. Being unbiased, it scatters around 0 where the two are equal.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from genlab.metrics.measure import Measure

Kernel = Callable[[Tensor, Tensor], Tensor]

BLOCK_ELEMENTS = 2**19  # larger blocks leave the cache: their passes then take twice as long


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) = (x.y/d + 1)^3 for all pairs, shape (len(x), len(y))."""
    base = torch.addmm(x.new_ones(1, 1), x, y.T, alpha=1 / x.shape[1])
    return base.square().mul_(base)


def gaussian(width: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / 2 width^2)."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return squared_distances(x, y).mul_(-0.5 / width**2).exp_()

    return kernel


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 = (x_i, |x_i|^2, 1).(-2 y_j, 1, |y_j|^2), shape (len(x), len(y)), never negative.

    One product of matrices: what is added to it afterwards would cost more than the product itself.
    """
    left = torch.cat([x, x.square().sum(1, keepdim=True), x.new_ones(len(x), 1)], dim=1)
    right = torch.cat([-2 * y, y.new_ones(len(y), 1), y.square().sum(1, keepdim=True)], dim=1)
    return (left @ right.T).clamp_min_(0)


def median_distance(x: Tensor, most: int = 2000) -> float:
    """Median distance between two of the first `most` examples; 1 where all are equal."""
    few = x[:most].double()
    distances = torch.nn.functional.pdist(few) if len(few) > 1 else few.new_zeros(1)
    return float(distances.median()) or 1.0


def row_sums(x: Tensor, y: Tensor, kernel: Kernel) -> tuple[Tensor, Tensor]:
    """sum_j k(x_i, y_j) for each i, and sum_i k(x_i, y_j) for each j, in blocks of bounded memory."""
    rows, columns = x.new_zeros(len(x)), y.new_zeros(len(y))
    for start, part in _blocks(x, len(y)):
        block = kernel(part, y)
        rows[start : start + len(part)] = block.sum(1)
        columns += block.sum(0)
    return rows, columns


def _blocks(x: Tensor, width: int) -> Iterator[tuple[int, Tensor]]:
    size = max(1, BLOCK_ELEMENTS // max(1, width))
    for start in range(0, len(x), size):
        yield start, x[start : start + size]


def within(x: Tensor, kernel: Kernel) -> Tensor:
    """Mean of k(x_i, x_j) over j != i, for each i: shape (n,)."""
    rows, _ = row_sums(x, x, kernel)
    own = torch.cat([kernel(part, part).diagonal() for part in x.split(512)])
    return (rows - own) / (len(x) - 1)


def mmd(real: Tensor, generated: Tensor, kernel: Kernel, real_within: Tensor | None = None) -> Measure:
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
    return Measure(float(value), float(variance.sqrt()))
