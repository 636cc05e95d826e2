"""Causal networks over places: an example is a row of places with B components each, drawn place by place.

A place of a picture is a block of patch x patch pixels with all their channels, in raster order; of a curve it is `patch` points
with all channels, of a vector one component. What a network computes for a place, its features, depends on earlier places
alone. A small network then gives the outputs for the B components of the place, one after another: those for component b depend
on the features and on components 1, ..., b - 1 of the same place.
"""

from abc import abstractmethod
from collections.abc import Iterator
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.axes import from_channels, to_channels
from genlab.networks.causal import CausalNetwork, Draw


class ComponentHead(nn.Module):
    """Features (..., width), components (..., B) -> outputs (..., outputs, B): one hidden layer for each component."""

    def __init__(self, width: int, components: int, outputs: int) -> None:
        super().__init__()
        self.components = components
        self.hidden = nn.Linear(width, components * width)
        self.earlier = nn.ParameterList(nn.Parameter(torch.empty(width, b)) for b in range(1, components))
        self.out_weight = nn.Parameter(torch.zeros(components, outputs, width))
        self.out_bias = nn.Parameter(torch.zeros(components, outputs))
        for weight in self.earlier:
            nn.init.normal_(weight, std=weight.shape[1] ** -0.5)

    def forward(self, features: Tensor, values: Tensor) -> Tensor:
        return torch.stack([self.component(z, values, b) for b, z in enumerate(self.sums(features))], -1)

    def sums(self, features: Tensor) -> tuple[Tensor, ...]:
        """What the features contribute to the hidden layer of each component, (..., width) for each of B.

        Split at once: a gradient of one component after another would fill memory for all of them each time.
        """
        z: Tensor = self.hidden(features.relu()).unflatten(-1, (self.components, -1))
        return z.unbind(-2)

    def component(self, z: Tensor, values: Tensor, b: int) -> Tensor:
        """Outputs for component b, (..., outputs), from z, its share of `sums`, and of values (..., B) those before b."""
        if b > 0:
            z = z + values[..., :b] @ self.earlier[b - 1].t()
        return F.linear(z.relu(), self.out_weight[b], self.out_bias[b])


class PlaceNetwork(CausalNetwork):
    components: Tensor

    def __init__(self, shape: tuple[int, ...], patch: int, width: int, outputs: int) -> None:
        """`shape` is that of an example; `patch` divides its sides."""
        super().__init__()
        self.shape, self.patch, self.outputs = shape, patch, outputs
        numbers = self.to_places(torch.arange(prod(shape)).view(1, -1).float())[0].long()  # (places, B)
        self.places, self.block = numbers.shape
        self.sides = tuple(side // patch for side in shape[1:]) or shape
        self.register_buffer("components", numbers)
        self.register_buffer("order", numbers.flatten())
        self.head = ComponentHead(width, self.block, outputs)

    def to_places(self, u: Tensor) -> Tensor:
        """Flat examples (n, D) -> (n, places, B)."""
        if len(self.shape) == 1:
            return u.unsqueeze(2)
        return to_channels(u.unflatten(1, self.shape), self.patch).flatten(2).transpose(1, 2)

    def forward(self, u: Tensor, y: Tensor | None, which: Tensor | int = 0) -> Tensor:
        values = self.to_places(u)
        out: Tensor = self.head(self.features(values, y), values)  # (n, places, outputs, B)
        if len(self.shape) == 1:
            return out.squeeze(3).transpose(1, 2)
        blocks = out.permute(0, 2, 3, 1).flatten(0, 1).unflatten(2, self.sides)
        return from_channels(blocks, self.patch).reshape(len(u), self.outputs, -1)

    @abstractmethod
    def features(self, values: Tensor, y: Tensor | None) -> Tensor:
        """Values (n, places, B) -> features (n, places, width), each of earlier places alone."""

    @abstractmethod
    def features_in_turn(self, values: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        """The features of one place after the other, (n, width).

        `values` (n, places, B) are filled in between: those of a place are known when the features of the next are asked for.
        """

    @property
    def stops(self) -> int:
        return self.sides[0]

    @torch.no_grad()
    def walk(self, n: int, draw: Draw, y: Tensor | None, which: int = 0) -> Iterator[Tensor]:
        values = self.head.hidden.weight.new_zeros(n, self.places, self.block)
        u = values.new_zeros(n, self.places * self.block)
        stop = self.places // self.stops
        for place, features in enumerate(self.features_in_turn(values, y)):
            sums = self.head.sums(features)
            for b, i in enumerate(self.components[place].tolist()):
                values[:, place, b] = u[:, i] = draw(self.head.component(sums[b], values[:, place], b), i)
            if (place + 1) % stop == 0:
                yield u
