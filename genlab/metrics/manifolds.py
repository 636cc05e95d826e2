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
from genlab.metrics.kernels import distance_blocks

PARTS = 4


class Manifold(NamedTuple):
    points: Tensor
    """Features, float64, shape (n, d)."""
    squared_radii: Tensor
    """Squared distance to the k-th nearest neighbour among the others, shape (n,)."""
    k: int


def manifold(points: Tensor, k: int = 5) -> Manifold:
    """Balls around `points` (n, d), n > k."""
    x = points.double()
    found = []
    for _, distances in distance_blocks(x, x):
        # The point itself is among its neighbours at distance 0, so k + 1 are asked for.
        found.append(distances.topk(k + 1, dim=1, largest=False, sorted=False).values.amax(1))
    return Manifold(x, torch.cat(found), k)


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
    real_balls, in_generated, covered = x.new_zeros(len(y)), [], []
    for block, distances in distance_blocks(x, y):
        in_ball = distances <= real.squared_radii[block, None]
        real_balls += in_ball.sum(0)
        covered.append(in_ball.any(1))
        in_generated.append((distances <= generated.squared_radii).any(1))
    return {
        "precision": float((real_balls > 0).double().mean()),
        "recall": float(torch.cat(in_generated).double().mean()),
        "density": float(real_balls.mean()) / real.k,
        "coverage": float(torch.cat(covered).double().mean()),
    }
