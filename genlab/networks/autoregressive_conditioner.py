"""A masked perceptron: outputs of component i from the components before it (MADE: Germain et al. 2015).

Hidden units have degrees 1 ... D - 1 in turns. A unit sees what has a lower or the same degree, an output only lower ones; so no
path leads from component i to its own outputs. Classes are seen by all. The last layer starts at 0.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.mlp import ACTIVATIONS, Activation


class MaskedLinear(nn.Linear):
    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class AutoregressiveConditioner(nn.Module):
    """x (n, D), one-hot classes (n, num_classes) -> (n, outputs, D). `order` are the places of the components, 0 ... D - 1."""

    def __init__(
        self, order: Tensor, hidden: Sequence[int], outputs: int, activation: Activation, num_classes: int
    ) -> None:
        super().__init__()
        degrees = [order + 1]
        for width in hidden:
            degrees.append(torch.arange(width) % max(1, len(order) - 1) + 1)
        layers: list[nn.Module] = []
        for before, after in pairwise(degrees):
            layers += [MaskedLinear(after.unsqueeze(1) >= before), ACTIVATIONS[activation]()]
        last = MaskedLinear((degrees[0].unsqueeze(1) > degrees[-1]).repeat(outputs, 1))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers, self.outputs = nn.Sequential(*layers, last), outputs
        width = hidden[0] if hidden else outputs * len(order)
        self.of_class = nn.Linear(num_classes, width, bias=False) if num_classes else None

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        first, *others = self.layers
        h: Tensor = first(x)
        if y is not None and self.of_class is not None:
            h = h + self.of_class(y.to(x.dtype))
        for layer in others:
            h = layer(h)
        numbers: Tensor = h.unflatten(1, (self.outputs, -1))
        return numbers
