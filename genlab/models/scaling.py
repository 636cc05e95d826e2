"""Units in which a family sees data on its own: x = shift + scale u, u in [-1, 1] or in standard deviations from the mean."""

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec


class Scaling(nn.Module):
    shift: Tensor
    scale: Tensor

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.data = data
        shift, scale = torch.tensor(0.5), torch.tensor(0.5)
        if data.support == "real":
            std = data.std
            if data.is_image:  # pixels that never vary have no scale of their own
                std = std.square().mean().sqrt().expand_as(std)
            shift, scale = data.mean.clone(), torch.where(std > 0, std, torch.ones_like(std)).clone()
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)

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
