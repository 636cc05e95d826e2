"""Coupling layers (Dinh et al. 2017): a part of the components decides how the rest is transformed, and stays as it is.

    z_1 = x_1,    z_2 = g(x_2; network(x_1)),    log |det dz/dx| = sum_i log dg_i/dx_i

The Jacobian is triangular, and the way back is as cheap: x_2 = g^-1(z_2; network(z_1)). The network needs no inverse. With an
affine g this is RealNVP, with splines a neural spline flow (Durkan et al. 2019).
"""

import torch
from torch import Tensor, nn

from genlab.models.flows.elementwise import Elementwise
from genlab.models.flows.flow_layer import FlowLayer


def kept_of(channels: int) -> int:
    """Components, or channels, that a coupling leaves as they are: the first half."""
    return channels // 2


class Coupling(FlowLayer):
    """Of states (n, channels, ...): `conditioner` gives the numbers of the last channels from the first `kept` of them."""

    def __init__(self, kept: int, transform: Elementwise, conditioner: nn.Module) -> None:
        super().__init__()
        self.kept, self.transform, self.conditioner = kept, transform, conditioner

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        first, second = x[:, : self.kept], x[:, self.kept :]
        z, log_det = self.transform.forward(second, self.conditioner(first, y))
        return torch.cat([first, z], 1), log_det

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        first, second = z[:, : self.kept], z[:, self.kept :]
        return torch.cat([first, self.transform.inverse(second, self.conditioner(first, y))], 1)
