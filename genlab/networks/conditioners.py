"""Networks that give the layers of a flow their numbers: of each component that a layer transforms, from those that it leaves.

Their last layer starts at 0, and so does every number: each layer of a flow is the identity at first. One-hot classes, where
there are any, are further inputs; to a convolution they are constant channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genlab.networks.axes import CONV, MEMORY, constant_channels
from genlab.networks.dropout import Dropout
from genlab.networks.mlp import ACTIVATIONS, MLP, Activation


def start_at_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class VectorConditioner(nn.Module):
    """A perceptron: (n, inputs) and classes (n, num_classes) -> (n, count, outputs). Without inputs it gives constants."""

    def __init__(
        self, inputs: int, outputs: int, count: int, hidden: Sequence[int], activation: Activation, num_classes: int
    ) -> None:
        super().__init__()
        self.count, self.constant = count, inputs + num_classes == 0
        self.network = MLP([max(1, inputs + num_classes), *hidden, count * outputs], activation)
        start_at_zero(self.network.last)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        if self.constant:
            x = x.new_ones(len(x), 1)
        out: Tensor = self.network(x if y is None else torch.cat([x, y.to(x.dtype)], 1))
        numbers: Tensor = out.to(x.dtype).unflatten(1, (self.count, -1))
        return numbers


class GridConditioner(nn.Module):
    """Convolutions, the first and the last 3 wide and those between them 1 wide: (n, inputs, ...) -> (n, count, outputs, ...)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        count: int,
        hidden: Sequence[int],
        activation: Activation,
        num_classes: int,
        axes: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.count, conv = count, CONV[axes]
        channels, layers = inputs + num_classes, list[nn.Module]()
        for k, width in enumerate(hidden):
            layers += [
                conv(channels, width, 1 if k else 3, padding=0 if k else 1),
                ACTIVATIONS[activation](),
                *([Dropout(dropout)] if dropout else []),
            ]
            channels = width
        last = conv(channels, count * outputs, 3, padding=1)
        start_at_zero(last)
        self.network = nn.Sequential(*layers, last)
        # On a CPU these convolutions take two thirds of the time where the channels of a place lie side by side.
        self.memory = MEMORY[axes]
        self.network.to(memory_format=self.memory)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        x = x.contiguous(memory_format=self.memory)
        out: Tensor = self.network(x if y is None else torch.cat([x, constant_channels(x, y.to(x.dtype))], 1))
        numbers: Tensor = out.to(x.dtype).unflatten(1, (self.count, -1))
        return numbers
