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

    Noise in the shares of K classes lowers it by (K - 1)/2n on average, which is added (Miller 1955). K counts the classes that
    occur, so that what is said holds where each class would occur ten times and more. The value may exceed log K by noise.
    The standard error is that of the linear terms, sqrt(Var(log p)/n), less what noise adds to this variance, (K - 1)/n; and that
    of the quadratic ones, sqrt((K - 1)/2)/n, which decide where all classes are equally frequent.
    """
    p = shares[shares > 0]
    value = float(-(p * p.log()).sum())
    linear = float((p * p.log().square()).sum()) - value**2 - (len(p) - 1) / n
    quadratic = (len(p) - 1) / (2 * n**2)
    return Estimate(value + (len(p) - 1) / (2 * n), math.sqrt(max(0.0, linear) / n + quadratic))


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
    """1/2 sum_k |p_k - q_k| between class frequencies estimated from n and from m examples; 0 is best, 1 is worst.

    Biased: noise in the frequencies makes it positive where both are equal. See `squared_distance`.
    """
    difference = shares - real
    sign = difference.sign()
    variance = sum(
        float((p * sign.square()).sum() - (p * sign).sum() ** 2) / size for p, size in ((shares, n), (real, m))
    )
    return Estimate(float(0.5 * difference.abs().sum()), 0.5 * math.sqrt(max(0.0, variance)))


def squared_distance(shares: Tensor, real: Tensor, n: int, m: int) -> Estimate:
    """sum_k (p_k - q_k)^2 between class frequencies estimated from n and from m examples, n, m >= 2; unbiased, so that it
    scatters around 0 where both are equal.

    The standard error is that of a Gaussian difference d of the covariance S: 4 d.S d + 2 tr S^2. With the noise in d left in, it
    is up to 1.7 times too wide near 0 and never falls short there.
    """
    difference = shares - real
    covariance = (shares.diag() - shares.outer(shares)) / (n - 1) + (real.diag() - real.outer(real)) / (m - 1)
    value = difference.square().sum() - covariance.trace()
    variance = 4 * difference @ covariance @ difference + 2 * covariance.square().sum()
    return Estimate(float(value), math.sqrt(max(0.0, float(variance))))


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
    """Expected calibration error (Guo et al. 2017): mean |confidence - accuracy| over bins, weighted by their counts.

    Biased: noise in the accuracies makes it positive for a calibrated classifier (`calibration_floor`).
    """
    found = reliability(confidence, right, bins)
    gap = torch.nan_to_num((found.confidence - found.accuracy).abs())
    return float((gap * found.count).sum() / found.count.sum())


def calibration_floor(confidence: Tensor, bins: int = 15, draws: int = 100, seed: int = 0) -> Estimate:
    """The calibration error of a perfectly calibrated classifier with these probabilities: its mean, and its scatter.

    Whether it is right is drawn with the probability that it states (Broecker & Smith 2007).
    """
    generator = torch.Generator().manual_seed(seed)
    p = confidence.cpu().double()
    found = [calibration_error(p, torch.rand(len(p), generator=generator) < p, bins) for _ in range(draws)]
    values = torch.tensor(found, dtype=torch.float64)
    return Estimate(float(values.mean()), float(values.std()))


def squared_calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> Estimate:
    """sum_b w_b (confidence - accuracy)^2 over bins b of shares w_b; unbiased, so that it scatters around 0 where the classifier
    is calibrated (Kumar et al. 2019). Bins of one example count nothing.

    With d = confidence - right, of the variance v among the n examples of a bin, the square of their mean has the expectation
    (E d)^2 + v/n, and the variance 4 (E d)^2 v/n + 2 v^2/n(n - 1). In the second term v is no less than p (1 - p): a bin without
    any error is not known to have none.
    """
    p, d = confidence.double(), confidence.double() - right.double()
    which = (p * bins).long().clamp(0, bins - 1)
    count, total, squares, least = (
        torch.bincount(which, weights=weights, minlength=bins).double()
        for weights in (torch.ones_like(p), d, d.square(), p * (1 - p))
    )
    n, total, squares, least = (one[count > 1] for one in (count, total, squares, least))
    v = (squares - total.square() / n) / (n - 1)
    gaps, w = (total / n).square() - v / n, n / n.sum()
    noise = 2 * torch.maximum(v, least / n).square() / (n * (n - 1))
    variance = (w.square() * (4 * gaps.clamp_min(0) * v / n + noise)).sum()
    return Estimate(float((w * gaps).sum()), float(variance.sqrt()))


def accuracy_by_class(labels: Tensor, predictions: Tensor, classes: int) -> list[Estimate]:
    """Share of right predictions among the examples of each class; nan for a class without examples."""
    right = (labels == predictions).double()
    return [mean(right[labels == k]) for k in range(classes)]
