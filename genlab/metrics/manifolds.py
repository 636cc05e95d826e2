"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of generated features.

Around each real example lies a ball that reaches to its k-th nearest real neighbour, and the same among the generated ones:

    precision   share of generated examples in the ball of any real one: are samples realistic?
    recall      share of real examples in the ball of any generated one: is all of the data generated?
    density     mean number of real balls around a generated example, over k: precision that one outlier cannot feign
    coverage    share of real balls with a generated example inside: recall that one outlier cannot feign

For two sets of n from one distribution the expected density is 1 and the expected coverage 1 - prod_{i<k} (n-1-i)/(2n-1-i),
which is 1 - 2^-k for large n.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.metrics.clusters import Chain, errors_by_parts, numbered
from genlab.metrics.estimate import Estimate
from genlab.metrics.kernels import distance_tiles

PARTS = 4
GROUP = 16  # columns that are compared at once


class Manifold(NamedTuple):
    points: Tensor
    """Features, float64, shape (n, d)."""
    squared_radii: Tensor
    """Squared distance to the k-th nearest neighbour among the others, shape (n,)."""
    k: int


def manifold(points: Tensor, k: int = 5) -> Manifold:
    """Balls around `points` (n, d), n > k."""
    x = points.double()
    # The point itself is among its neighbours at distance 0, so k + 1 are asked for.
    found = [_smallest(distances, k + 1).amax(1) for _, _, distances in distance_tiles(x, x, whole_rows=True)]
    return Manifold(x, torch.cat(found).double(), k)


def _smallest(values: Tensor, k: int) -> Tensor:
    """The k <= m smallest values of each row (n, m), in no order: (n, k).

    They lie in the k groups of columns with the smallest minima, and these are found at the rate of the memory.
    """
    m = values.shape[1]
    if (size := m // GROUP) > k:
        parts = values[:, : size * GROUP].unflatten(1, (GROUP, size))
        groups = parts.amin(1).topk(k, dim=1, largest=False, sorted=False).indices
        inside = parts.gather(2, groups[:, None].expand(-1, GROUP, -1)).flatten(1)
        values = torch.cat([inside, values[:, size * GROUP :]], 1)
    return values.topk(k, dim=1, largest=False, sorted=False).values


def quality(real: Manifold, generated: Manifold, chain: Chain = None) -> dict[str, Estimate]:
    """precision, recall, density, coverage of generated features, with standard errors from the finite number of both sets.

    `chain` (m,) has the clusters of the generated ones. The parts from which the errors are found (clusters.py) have balls of
    their own; where they are too small, the errors are nan.
    """
    found = _shares(real, generated)
    x, y, k = real.points, generated.points, real.k
    clusters = int(numbered(chain, len(y)).max()) + 1
    parts, errors = min(PARTS, len(x) // (k + 2), len(y) // (k + 2), clusters), [math.nan] * len(found)
    if parts > 1:

        def of_part(in_x: Tensor, in_y: Tensor) -> Sequence[float]:
            return list(_shares(manifold(x[in_x], k), manifold(y[in_y], k)).values())

        errors = errors_by_parts(of_part, parts, (len(x), None), (len(y), chain))
    return {name: Estimate(value, error) for (name, value), error in zip(found.items(), errors, strict=True)}


def _shares(real: Manifold, generated: Manifold) -> dict[str, float]:
    x, y = real.points, generated.points
    real_balls, least, in_generated = x.new_zeros(len(y)), x.new_full((len(x),), math.inf), x.new_zeros(len(x)).bool()
    for rows, columns, distances in distance_tiles(x, y):
        of_real, of_generated = (
            radii.to(distances.dtype) for radii in (real.squared_radii[rows], generated.squared_radii[columns])
        )
        real_balls[columns] += (distances <= of_real[:, None]).sum(0)
        least[rows] = least[rows].minimum(distances.amin(1))
        in_generated[rows] |= (distances - of_generated).amin(1) <= 0
    return {
        "precision": float((real_balls > 0).double().mean()),
        "recall": float(in_generated.double().mean()),
        "density": float(real_balls.mean()) / real.k,
        "coverage": float((least <= real.squared_radii).double().mean()),
    }
