"""Masked autoregressive layers (Papamakarios et al. 2017): the numbers of a component follow from those before it.

    z_i = g(x_i; network_i(x_1 ... x_(i-1))),    log |det dz/dx| = sum_i log dg_i/dx_i

All D conditionals come from one pass of a masked network (Germain et al. 2015), so the likelihood is fast (MAF). A sample takes D
passes, one for each component. The inverse of such a layer has it the other way round (inverse autoregressive flow: Kingma et
al. 2016): samples in one pass, the likelihood of given data in D. One affine layer holds every Gaussian.
"""

import torch
from torch import Tensor, nn

from genlab.models.flows.elementwise import Elementwise
from genlab.models.flows.flow_layer import FlowLayer


class Autoregressive(FlowLayer):
    """Of vectors (n, D): `conditioner` gives numbers (n, count, D), those of a component from the ones before it.

    `order` are the places of the components, (D,), a permutation of 0 ... D - 1.
    """

    order: Tensor

    def __init__(self, order: Tensor, transform: Elementwise, conditioner: nn.Module) -> None:
        super().__init__()
        self.transform, self.conditioner = transform, conditioner
        self.register_buffer("order", order)

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.transform.forward(x, self.conditioner(x, y).to(x.dtype))

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        """A pass for each place makes the component there final. Until then it is 0: what is not known yet cannot grow."""
        x = torch.zeros_like(z)
        for i in range(z.shape[1]):
            found = self.transform.inverse(z, self.conditioner(x, y).to(z.dtype))
            x = torch.where(self.order == i, found, x)
        return x
