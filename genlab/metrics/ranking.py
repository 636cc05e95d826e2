"""How well a score tells two sets of examples apart, whatever threshold is put on it: the ROC curve and the area under it.

Of scores x_1..x_n of what is to be found (the anomalous) and y_1..y_m of the rest (the normal),

    AUROC = (1/nm) sum_ij psi(x_i, y_j),    psi = 1 if x > y, 1/2 if x = y, 0 if x < y,

is the probability that the score of one is above that of the other (Mann & Whitney 1947): 1/2 says nothing, 1 separates.
Its variance is that of a two-sample U statistic (DeLong, DeLong & Clarke-Pearson 1988): with the components
V_i = (1/m) sum_j psi(x_i, y_j) and W_j = (1/n) sum_i psi(x_i, y_j) it is var(V)/n + var(W)/m. Both follow from ranks, in
O((n + m) log(n + m)) (Sun & Xu 2014).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from genlab.metrics.estimate import Estimate


def midranks(x: Tensor) -> Tensor:
    """Ranks 1..n of x (n,), equal values sharing the mean of theirs: float64, shape (n,)."""
    _, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    ranks: Tensor = last - 0.5 * (counts - 1).double()
    return ranks[inverse]


def auroc(positive: Tensor, negative: Tensor) -> Estimate:
    """Area under the ROC curve of scores (n,) and (m,), n, m >= 2, with DeLong's standard error.

    That error is 0 where every pair is in the right order (or every one in the wrong): then it is that of a share of min(n, m)
    with half a success and half a failure added, since no finite sets prove that two distributions do not overlap.
    """
    x, y = positive.double(), negative.double()
    n, m = len(x), len(y)
    ranks = midranks(torch.cat([x, y]))
    above = (ranks[:n] - midranks(x)) / m  # V: share of the negatives below each positive
    below = 1 - (ranks[n:] - midranks(y)) / n  # W: share of the positives above each negative
    value = float(above.mean())
    if value in (0.0, 1.0):
        few = min(n, m)
        p = 0.5 / (few + 1)
        return Estimate(value, math.sqrt(p * (1 - p) / (few + 1)))
    return Estimate(value, math.sqrt(float(above.var()) / n + float(below.var()) / m))


def interval(area: Estimate, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of an AUROC, symmetric in its logit so that it stays within [0, 1]."""
    z = NormalDist().inv_cdf(0.5 + level / 2)
    value, stderr = area
    if value in (0.0, 1.0):
        return max(0.0, value - z * stderr), min(1.0, value + z * stderr)
    logit, spread = math.log(value / (1 - value)), z * stderr / (value * (1 - value))
    low, high = (0.5 * (1 + math.tanh(0.5 * (logit + sign * spread))) for sign in (-1, 1))
    return low, high


@dataclass(frozen=True)
class Curve:
    """A point for every threshold at which something changes, the strictest first; all float64, of equal length."""

    false_positive_rate: Tensor
    """Share of the negatives whose score reaches the threshold, from 0 to 1."""
    true_positive_rate: Tensor
    """Share of the positives whose score reaches it, from 0 to 1."""
    precision: Tensor
    """Share of positives among all that reach it; 1 where nothing does."""


def roc(positive: Tensor, negative: Tensor) -> Curve:
    """ROC and precision-recall curve of scores (n,) and (m,): what is at or above the threshold counts as found."""
    values, inverse = torch.unique(torch.cat([positive.double(), negative.double()]), return_inverse=True)
    n, m, bins = len(positive), len(negative), len(values)
    found = torch.bincount(inverse[:n], minlength=bins).flip(0).cumsum(0).double()
    false = torch.bincount(inverse[n:], minlength=bins).flip(0).cumsum(0).double()
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    return Curve(torch.cat([zero, false / m]), torch.cat([zero, found / n]), torch.cat([one, found / (found + false)]))


def average_precision(curve: Curve) -> float:
    """sum_k (R_k - R_(k-1)) P_k over the thresholds; that of a score which says nothing is the share of positives."""
    return float((curve.true_positive_rate.diff() * curve.precision[1:]).sum())


def false_positives_at(curve: Curve, recall: float = 0.95) -> float:
    """Least share of the negatives that must be taken for positives so that the share `recall` of these is found."""
    return float(curve.false_positive_rate[int((curve.true_positive_rate >= recall).nonzero()[0])])
