"""Multilayer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.numerics.softplus import softplus

Activation = Literal["relu", "leaky_relu", "tanh", "silu", "softplus"]


class Softplus(nn.Module):
    """log(1 + exp(z)), faster than torch's on a CPU."""

    def forward(self, z: Tensor) -> Tensor:
        return softplus(z.float() if z.dtype == torch.bfloat16 else z)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "softplus": Softplus,
}


class MLP(nn.Module):
    """Affine layers of `sizes` = (n_in, ..., n_out) with an activation between them: (n, *shape) -> (n, n_out)."""

    def __init__(self, sizes: Sequence[int], activation: Activation) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation]()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out

    @property
    def last(self) -> nn.Linear:
        layer = self.layers[-1]
        assert isinstance(layer, nn.Linear)
        return layer
