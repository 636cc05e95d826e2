"""Linear maps between layers, z = W x over the components, or at every place over the channels (1x1 convolutions: Kingma &
Dhariwal 2018). What a layer leaves as it is, the next one should change.

    permutation   a random order of the components (of 3 and fewer, their reversal); log |det W| = 0
    reverse       their reversal
    lu            W = P L U with a fixed permutation P, L lower triangular with ones on its diagonal and U upper triangular.
                  log |det W| = sum_i log |u_ii|, and the inverse takes two triangular systems. It starts as a random rotation.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from genlab.models.flows.flow_layer import FlowLayer

Mixing = Literal["permutation", "reverse", "lu", "none"]

FEW = 3  # components, of which most random orders are much like the one before


class Permutation(FlowLayer):
    """z_i = x_order(i) along dimension 1."""

    linear = True
    order: Tensor
    back: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)
        self.register_buffer("back", order.argsort())

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        return x.index_select(1, self.order), x.new_zeros(len(x))

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        return z.index_select(1, self.back)


class LULinear(FlowLayer):
    """z = P L U x along dimension 1."""

    linear = True
    order: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        p, lower, upper = torch.linalg.lu(rotation)
        diagonal, default = upper.diagonal(), torch.get_default_dtype()
        self.register_buffer("order", p.argmax(1))  # row i of P takes component order[i]
        self.register_buffer("sign", diagonal.sign().to(default))
        self.log_diagonal = nn.Parameter(diagonal.abs().log().to(default))
        self.lower = nn.Parameter(lower.tril(-1).to(default))
        self.upper = nn.Parameter(upper.triu(1).to(default))

    def factors(self) -> tuple[Tensor, Tensor]:
        """L and U."""
        lower = self.lower.tril(-1) + torch.eye(len(self.sign), dtype=self.sign.dtype, device=self.sign.device)
        return lower, self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        places = x[0, 0].numel()
        with torch.autocast(x.device.type, enabled=False):  # a density needs all its digits
            weight = (lower @ upper).index_select(0, self.order)
            z = x @ weight.T if x.ndim == 2 else (weight @ x.flatten(2)).view_as(x)
        return z, (places * self.log_diagonal.sum()).expand(len(x))

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        lower, upper = self.factors()
        columns = z.flatten(2).transpose(0, 1).flatten(1) if z.ndim > 2 else z.T
        columns = columns.index_select(0, self.order.argsort())
        columns = torch.linalg.solve_triangular(lower, columns, upper=False, unitriangular=True)
        columns = torch.linalg.solve_triangular(upper, columns, upper=True)
        x: Tensor = columns.view(z.shape[1], len(z), *z.shape[2:]).transpose(0, 1).contiguous()
        return x


def linear_map(mixing: Mixing, channels: int) -> list[FlowLayer]:
    """The map between two layers; none where there is nothing to mix."""
    if mixing == "none" or channels == 1:
        return []
    if mixing == "lu":
        return [LULinear(channels)]
    reverse = mixing == "reverse" or channels <= FEW
    return [Permutation(torch.arange(channels).flip(0) if reverse else torch.randperm(channels))]
