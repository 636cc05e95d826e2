"""What a map x -> h keeps of the data: neighbours and classes.

Trustworthiness (Venna & Kaski 2001): are the k nearest neighbours U_i of h_i also near x_i? With r(i, j) the rank of x_j by
its distance from x_i, 1 for the nearest,

    T = 1 - 2/(n k (2n - 3k - 1)) sum_i sum_(j in U_i) max(0, r(i, j) - k),

1 where all neighbours of the codes are neighbours of the data, about 1/2 for codes drawn at random.
"""

import math
import warnings

import torch
from torch import Tensor

from genlab.metrics.clusters import errors_by_parts
from genlab.metrics.estimate import Estimate, mean

PARTS = 4


def ranks_of_distances(x: Tensor) -> Tensor:
    """Rank (from 1) of every other one by its distance from each of x (n, ...): int64 (n, n), 0 on the diagonal."""
    flat = x.flatten(1).double()
    distances = torch.cdist(flat, flat).fill_diagonal_(-1.0)
    order = distances.argsort(dim=1, stable=True)
    places = torch.arange(len(x)).expand(len(x), -1)
    return torch.empty_like(order).scatter_(1, order, places)


def trustworthiness(ranks: Tensor, codes: Tensor, k: int = 5) -> Estimate:
    """T of `codes` (n, q), n > 2k, of examples with ranks_of_distances `ranks`.

    Ranks and neighbours depend on all examples: the error is from parts of them (clusters.py), nan where these are too small.
    """
    n = len(codes)
    assert n > 2 * k, "ranks beyond k must exist"
    parts, error = min(PARTS, n // (2 * k + 1)), math.nan
    if parts > 1:

        def of_part(chosen: Tensor) -> list[float]:
            return [_trustworthiness(ranks[chosen][:, chosen].argsort(1).argsort(1), codes[chosen], k)]

        (error,) = errors_by_parts(of_part, parts, (n, None))
    return Estimate(_trustworthiness(ranks, codes, k), error)


def _trustworthiness(ranks: Tensor, codes: Tensor, k: int) -> float:
    n = len(codes)
    distances = torch.cdist(codes.double(), codes.double()).fill_diagonal_(torch.inf)
    neighbours = distances.topk(k, largest=False).indices
    excess = (ranks.gather(1, neighbours) - k).clamp_min(0).sum(1).double()
    return float(1 - 2 * excess.mean() / (k * (2 * n - 3 * k - 1)))


def nearest_neighbours_accuracy(train: Tensor, y: Tensor, test: Tensor, labels: Tensor, k: int = 5) -> Estimate:
    """Share of `test` (m, q) whose k nearest among `train` (n, q), n >= k, vote for the right class (of equals the first)."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(k, algorithm="brute").fit(train.double().numpy(), y.numpy())
    return mean(torch.from_numpy(model.predict(test.double().numpy())) == labels)


def linear_accuracy(train: Tensor, y: Tensor, test: Tensor, labels: Tensor) -> Estimate:
    """Share of `test` (m, q) that a logistic regression on `train` (n, q), components in units of their scatter, gets right."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scale = train.double().std(0)
    scale = torch.where(scale > 1e-9 * scale.max(), scale, torch.ones_like(scale))  # what never moves stays small
    centre = train.double().mean(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last hundredth of the loss moves no decision
        model = LogisticRegression(max_iter=100, tol=1e-3).fit(((train - centre) / scale).numpy(), y.numpy())
    predicted = torch.from_numpy(model.predict(((test - centre) / scale).numpy()))
    return mean(predicted == labels)


def principal_components(train: Tensor, test: Tensor, q: int) -> tuple[Tensor, Tensor]:
    """Coordinates of train (n, D) and test (m, D) along the q leading principal axes of train; all of them where q exceeds D."""
    centre = train.double().mean(0)
    centred = train.double() - centre
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    axes = vectors[:, -min(q, train.shape[1]) :].flip(1)
    return centred @ axes, (test.double() - centre) @ axes
