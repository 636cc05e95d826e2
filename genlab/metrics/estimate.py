"""A number with its standard error, and the bootstrap where there is no formula for the error."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    value: float
    stderr: float
    """Standard error from the finite number of examples; nan where it is unknown."""


def mean(values: Tensor) -> Estimate:
    """Mean of `values` (n,) and its standard error, s/sqrt(n).

    Where they are all 0 or 1, the error is that of a share with half a success and half a failure added (Jeffreys' prior): 31 of
    31 are not known to be 100 % without error.
    """
    values, n = values.double(), len(values)
    if n < 2:
        return Estimate(float(values.mean()), float("nan"))
    if bool(((values == 0) | (values == 1)).all()):
        p = (float(values.sum()) + 0.5) / (n + 1)
        return Estimate(float(values.mean()), (p * (1 - p) / (n + 1)) ** 0.5)
    return Estimate(float(values.mean()), float(values.std()) / n**0.5)


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
