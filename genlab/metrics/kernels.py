"""Maximum mean discrepancy (Gretton et al. 2012), squared and unbiased, between two sets of features.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y). With the cubic kernel (x.y/d + 1)^3 it is the kernel inception distance
(Binkowski et al. 2018); with a Gaussian kernel, whose width is the median distance between real examples, it separates any
two distributions. It is unbiased, so that it scatters around 0 where the two are equal.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.metrics.clusters import Chain, covariance_of_means, effective_number, groups, members, numbered
from genlab.metrics.estimate import Estimate

BLOCK_ELEMENTS = 2**19  # larger blocks leave the cache: their passes then take twice as long
FEW_PAIRS = 2**22
"""All pairs of up to so many are in double precision. Of more, products and functions of them are in single precision and only
sums in double, at half the time: a rounding error of 1e-6 is far below any error of finite samples."""
MANY_DIMENSIONS = 16  # in fewer ones neighbours are so close that rounding may matter
LARGEST = 100.0  # of the numbers that are multiplied in single precision, in units of their scatter

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


def gaussian(width: float, centre: Tensor | float = 0.0) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / 2 width^2); a width of 0, that of data which are all the same, counts as 1.

    Distances lose fewer digits where the features are measured from a `centre` (d,) among them.
    """
    width = width or 1.0
    return Kernel(
        left=lambda x: -0.5 * left_of_distance((x - centre) / width),
        right=lambda y: right_of_distance((y - centre) / width),
        shape=lambda product: product.clamp_max_(0).exp_(),
    )


def _with(x: Tensor, value: float) -> Tensor:
    return torch.cat([x, x.new_full((len(x), 1), value)], dim=1)


def left_of_distance(x: Tensor) -> Tensor:
    """|x - y|^2 = (x, |x|^2, 1).(-2 y, 1, |y|^2): what would be added to a product afterwards costs more than the product."""
    return _with(torch.cat([x, x.square().sum(1, keepdim=True)], dim=1), 1.0)


def right_of_distance(y: Tensor) -> Tensor:
    """The other factor of `left_of_distance`."""
    return torch.cat([_with(-2 * y, 1.0), y.square().sum(1, keepdim=True)], dim=1)


