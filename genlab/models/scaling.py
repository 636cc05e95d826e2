"""The scale on which a family sees data: x = shift + scale u. Data cross the border of a family in their own units, x."""

import math

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec


class Scaling(nn.Module):
    """`shift` and `scale` broadcast over examples of shape `data.shape`, or over flattened ones.

    With `identity` u = x, and no arithmetic is done. Shift and scale stay in the state dict without being used.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, data: DataSpec, shift: Tensor, scale: Tensor, *, identity: bool = False) -> None:
        super().__init__()
        self.data, self.identity = data, identity
        self.register_buffer("shift", shift.clone())
        self.register_buffer("scale", scale.clone())

    @classmethod
    def of(cls, data: DataSpec) -> "Scaling":
        """u in [-1, 1] for data in [0, 1]; for real data, standard deviations from the mean."""
        if data.support != "real":
            return cls(data, torch.tensor(0.5), torch.tensor(0.5))
        return cls(data, data.mean, common_std(data))

    @classmethod
    def standard(cls, data: DataSpec) -> "Scaling":
        """Real data in standard deviations from the mean, each component (of curves: channel) by itself; others as they are."""
        std = common_std(data) if data.is_curve else data.std.clamp_min(1e-6)
        return cls(data, data.mean, std, identity=data.support != "real")

    @property
    def shift_and_scale(self) -> tuple[Tensor, Tensor]:
        """Those of x = shift + scale u; 0 and 1 for the identity."""
        if self.identity:
            return torch.zeros(()), torch.ones(())
        return self.shift, self.scale

    def inner(self, x: Tensor) -> Tensor:
        """u of examples x, (n, *shape)."""
        return x if self.identity else (x - self.shift) / self.scale

    def outer(self, u: Tensor) -> Tensor:
        """x = shift + scale u, which may lie outside the support of the data."""
        return u if self.identity else self.shift + self.scale * u

    def restore(self, u: Tensor) -> Tensor:
        """Examples in the support of the data from u."""
        x = self.outer(u)
        return x if self.data.support == "real" else x.clamp(0, 1)

    def restore_components(self, u: Tensor, which: list[int]) -> Tensor:
        """`restore` of some components of flattened examples, u (n, len(which))."""
        x = u
        if not self.identity:
            shift, scale = (one.expand(self.data.shape).flatten()[which] for one in (self.shift, self.scale))
            x = shift + scale * u
        return x if self.data.support == "real" else x.clamp(0, 1)

    def samples(self, u: Tensor, mean: bool | None) -> Tensor:
        """`restore` of samples; binary ones take the nearer value unless `mean`, which is the default for pictures."""
        x = self.restore(u)
        show_mean = self.data.on_grid if mean is None else mean
        return x if show_mean or self.data.support != "binary" else (x > 0.5).float()

    def dequantised(self, x: Tensor) -> tuple[Tensor, float]:
        """u of examples x (n, *shape) as a density sees them, and log v, such that log p(x) = log p(u) + log v in nats.

        Continuous data: v is the volume of a unit cube of x, in units of u. Grey levels: each level stands for a cell, in which u
        is drawn evenly, and v is the volume of the cell. The probability of the level is the integral of p(u) over its cell, so
        that the mean of log p(u) + log v over draws is a lower bound (Theis et al. 2016). Binary data have no density.
        """
        assert self.data.support != "binary", "binary data have no density"
        u = self.inner(x)
        if self.data.levels is None:
            return u, -self.log_volume
        _, scale = self.shift_and_scale
        cell = 1 / (float(scale) * (self.data.levels - 1))  # data with levels have one scale for all components
        return u + cell * (torch.rand_like(u) - 0.5), self.data.dim * math.log(cell)

    @property
    def log_volume(self) -> float:
        """log of the volume, in the units of the data, of a unit cube of u; 0 for binary data, which have none."""
        if self.identity or self.data.support == "binary":
            return 0.0
        return float(self.scale.cpu().double().expand(self.data.shape).log().sum())


def common_std(data: DataSpec) -> Tensor:
    """Scale of each component, of shape `data.shape`: its own standard deviation for vectors, where it is not 0.

    On a grid places that never vary have no scale of their own. One scale for all keeps neighbours comparable: that of a picture,
    or of each channel where channels are quantities of their own.
    """
    std = data.std
    if data.own_scales:
        std = std.flatten(1).square().mean(1).sqrt().view(-1, *[1] * (std.ndim - 1)).expand_as(std)
    elif data.on_grid:
        std = std.square().mean().sqrt().expand_as(std)
    return torch.where(std > 0, std, torch.ones_like(std))
