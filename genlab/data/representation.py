"""The representation of a data set: how stored examples become the input of a model."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genlab.numerics.rng import bernoulli

Binarize = Literal["none", "dynamic", "threshold"]


@dataclass(frozen=True)
class Representation:
    """Turns stored examples (n, *shape) into the input of a model: float32 in the data's support, of the same shape.

    `dynamic` binarisation draws x_i ~ Bernoulli(grey value) anew each time an image is used (Salakhutdinov & Murray 2008);
    `threshold` takes grey > 1/2. Dequantisation adds uniform noise, x = (v + u)/levels with u ~ U[0, 1), so that a density
    over [0, 1] bounds the probability of the integer grey values v (Theis et al. 2016).
    """

    levels: int | None
    """Number of integer grey levels of uint8 data; None for float data."""
    binarize: Binarize
    dequantize: bool

    def __call__(self, stored: Tensor) -> Tensor:
        if self.levels is None:
            x = stored if self.binarize == "none" else stored.clamp(0, 1)
        elif self.dequantize:
            return (stored + torch.rand(stored.shape, device=stored.device)).div_(self.levels)
        elif self.binarize == "dynamic":
            return bernoulli(stored, scale=1 / (self.levels - 1))
        else:
            x = stored.float().div_(self.levels - 1)
        if self.binarize == "dynamic":
            return bernoulli(x)
        if self.binarize == "threshold":
            return (x > 0.5).float()
        return x
