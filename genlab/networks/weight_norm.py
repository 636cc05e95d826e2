"""Weights as lengths times directions, w = s theta/|theta| for every unit of a layer (Salimans & Kingma 2016).

A step of Adam moves each number of theta by about the rate, whatever the loss, and so turns w by rate/sigma where
theta ~ N(0, sigma^2): the two alone say how fast a layer learns. That is why `standardise` changes lengths and leaves theta.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization


class Lengths(nn.Module):
    """theta (units, ...) -> s theta/|theta|, the norm being that of each unit."""

    s: Tensor

    def __init__(self, units: int, learned: bool) -> None:
        super().__init__()
        if learned:
            self.s = nn.Parameter(torch.ones(units))
        else:
            self.register_buffer("s", torch.ones(units))

    def forward(self, theta: Tensor) -> Tensor:
        rows = theta.flatten(1)
        weight: Tensor = (rows * (self.s / rows.norm(dim=1))[:, None]).view_as(theta)
        return weight


def directed(layer: nn.Linear | nn.Conv2d, sigma: float, learned: bool) -> nn.Module:
    """`layer` with such weights, theta ~ N(0, sigma^2); their lengths are `learned` or stay as they are."""
    nn.init.normal_(layer.weight, std=sigma)
    register_parametrization(layer, "weight", Lengths(len(layer.weight), learned))
    return layer


@torch.no_grad()
def standardise(layer: nn.Linear | nn.Conv2d, x: Tensor) -> None:
    """Lengths and shifts for which the layer's outputs have mean 0 and variance 1 on its inputs x."""
    out = layer(x)
    axes = [0, *range(2, out.ndim)]
    mean, std = out.mean(axes), out.std(axes).clamp_min(1e-6)
    if is_parametrized(layer):
        layer.parametrizations.weight[0].s.div_(std)  # type: ignore[union-attr,index]
    else:
        layer.weight.div_(std.view(-1, *[1] * (layer.weight.ndim - 1)))
    assert layer.bias is not None
    layer.bias.copy_((layer.bias - mean) / std)
