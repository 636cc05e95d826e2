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
from genlab.metrics.kernels import left_of_distance, right_of_distance, tiles

AXES = 64  # along which distances of pictures are bounded
MANY_PAIRS = 2**24  # bounds that are held at a time; for fewer pairs they do not pay


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
    worth_it = flat.shape[1] >= 4 * AXES and len(known) >= AXES and len(flat) * len(known) >= MANY_PAIRS
    index, count = _of_few_candidates(flat, known) if worth_it else _of_all(flat, known)
    # |x|^2 + |y|^2 - 2 x.y loses digits where two points are close: the winners are measured again, without it.
    return Nearest(_squared_distances(flat, known, torch.arange(len(flat)), index).sqrt(), index, count)


def _of_all(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Index and count of the nearest, from one product of all pairs."""
    best = torch.full((len(x),), float("inf"), device=x.device)
    index = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    count = torch.zeros_like(index)
    left, right = left_of_distance(x), right_of_distance(known).T
    for rows, columns in tiles([len(x)], [len(known)]):
        distances = left[rows] @ right[:, columns]
        value = distances.amin(1).clamp_min_(0)
        close = (value <= best[rows]).nonzero().flatten()  # few, but for the first columns: what follows is slow
        distances, value, rows = distances[close].clamp_min_(0), value[close], close + rows.start
        better, alike = value < best[rows], (distances == value[:, None]).sum(1)
        count[rows] = torch.where(better, alike, count[rows] + alike)
        index[rows] = torch.where(better, distances.argmin(1) + columns.start, index[rows])
        best[rows] = value
    return index, count


def _of_few_candidates(x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Index and count of the nearest, from distances that cannot be longer, and then of the few pairs that these leave.

    With p the components along the principal axes and r the length of what these leave, |x - y|^2 >= |p_x - p_y|^2 +
    (r_x - r_y)^2. Where it leaves many pairs, as for noise, all are measured.
    """
    mean = known.mean(0)
    some = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[:2000]] - mean
    axes = torch.linalg.eigh(some.T @ some).eigenvectors[:, -AXES:]

    def shortened(points: Tensor) -> Tensor:
        found = []
        for part in (points - mean for points in points.split(4096)):
            components = part @ axes
            rest = (part.square().sum(1) - components.square().sum(1)).clamp_min_(0).sqrt_()
            found.append(torch.cat([components, rest[:, None]], 1))
        return torch.cat(found)

    left, right = left_of_distance(shortened(x)), right_of_distance(shortened(known)).T
    rounding = 1e-5 * (left[:, -2].amax() + right[-1].amax())
    height = max(1, MANY_PAIRS // len(known))
    indices: list[Tensor] = []
    counts: list[Tensor] = []
    for start in range(0, len(x), height):
        part, bounds = x[start : start + height], left[start : start + height] @ right
        at_most = _squared_distances(part, known, torch.arange(len(part)), bounds.argmin(1))
        i, j = (bounds <= (at_most + rounding)[:, None]).nonzero(as_tuple=True)
        if len(i) > bounds.numel() // 200:
            index, count = _of_all(x[start:], known)
            return torch.cat([*indices, index]), torch.cat([*counts, count])
        distances = _squared_distances(part, known, i, j)
        winner = distances == at_most.scatter_reduce(0, i, distances, "amin")[i]
        first = torch.full((len(part),), len(known), device=x.device)
        indices.append(first.scatter_reduce(0, i[winner], j[winner], "amin"))
        counts.append(i[winner].bincount(minlength=len(part)))
    return torch.cat(indices), torch.cat(counts)


def _squared_distances(x: Tensor, known: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """|x_i - y_j|^2 of pairs (k,), without a product."""
    pairs = zip(i.split(1024), j.split(1024), strict=True)
    return torch.cat([(x[a] - known[b]).square_().sum(1) for a, b in pairs])


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
