"""Masked autoregressive layers (Papamakarios et al. 2017): the numbers of a component follow from those before it.

    z_i = g(x_i; network_i(x_1 ... x_(i-1))),    log |det dz/dx| = sum_i log dg_i/dx_i

All D conditionals come from one pass of a masked network (Germain et al. 2015), so the likelihood is fast (MAF). A sample finds
its components one after another. The network keeps what it knows of earlier ones, so that all of them cost about one pass, in D
small steps. The inverse of such a layer has it the other way round (inverse autoregressive flow: Kingma et al. 2016): samples
in one pass, the likelihood of given data in D steps. One affine layer holds every Gaussian.
"""

from collections import deque

import torch
from torch import Tensor

from genlab.models.flows.elementwise import Elementwise
from genlab.models.flows.flow_layer import FlowLayer
from genlab.networks.masked_mlp import MaskedMLP


class Autoregressive(FlowLayer):
    """Of vectors (n, D): `conditioner` gives numbers (n, count, D), those of a component from the ones before it."""

    def __init__(self, transform: Elementwise, conditioner: MaskedMLP) -> None:
        super().__init__()
        self.transform, self.conditioner = transform, conditioner

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.transform.forward(x, self.conditioner(x, y).to(x.dtype))

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        """x, component by component. Where a gradient is wanted, a whole pass for each component makes it final.

        Until then it is 0: what is not known yet cannot grow.
        """
        if torch.is_grad_enabled():
            x = torch.zeros_like(z)
            for i in self.conditioner.order.tolist():
                found = self.transform.inverse(z, self.conditioner(x, y).to(z.dtype))
                x = torch.where(torch.arange(z.shape[1], device=z.device) == i, found, x)
            return x

        def invert(numbers: Tensor, i: int) -> Tensor:
            return self.transform.inverse(z[:, i : i + 1], numbers.to(z.dtype).unsqueeze(2))[:, 0]

        (x,) = deque(self.conditioner.walk(len(z), invert, y), maxlen=1)
        return x.to(z.dtype)
