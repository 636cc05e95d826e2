"""Errors of examples that come in clusters: all samples that go on from one Markov chain are a cluster, and correlated.

With the clusters c = 1..C of n examples, the mean of x has the variance (Cochran 1977, chapter 9)

    C/(C - 1) sum_c (sum_(i in c) (x_i - mean))^2 / n^2,

s^2/n where every example is a cluster of its own. Clusters are independent of each other, whatever happens within them; for a
single one the variance is unknown. `chain` (n,) is the number of the chain of each example, None for independent examples.

A statistic of the second order, such as a squared distance of means, is a linear part and a quadratic one, with the variances
v_1 and v_2. The scatter of its linear terms v estimates v_1 + 2 v_2, for the terms contain the noise of the means in them (Efron
& Stein 1981). The terms by two halves of the other examples, v' and v'', have no noise in common: their covariance is v_1. So
the variance v_1 + v_2 is half the sum of both.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Chain = Tensor | None


def numbered(chain: Chain, n: int) -> Tensor:
    """Numbers 0..C-1 of the clusters of n examples, int64, (n,)."""
    if chain is None:
        return torch.arange(n)
    assert len(chain) == n, "each example comes from one chain"
    numbers: Tensor = chain.cpu().unique(return_inverse=True)[1]
    return numbers


def totals(values: Tensor, chain: Chain) -> tuple[Tensor, Tensor]:
    """Sums of `values` (n, ...) over each cluster, float64 (C, ...), and the numbers of examples in them, (C,)."""
    values = values.double()
    if chain is None:
        return values, values.new_ones(len(values))
    number = numbered(chain, len(values)).to(values.device)
    sizes = number.bincount().double()
    return values.new_zeros(len(sizes), *values.shape[1:]).index_add_(0, number, values), sizes


def covariance_of_means(a: Tensor, b: Tensor, chain: Chain = None) -> float:
    """Of the means of a and b (n,), two numbers of the same examples; nan for a single cluster."""
    sums, sizes = totals(torch.stack([a, b], 1), chain)
    clusters, n = len(sizes), len(a)
    if clusters < 2:
        return math.nan
    scatter = sums - sizes[:, None] * (sums.sum(0) / n)
    return clusters / (clusters - 1) * float(scatter.prod(1).sum()) / n**2


def variance_of_mean(values: Tensor, chain: Chain = None) -> float:
    return covariance_of_means(values, values, chain)


def effective_number(shares: Tensor, chain: Chain) -> float:
    """Number of independent examples whose mean of `shares` (n, k) scatters as much, in all k together (Rao & Scott 1981).

    n where nothing scatters, and no more than n.
    """
    n = len(shares)
    if chain is None:
        return n
    independent = sum(variance_of_mean(column) for column in shares.T)
    clustered = sum(variance_of_mean(column, chain) for column in shares.T)
    if math.isnan(clustered):
        return 1
    return min(n, n * independent / clustered) if independent > 0 and clustered > 0 else n


def groups(chain: Chain, n: int, number: int, generator: torch.Generator | None = None) -> Tensor:
    """The group, 0..number-1, of each of n examples, (n,): whole clusters, drawn at random or, without a generator, in turns."""
    cluster = numbered(chain, n)
    count = int(cluster.max()) + 1
    order = torch.arange(count) if generator is None else torch.randperm(count, generator=generator)
    return (order % number)[cluster]


def members(group: Tensor, number: int, like: Tensor) -> Tensor:
    """`group` (n,) as zeros and ones, of the type and on the device of `like`: (n, number)."""
    return torch.eye(number, dtype=like.dtype, device=like.device)[group.to(like.device)]


def errors_by_parts(
    measure: Callable[..., Sequence[float]], parts: int, *sets: tuple[int, Chain], splits: int = 4
) -> list[float]:
    """Standard errors of measures for which no mean over examples gives the error, such as those of nearest neighbours.

    Each of `sets`, a number of examples and their clusters, is split at random into parts of whole clusters, `splits` times.
    `measure` takes of each set which examples (n,) are in a part. The scatter of the parts is that of the whole set but for a
    factor sqrt(parts), since n times the variance of such measures hardly depends on n.
    """
    assert parts > 1, "one part has no scatter"
    generator, variances = torch.Generator().manual_seed(0), []
    for _ in range(splits):
        group = [groups(chain, n, parts, generator) for n, chain in sets]
        each = [list(measure(*(of == part for of in group))) for part in range(parts)]
        variances.append(torch.tensor(each, dtype=torch.float64).var(0) / parts)
    errors: list[float] = torch.stack(variances).mean(0).sqrt().tolist()
    return errors


class LinearTerms:
    """Linear terms (n,) of the examples of one set, by all other examples and by two halves of them."""

    def __init__(self, whole: Tensor, first: Tensor, second: Tensor, chain: Chain = None) -> None:
        self.scatter = variance_of_mean(whole, chain)
        self.common = covariance_of_means(first, second, chain)


def second_order_error(*sets: LinearTerms) -> float:
    """Standard error of a statistic of the second order, from the linear terms of each set that it compares."""
    scatter, common = sum(one.scatter for one in sets), sum(one.common for one in sets)
    return math.sqrt((scatter + max(0.0, common)) / 2)
