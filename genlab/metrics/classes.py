"""Classes of samples, and the quality of a classification."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.metrics.estimate import Estimate, mean


def histogram(labels: Tensor, classes: int) -> Tensor:
    """Share of each class, float64, shape (classes,)."""
    return torch.bincount(labels.cpu(), minlength=classes).double() / max(1, len(labels))


def entropy(shares: Tensor, n: int) -> Estimate:
    """H = -sum_k p_k log p_k in nats of shares estimated from n examples.

    The standard error is that of the linear terms, sqrt(Var(log p)/n), less what noise adds to this variance, (K - 1)/n; and that
    of the quadratic ones, sqrt((K - 1)/2)/n, which decide where all classes are equally frequent.
    """
    p = shares[shares > 0]
    value = float(-(p * p.log()).sum())
    linear = float((p * p.log().square()).sum()) - value**2 - (len(p) - 1) / n
    quadratic = (len(p) - 1) / (2 * n**2)
    return Estimate(value, math.sqrt(max(0.0, linear) / n + quadratic))


def classes_reached(shares: Tensor, real: Tensor, n: int, fraction: float = 0.1) -> Estimate:
    """Share of the real classes that are generated at no less than `fraction` of their real frequency.

    The standard error adds up the chances p(1 - p) that a class would be on the other side of that line in another sample of n.
    """
    present = real > 0
    line = fraction * real[present]
    reached = shares[present] >= line
    scatter = (line * (1 - line) / n).sqrt()
    z = (shares[present] - line) / scatter.clamp_min(1e-12)
    chance = 0.5 * torch.erfc(-z / math.sqrt(2))
    variance = (chance * (1 - chance)).sum() / int(present.sum()) ** 2
    return Estimate(float(reached.double().mean()), float(variance.sqrt()))


def total_variation(shares: Tensor, real: Tensor, n: int, m: int) -> Estimate:
    """1/2 sum_k |p_k - q_k| between class frequencies estimated from n and from m examples; 0 is best, 1 is worst."""
    difference = shares - real
    sign = difference.sign()
    variance = sum(
        float((p * sign.square()).sum() - (p * sign).sum() ** 2) / size for p, size in ((shares, n), (real, m))
    )
    return Estimate(float(0.5 * difference.abs().sum()), 0.5 * math.sqrt(max(0.0, variance)))


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Number of examples of class i (row) with the prediction j (column), int64, shape (classes, classes)."""
    index = labels.cpu() * classes + predictions.cpu()
    return torch.bincount(index, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class Reliability:
    confidence: Tensor
    """Mean probability of the predicted class in each bin; nan in an empty one."""
    accuracy: Tensor
    """Share of right predictions in each bin."""
    count: Tensor
    """Number of predictions in each bin."""


def reliability(confidence: Tensor, right: Tensor, bins: int = 15) -> Reliability:
    """Predictions in bins of equal width of their probability: (n,), (n,) -> (bins,) each."""
    which = (confidence.double() * bins).long().clamp(0, bins - 1)
    count = torch.bincount(which, minlength=bins).double()
    total = torch.bincount(which, weights=confidence.double(), minlength=bins)
    hits = torch.bincount(which, weights=right.double(), minlength=bins)
    return Reliability(total / count, hits / count, count)


def calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017): mean |confidence - accuracy| over bins, weighted by their counts."""
    found = reliability(confidence, right, bins)
    gap = torch.nan_to_num((found.confidence - found.accuracy).abs())
    return float((gap * found.count).sum() / found.count.sum())


def accuracy_by_class(labels: Tensor, predictions: Tensor, classes: int) -> list[Estimate]:
    """Share of right predictions among the examples of each class; nan for a class without examples."""
    right = (labels == predictions).double()
    return [mean(right[labels == k]) for k in range(classes)]
