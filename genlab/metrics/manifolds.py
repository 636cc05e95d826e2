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
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.metrics.estimate import Estimate, mean
from genlab.metrics.kernels import distance_blocks

GROUPS = 20


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
        found.append(distances.kthvalue(k + 1, dim=1).values)
    return Manifold(x, torch.cat(found), k)


def quality(real: Manifold, generated: Manifold) -> dict[str, Estimate]:
    """precision, recall, density, coverage of generated features, with standard errors from the finite number of both sets.

    Each is a mean over one of the sets, whose scatter gives one part of the error; the other part, from the balls that the
    other set happens to have, is found by leaving out a twentieth of that set at a time (a delete-group jackknife; the radii of
    the balls that are left stay as they are).
    """
    x, y = real.points, generated.points
    groups_x, groups_y = _groups(len(x), x), _groups(len(y), y)
    # For each example, in how many balls of each group of the other set it lies.
    real_balls = groups_x.new_zeros(len(y), GROUPS)
    generated_in_ball, generated_balls = groups_x.new_zeros(len(x), GROUPS), groups_x.new_zeros(len(x), GROUPS)
    for block, distances in distance_blocks(x, y):
        in_ball = (distances <= real.squared_radii[block, None]).float()
        real_balls += in_ball.T @ groups_x[block]
        generated_in_ball[block] = in_ball @ groups_y
        generated_balls[block] = (distances <= generated.squared_radii).float() @ groups_y
    return {
        "precision": _with_jackknife(real_balls, lambda count, _: (count > 0).double()),
        "recall": _with_jackknife(generated_balls, lambda count, _: (count > 0).double()),
        "density": _with_jackknife(real_balls, lambda count, left: count / (real.k * left)),
        "coverage": _with_jackknife(generated_in_ball, lambda count, _: (count > 0).double()),
    }


def _groups(n: int, like: Tensor) -> Tensor:
    """Membership of n examples in GROUPS groups of equal size, as zeros and ones, float32, shape (n, GROUPS)."""
    return torch.eye(GROUPS, device=like.device)[torch.arange(n, device=like.device) % GROUPS]


def _with_jackknife(counts: Tensor, statistic: Callable[[Tensor, float], Tensor]) -> Estimate:
    """Mean over examples of statistic(number of balls, share of the groups left in), from counts (n, GROUPS)."""
    counts = counts.double()
    total = counts.sum(1)
    own = mean(statistic(total, 1.0))
    left = torch.stack([statistic(total - counts[:, g], 1 - 1 / GROUPS).mean() for g in range(GROUPS)])
    others = (GROUPS - 1) / GROUPS * float((left - left.mean()).square().sum())
    return Estimate(own.value, math.sqrt(own.stderr**2 + others))