def _factors(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The factors (n, k) and (k, m) of a product over all pairs, in the precision that fits their number."""
    many = len(left) * len(right) > FEW_PAIRS and left.shape[1] >= MANY_DIMENSIONS
    if many and max(float(left.abs().amax()), float(right.abs().amax())) < LARGEST:
        left, right = left.float(), right.float()
    return left, right.T


def distance_tiles(x: Tensor, y: Tensor, whole_rows: bool = False) -> Iterator[tuple[slice, slice, Tensor]]:
    """|x_i - y_j|^2 for rows i of a slice of x (n, d) and columns j of one of y (m, d), or of all of it, tile after tile.

    All are smaller by the rounding error, and those below it are 0: so equal examples have the distance 0.
    """
    centre = x.mean(0)
    scale = float((x - centre).square().sum(1).mean().sqrt()) or 1.0
    left, right = _factors(left_of_distance((x - centre) / scale), right_of_distance((y - centre) / scale))
    for squares in (left[:, -2], right[-1]):
        squares.mul_(1 - 16 * torch.finfo(right.dtype).eps)
    for rows, columns in stripes(len(x), len(y)) if whole_rows else tiles([len(x)], [len(y)]):
        yield rows, columns, (left[rows] @ right[:, columns]).clamp_min_(0).mul_(scale**2)


def tiles(*sizes: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Squares of pairs of two sets that stay in the cache. Each set is given by the sizes of its parts: no tile crosses these."""
    sides = []
    for parts in sizes:
        ends = list(itertools.accumulate(parts, initial=0))
        cuts = [range(start, end, math.isqrt(BLOCK_ELEMENTS)) for start, end in itertools.pairwise(ends)]
        sides.append([slice(*pair) for pair in itertools.pairwise([*itertools.chain.from_iterable(cuts), ends[-1]])])
    return itertools.product(*sides)


def stripes(n: int, m: int) -> Iterator[tuple[slice, slice]]:
    """A few of n examples with all of m others: twice the size of a tile, for a product of few rows is slow."""
    height = max(1, 2 * BLOCK_ELEMENTS // m)
    for start in range(0, n, height):
        yield slice(start, min(n, start + height)), slice(0, m)


def median_distance(x: Tensor, most: int = 2000) -> float:
    """Median distance between two different ones of the first `most` examples (n, d), n > 1."""
    few = x[:most].double()
    distances = few.new_empty(len(few), len(few))
    for rows, columns, tile in distance_tiles(few, few):
        distances[rows, columns] = tile
    upper = torch.ones_like(distances, dtype=torch.bool).triu_(1)
    return float(distances[upper].median().sqrt())


class RowMeans(NamedTuple):
    """Means of a kernel over the examples of another set, for each example: (n,)."""

    whole: Tensor
    first: Tensor
    """Over the examples of the first half of that set."""
    second: Tensor
    degenerate: float
    """Mean of the square of k less its means over either argument, of which the quadratic terms of MMD^2 consist."""


class Halves:
    """An order of n examples in which the first half (clusters.groups) comes before the second, and the way back from it."""

    def __init__(self, chain: Chain, x: Tensor) -> None:
        group = groups(chain, len(x), 2)
        self.order = group.argsort(stable=True).to(x.device)
        self.back = self.order.argsort()
        self.sizes = int((group == 0).sum()), int((group == 1).sum())
        self.members = members(group, 2, x)[self.order]
        """As zeros and ones, in this order: (n, 2)."""

    def of(self, part: slice) -> int:
        """The half in which a part of the examples lies."""
        return int(part.start >= self.sizes[0])


def within(x: Tensor, kernel: Kernel, chain: Chain = None) -> RowMeans:
    """Mean of k(x_i, x_j) over all j that are not in the cluster of i, for each i of x (n, d)."""
    halves = Halves(chain, x)
    x, half, number = x[halves.order], halves.members, numbered(chain, len(x)).to(x.device)[halves.order]
    squares, sums, counts = 0.0, torch.zeros_like(half), half.sum(0) - number.bincount()[number][:, None] * half
    left, right = _factors(kernel.left(x), kernel.right(x))
    for rows, columns in tiles(halves.sizes, halves.sizes):
        if columns.start > rows.start:
            continue  # k is symmetric: every pair is looked at once
        block = kernel.shape(left[rows] @ right[:, columns])
        if columns == rows:
            block.masked_fill_(number[rows, None] == number[columns], 0)
            squares += _sum_of_squares(block)
        else:
            if chain is not None:
                block.masked_fill_(number[rows, None] == number[columns], 0)
            sums[columns, halves.of(rows)] += _sums_of_rows(block.T)
            squares += 2 * _sum_of_squares(block)
        sums[rows, halves.of(columns)] += _sums_of_rows(block)
    sums, counts = sums[halves.back], counts[halves.back]
    whole, (first, second) = sums.sum(1) / counts.sum(1), (sums / counts).unbind(1)
    degenerate = squares / float(counts.sum()) - 2 * float(whole.square().mean()) + float(whole.mean()) ** 2
    return RowMeans(whole, first, second, degenerate)


def _sums_of_rows(block: Tensor) -> Tensor:
    """A product with a vector goes at the rate of the memory, whichever way the block lies there."""
    return block.mv(block.new_ones(block.shape[1]))


def _sum_of_squares(block: Tensor) -> float:
    flat = block.flatten()
    return float(flat @ flat)


def between(x: Tensor, y: Tensor, kernel: Kernel, chain: Chain = None) -> tuple[RowMeans, RowMeans]:
    """Mean of k(x_i, y_j) over j for each i, and over i for each j, of x (n, d) and y (m, d) in clusters, block after block."""
    of_x, of_y = Halves(None, x), Halves(chain, y)
    squares, rows, columns = 0.0, torch.zeros_like(of_x.members), torch.zeros_like(of_y.members)
    left, right = _factors(kernel.left(x[of_x.order]), kernel.right(y[of_y.order]))
    for these, those in tiles(of_x.sizes, of_y.sizes):
        block = kernel.shape(left[these] @ right[:, those])
        rows[these, of_y.of(those)] += _sums_of_rows(block)
        columns[those, of_x.of(these)] += _sums_of_rows(block.T)
        squares += _sum_of_squares(block)
    rows, columns = rows[of_x.back], columns[of_y.back]
    by_x, by_y = rows.sum(1) / len(y), columns.sum(1) / len(x)
    of_rows = float(by_x.square().mean() + by_y.square().mean() - by_x.mean().square())
    degenerate = squares / (len(x) * len(y)) - of_rows
    first_x, second_x = (rows / of_y.members.sum(0)).unbind(1)
    first_y, second_y = (columns / of_x.members.sum(0)).unbind(1)
    return RowMeans(by_x, first_x, second_x, degenerate), RowMeans(by_y, first_y, second_y, degenerate)


def mmd(
    real: Tensor, generated: Tensor, kernel: Kernel, real_within: RowMeans | None = None, chain: Chain = None
) -> Estimate:
    """MMD^2 of features (n, d) and (m, d), n, m >= 4; `real_within` may hold within(real, kernel) for use with several sets.

    `chain` (m,) has the clusters of the generated ones. Pairs of one cluster do not count, which keeps the statistic unbiased.
    The variance is that of the linear terms, free of noise by two halves of the other examples (clusters.py), and that of the
    quadratic ones, which decide where the two distributions are equal. There it is too wide by a tenth (in one dimension by a
    third), and never too narrow.
    """
    x, y = real.double(), generated.double()
    xx = within(x, kernel) if real_within is None else real_within
    yy = within(y, kernel, chain)
    xy, yx = between(x, y, kernel, chain)
    value = xx.whole.mean() + yy.whole.mean() - 2 * xy.whole.mean()
    linear = covariance_of_means(xx.first - xy.first, xx.second - xy.second)
    linear += covariance_of_means(yy.first - yx.first, yy.second - yx.second, chain)
    if math.isnan(linear):  # all of one cluster
        return Estimate(float(value), math.nan)
    n, m = len(x), effective_number((yy.whole - yx.whole)[:, None], chain)
    quadratic = xx.degenerate / (n * (n - 1)) + yy.degenerate / (m * max(1, m - 1)) + 2 * xy.degenerate / (n * m)
    return Estimate(float(value), math.sqrt(4 * max(0.0, linear) + 2 * max(0.0, quadratic)))
