"""Activation normalisation (Kingma & Dhariwal 2018): z = (x - b) e^-a, with a shift and a scale for each component, or channel.

They start such that the states of some first examples have mean 0 and standard deviation 1, and are parameters from then on. No
example depends on the others of its batch, as it does with batch normalisation.
"""

import torch
from torch import Tensor, nn

from genlab.models.flows.flow_layer import FlowLayer
from genlab.numerics import shares

LEAST_STD = 1e-3  # to which a component that does not vary counts
FEWEST = 16  # states that have moments to start from


class ActivationNorm(FlowLayer):
    """Of states (n, channels, ...); at first the identity."""

    linear = True
    couples = "activation normalisation starts from the whole first batch"

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.starts = False
        """Whether the next states decide on shift and scale."""

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.starts:
            self.start_from(x)
        places = x[0, 0].numel()
        z = (x - self.along(x, self.shift)) * self.along(x, torch.exp(-self.log_scale))
        return z, (-places * self.log_scale.sum()).expand(len(x))

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        return z * self.along(z, torch.exp(self.log_scale)) + self.along(z, self.shift)

    @staticmethod
    def along(x: Tensor, values: Tensor) -> Tensor:
        return values.view(-1, *[1] * (x.ndim - 2))

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """From the moments of states x; of a few of them these say little, and the layer stays the identity."""
        by_channel = x.transpose(0, 1).flatten(1)
        mean, variance, n = shares.moments(by_channel, [1])
        if n < FEWEST:
            return
        self.shift.copy_(mean)
        self.log_scale.copy_(variance.sqrt().clamp_min(LEAST_STD).log())


@torch.no_grad()
def start_from(flow: FlowLayer, x: Tensor, y: Tensor | None) -> None:
    """Every normalisation within `flow` starts from the states of examples x (n, *shape)."""
    found = [layer for layer in flow.modules() if isinstance(layer, ActivationNorm)]
    for layer in found:
        layer.starts = True
    flow(x, y)
    for layer in found:
        layer.starts = False
