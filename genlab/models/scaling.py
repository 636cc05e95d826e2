"""The scale on which a family sees data: x = shift + scale u. Data cross the border of a family in their own units, x."""

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec


class Scaling(nn.Module):
    """`shift` and `scale` broadcast over examples of shape `data.shape`, or over flattened ones."""

    shift: Tensor
    scale: Tensor

    def __init__(self, data: DataSpec, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.data = data
        self.register_buffer("shift", shift.clone())
        self.register_buffer("scale", scale.clone())

    @classmethod
    def of(cls, data: DataSpec) -> "Scaling":
        """u in [-1, 1] for data in [0, 1]; for real data, standard deviations from the mean."""
        if data.support != "real":
            return cls(data, torch.tensor(0.5), torch.tensor(0.5))
        std = data.std
        if data.is_image:  # pixels that never vary have no scale of their own
            std = std.square().mean().sqrt().expand_as(std)
        return cls(data, data.mean, torch.where(std > 0, std, torch.ones_like(std)))

    def inner(self, x: Tensor) -> Tensor:
        """u of examples x, (n, *shape)."""
        return (x - self.shift) / self.scale

    def restore(self, u: Tensor) -> Tensor:
        """Examples in the support of the data from u."""
        x = self.shift + self.scale * u
        return x if self.data.support == "real" else x.clamp(0, 1)

    @property
    def log_volume(self) -> float:
        """log of the volume, in the units of the data, of a unit cube of u; 0 for binary data, which have none."""
        if self.data.support == "binary":
            return 0.0
        return float(self.scale.cpu().double().expand(self.data.shape).log().sum())
