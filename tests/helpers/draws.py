"""All configurations of binary units, and statistics of draws against their probabilities and their means."""

from itertools import product

import torch
from torch import Tensor


def states(units: int) -> Tensor:
    """All 2^units configurations, (2^units, units)."""
    return torch.tensor(list(product([0.0, 1.0], repeat=units)), dtype=torch.float64).reshape(-1, units)


def p_value(drawn: Tensor, table: Tensor, p: Tensor) -> float:
    """Of Pearson's chi-square: independent rows `drawn`, each of them a row of `table`, against their probabilities p."""
    same = (drawn.double()[:, None] == table).all(2)
    assert bool(same.any(1).all()), "a draw is no configuration"
    expected = len(drawn) * p
    assert float(expected.min()) > 5, "too few draws for the statistic"
    chi_square = ((same.sum(0) - expected).square() / expected).sum()
    return float(torch.special.gammaincc(torch.tensor((len(p) - 1) / 2).double(), chi_square / 2))


def deviation(draws: Tensor, expected: Tensor) -> float:
    """Largest distance of a mean over rows from what it should be, in standard errors."""
    error = draws.std(0) / len(draws) ** 0.5
    return float(((draws.mean(0) - expected) / error).abs().max())
