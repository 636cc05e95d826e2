"""Observables of configurations on a periodic square lattice, by the names that a configuration may give (dataset.observables).

Each takes configurations s (n, L, L), spins of -1 and +1 or real numbers, and gives numbers for each of them: (n,) or (n, k), in
float64. What follows from their means and fluctuations, such as the specific heat, is in statistics.py.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Observable = Callable[[Tensor], Tensor]


def energy(s: Tensor) -> Tensor:
    """-sum_<ij> s_i s_j over nearest neighbours, per site: (n,)."""
    s = s.double()
    return -(s * (s.roll(1, -1) + s.roll(1, -2))).mean((-2, -1))


def magnetisation(s: Tensor) -> Tensor:
    """Mean of the spins: (n,)."""
    return s.double().mean((-2, -1))


def correlation(s: Tensor) -> Tensor:
    """s_x s_(x+r) along both axes, averaged over the sites x, for r = 1 to half the smaller side: (n, reach)."""
    s = s.double()
    reach = min(s.shape[-2:]) // 2
    along = [(s * (s.roll(r, -1) + s.roll(r, -2))).mean((-2, -1)) / 2 for r in range(1, reach + 1)]
    return torch.stack(along, -1)


ALLOWED: dict[str, Observable] = {"energy": energy, "magnetisation": magnetisation, "correlation": correlation}
"""Name in a configuration -> function."""
