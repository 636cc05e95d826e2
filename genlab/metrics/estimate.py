"""A number with its standard error, and the bootstrap where there is no formula for the error."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from genlab.metrics.clusters import Chain, numbered, variance_of_mean


class Estimate(NamedTuple):
    value: float
    stderr: float
    """Standard error from the finite number of examples; nan where it is unknown."""


def mean(values: Tensor, chain: Chain = None) -> Estimate:
    """Mean of `values` (n,) and its standard error, with `chain` (n,) that of a mean over clusters (clusters.py).

    Where they are all 0 or 1, the error is that of a share with half a success and half a failure added (Jeffreys' prior): 31 of
    31 are not known to be 100 % without error. Of clusters as many count as independent examples of this scatter would, and each
    cluster once where nothing scatters.
    """
    values, n = values.double(), len(values)
    if n < 2:
        return Estimate(float(values.mean()), math.nan)
    value, variance = float(values.mean()), variance_of_mean(values, chain)
    if math.isfinite(variance) and bool(((values == 0) | (values == 1)).all()):
        count: float = n
        if chain is not None:
            count = value * (1 - value) / variance if variance > 0 else int(numbered(chain, n).max()) + 1
        p = (value * count + 0.5) / (count + 1)
        return Estimate(value, (p * (1 - p) / (count + 1)) ** 0.5)
    return Estimate(value, variance**0.5)


def bootstrap(
    statistic: Callable[..., float], *samples: Tensor, replicates: int = 100, seed: int = 0
) -> tuple[Estimate, Tensor]:
    """statistic(*samples) with its standard error over resampled data (Efron 1979), and the replicates themselves.

    Every one of `samples` (n_i, ...) is drawn from anew, n_i examples with replacement, independently of the others.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(replicates):
        drawn = []
        for x in samples:
            index = torch.randint(len(x), (len(x),), generator=generator).to(x.device)
            drawn.append(x.index_select(0, index))
        found.append(statistic(*drawn))
    values = torch.tensor(found, dtype=torch.float64)
    return Estimate(statistic(*samples), float(values.std())), values
