"""Curves and pictures of several bands, as people bring them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BAND_MEANS = (0.5, 1.0, 1.5, 2.0, 2.5)


def sines(n: int, channels: int, points: int, seed: int = 0) -> NDArray[Any]:
    """Sines of 1, 2 or 3 periods and any phase in each channel, (n, channels, points)."""
    rng = np.random.default_rng(seed)
    periods, phases = rng.integers(1, 4, (n, channels, 1)), rng.uniform(0, 2 * np.pi, (n, channels, 1))
    return np.sin(2 * np.pi * periods * np.arange(points) / points + phases).astype(np.float32)


def curves(n: int, points: int = 100, seed: int = 0) -> NDArray[Any]:
    """The same of one channel, (n, points); their standard deviation is sqrt(1/2)."""
    return sines(n, 1, points, seed)[:, 0]


def bands(n: int, channels: int = 5, side: int = 12, seed: int = 0) -> NDArray[Any]:
    """Pictures (n, channels, side, side) whose band b is uniform between 0 and twice BAND_MEANS[b]."""
    rng = np.random.default_rng(seed)
    top = 2 * np.array(BAND_MEANS[:channels])[:, None, None]
    return (top * rng.uniform(size=(n, channels, side, side))).astype(np.float32)
