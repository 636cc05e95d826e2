"""Did the model learn the distribution, or the training set? Nearest neighbours among training and test examples.

Training and test examples are exchangeable for a model that has memorised nothing. So the nearest of all of them is a
training example with probability N_train/(N_train + N_test), whatever the quality of the samples; a model that returns
training examples, or examples close to them, exceeds that share.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.metrics.clusters import Chain
from genlab.metrics.estimate import Estimate, mean
from genlab.metrics.kernels import distance_tiles


@dataclass(frozen=True)
class Nearest:
    distance: Tensor
    """Euclidean distance to the nearest neighbour, shape (n,)."""
    index: Tensor
    """Which one it is, int64, shape (n,); the first of several."""
    count: Tensor
    """Number of examples at that distance, which for binary data may be several, int64, shape (n,)."""


def nearest(x: Tensor, others: Tensor) -> Nearest:
    """Nearest of `others` (m, ...) to each of x (n, ...), in the space of the data itself."""
    flat, known = x.flatten(1).float(), others.flatten(1).float()
    best = torch.full((len(flat),), float("inf"), device=x.device)
    index = torch.zeros(len(flat), dtype=torch.int64, device=x.device)
    count = torch.zeros_like(index)
    for rows, columns, distances in distance_tiles(flat, known):
        value = distances.amin(1).clamp_min_(0)
        close = (value <= best[rows]).nonzero().flatten()  # few, but for the first columns: what follows is slow
        distances, value, rows = distances[close].clamp_min_(0), value[close], close + rows.start
        better, alike = value < best[rows], (distances == value[:, None]).sum(1)
        count[rows] = torch.where(better, alike, count[rows] + alike)
        index[rows] = torch.where(better, distances.argmin(1) + columns.start, index[rows])
        best[rows] = value
    # |x|^2 + |y|^2 - 2 x.y loses digits where two points are close: the winners are measured again, without it.
    exact = torch.cat(
        [
            torch.linalg.vector_norm(a - known[i], dim=1)
            for a, i in zip(flat.split(1024), index.split(1024), strict=True)
        ]
    )
    return Nearest(exact, index, count)


@dataclass(frozen=True)
class Memorisation:
    nearest_is_train: Estimate
    """Share of generated examples whose nearest neighbour is a training example; its error is that of another split as well."""
    expected: float
    """That share for a model that has memorised nothing, N_train/(N_train + N_test)."""
    train_distance: Estimate
    """Mean distance to the nearest training example."""
    test_distance: Estimate
    """Mean distance to the nearest test example. The error is that of the samples: a small test split adds its own."""
    copies: Estimate
    """Share of generated examples that lie a hundred times nearer to a training example than to any test example."""


def memorisation(train: Nearest, test: Nearest, n_train: int, n_test: int, chain: Chain = None) -> Memorisation:
    """From the nearest neighbours of the same generated examples, in clusters `chain`, in both splits.

    A tie is broken by drawing one of the equals.
    """
    expected = n_train / (n_train + n_test)
    closer = (train.distance < test.distance).double()
    drawn = train.count / (train.count + test.count)
    closer = torch.where(train.distance == test.distance, drawn.double(), closer)
    share = mean(closer, chain)
    error = max(share.stderr, _error_of_the_split(closer, train.index, test.index, n_train, n_test))
    copies = (train.distance < 0.01 * test.distance).double()
    return Memorisation(
        Estimate(share.value, error),
        expected,
        mean(train.distance, chain),
        mean(test.distance, chain),
        mean(copies, chain),
    )


def _error_of_the_split(closer: Tensor, in_train: Tensor, in_test: Tensor, n_train: int, n_test: int) -> float:
    """Standard error of A/(A + B), where the training examples attract A samples in all and the test examples B.

    Samples with the same neighbour are no independent ones. So the error is that of two sums over the known examples, of the
    numbers c of samples that each attracts: with A + B = n, variance (B^2 N_train var c_train + A^2 N_test var c_test)/n^4.
    """
    n = len(closer)
    attracted = (
        torch.zeros(n_train, dtype=torch.float64).index_add_(0, in_train.cpu(), closer.cpu()),
        torch.zeros(n_test, dtype=torch.float64).index_add_(0, in_test.cpu(), 1 - closer.cpu()),
    )
    if min(n_train, n_test) < 2:
        return 0.0
    a, b = attracted
    variance = (b.sum().square() * n_train * a.var() + a.sum().square() * n_test * b.var()) / n**4
    return float(variance.sqrt())
