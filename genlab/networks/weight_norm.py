"""Weight normalisation, w = s theta/|theta| for every unit of a layer: norm and direction apart (Salimans & Kingma 2016).

A step of Adam moves each component of theta by about the learning rate, whatever the loss, and so turns w by rate/sigma where
theta ~ N(0, sigma^2): the rate and sigma alone say how fast a layer learns. That is why `standardise_outputs` changes s and
leaves theta as it is.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from genlab.networks.axes import ConvLayer
from genlab.numerics import shares

SIGMA = 0.1
"""Standard deviation of theta at first, as in Salimans et al. 2016."""


class WeightNorm(nn.Module):
    """theta (units, ...) -> s theta/|theta|, where |theta| is the norm of each unit's weights."""

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


def with_weight_norm(layer: nn.Linear | ConvLayer, sigma: float, learned: bool) -> nn.Module:
    """`layer` with weight normalisation and theta ~ N(0, sigma^2). The norms s are `learned` or stay as they are."""
    nn.init.normal_(layer.weight, std=sigma)
    register_parametrization(layer, "weight", WeightNorm(len(layer.weight), learned))
    return layer


@torch.no_grad()
def standardise_outputs(layer: nn.Linear | ConvLayer, x: Tensor) -> None:
    """Scale and shift the layer so that its outputs have mean 0 and variance 1 on its inputs x."""
    out = layer(x)
    axes = [0, *range(2, out.ndim)]
    mean, variance, n = shares.moments(out, axes)
    std = (variance * n / max(1, n - 1)).sqrt().clamp_min(1e-6)
    if is_parametrized(layer):
        layer.parametrizations.weight[0].s.div_(std)  # type: ignore[union-attr,index]
    else:
        layer.weight.div_(std.view(-1, *[1] * (layer.weight.ndim - 1)))
    assert layer.bias is not None
    layer.bias.copy_((layer.bias - mean) / std)
