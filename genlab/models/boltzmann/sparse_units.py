"""Products of units with the weights: where most units are 0, u W is a sum of the few rows of W whose unit is on."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ON = 0.18
"""Largest share of units on, and"""
COLUMNS = 200
"""fewest columns, for which the sum of rows takes less time than the dense product on one thread and on two: the ways cross
between 0.18 and 0.3 for 256 to 1,000 columns, and not at all for 64 (tests/benchmarks/sparse_units.py)."""
SEEN = 4
"""Examples of which the units are counted."""


def affine_of(b: Tensor, u: Tensor, W: Tensor, *, out: Tensor | None = None) -> Tensor:
    """b + u W, (n, columns), for u (n, rows). Which way it takes follows from u alone; only the order of the sum differs."""
    if u.device.type != "cpu" or W.shape[1] < COLUMNS or torch.is_grad_enabled() or not 0 < _share_on(u) <= ON:
        return torch.addmm(b, u, W, out=out)
    return sum_of_rows(b, u, W, out=out)


def sum_of_rows(b: Tensor, u: Tensor, W: Tensor, *, out: Tensor | None = None) -> Tensor:
    """b + sum_i u_i W_i over the units u_i that are not 0."""
    units = u.detach().numpy().ravel()
    index = np.int32 if len(units) < 2**31 else np.int64
    # numpy finds them without a branch, torch does not
    place: np.ndarray[Any, Any] = np.flatnonzero(units != 0).astype(index)
    first = np.searchsorted(place, np.arange(0, len(units), len(W), dtype=index)).astype(index)
    row = place - place // len(W) * len(W)  # the remainder, of which numpy takes one after another
    ones = np.count_nonzero(units == 1) == len(place)
    weights = None if ones else torch.from_numpy(units[place])
    total = F.embedding_bag(torch.from_numpy(row), W, torch.from_numpy(first), mode="sum", per_sample_weights=weights)
    return torch.add(total, b, out=out)


def _share_on(u: Tensor) -> float:
    few = u[:SEEN].detach().numpy()
    return int(np.count_nonzero(few)) / max(1, few.size)
