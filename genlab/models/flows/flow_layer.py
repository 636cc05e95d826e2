"""What a flow is made of: an invertible map with a known determinant, and several of them one after the other.

    x = f(z),  f = f_1 o f_2 o ... o f_L,    log p(x) = log N(z; 0, I) + sum_l log |det df_l^-1|

A layer's `forward` is f_l^-1, from the data to the noise, as a likelihood needs it; `inverse` is f_l, the way of a sample.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, final

from torch import Tensor, nn


class FlowLayer(nn.Module, ABC):
    """An invertible map of states (n, *shape). y are one-hot classes (n, num_classes), None for an unconditional model."""

    linear: ClassVar[bool] = False
    """Whether the map is linear, up to a shift, and the same for all examples."""

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """The state next to the noise, of the same shape, and log |det| of the Jacobian of this map in nats, (n,)."""

    @abstractmethod
    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The state next to the data, of the same shape."""


class Stack(FlowLayer):
    """Layers one after the other, the first of them next to the data."""

    compiled_by_layer: ClassVar[bool] = True
    """Read by training/devices.py: torch.compile takes minutes for all layers at once."""

    def __init__(self, layers: Sequence[FlowLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for layer in self.layers:
            x, log_det = layer(x, y)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        state = z
        for state in self.inverse_states(z, y):  # noqa: B007  # the last state is the one wanted
            pass
        return state

    def inverse_states(self, z: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        """The state after each layer on the way to the data."""
        for layer in reversed(self.layers):
            assert isinstance(layer, FlowLayer)
            z = layer.inverse(z, y)
            yield z

    def linear_inverse(self, z: Tensor, layers: int | None = None) -> Tensor:
        """The way to the data through the linear maps alone among the first `layers` layers, or among all."""
        for layer in reversed(self.layers[:layers]):
            if isinstance(layer, Stack):
                z = layer.linear_inverse(z)
            elif isinstance(layer, FlowLayer) and layer.linear:
                z = layer.inverse(z, None)
        return z


class Inverse(FlowLayer):
    """A layer in the other direction: the way to the data takes its `forward`."""

    def __init__(self, layer: FlowLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        z = self.layer.inverse(x, y)
        return z, -self.layer(z, y)[1]

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        x: Tensor = self.layer(z, y)[0]
        return x


class DataFlow(FlowLayer):
    """A whole flow: examples (n, *shape) to vectors z (n, D)."""

    @abstractmethod
    def inverse_states(self, z: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        """The example (n, *shape) after each layer, if of the layers to come only the linear ones act."""

    @abstractmethod
    def linear_inverse(self, z: Tensor) -> Tensor:
        """The example (n, *shape) that the linear layers alone make of z (n, D)."""

    @final
    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        state = z
        for state in self.inverse_states(z, y):  # noqa: B007  # the last state is the one wanted
            pass
        return state


class Flat(DataFlow):
    """Layers of vectors (n, D), whatever the shape of the examples."""

    def __init__(self, shape: Sequence[int], layers: Sequence[FlowLayer]) -> None:
        super().__init__()
        self.shape, self.stack = tuple(shape), Stack(layers)

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.stack(x.flatten(1), y)
        return found

    def inverse_states(self, z: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        for left, state in zip(reversed(range(len(self.stack.layers))), self.stack.inverse_states(z, y), strict=True):
            yield self.stack.linear_inverse(state, left).unflatten(1, self.shape)

    def linear_inverse(self, z: Tensor) -> Tensor:
        x: Tensor = self.stack.linear_inverse(z).unflatten(1, self.shape)
        return x
