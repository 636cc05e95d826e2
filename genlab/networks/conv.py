"""Convolutional encoder and decoder, mirror images of each other, for pictures and curves of any size."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from genlab.networks.axes import CONV, TRANSPOSED, TransposedLayer, axes_of
from genlab.networks.mlp import ACTIVATIONS, Activation


def halved_sides(shape: tuple[int, ...], halvings: int) -> list[tuple[int, ...]]:
    """The sides of an example of `shape` (C, ...), and after each halving; odd sides are rounded up."""
    sides = [tuple(shape[1:])]
    for _ in range(halvings):
        sides.append(tuple((side + 1) // 2 for side in sides[-1]))
    return sides


class ConvEncoder(nn.Module):
    """Strided convolutions, 3 wide, that halve the sides once per width, then an affine map: (n, C, ...) -> (n, n_out)."""

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], n_out: int, activation: Activation) -> None:
        super().__init__()
        channels, conv = shape[0], CONV[axes_of(shape)]
        layers: list[nn.Module] = []
        for n in widths:
            layers += [conv(channels, n, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
            channels = n
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels * prod(halved_sides(shape, len(widths))[-1]), n_out)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`: an affine map, then transposed convolutions: (n, n_in) -> (n, C, ...)."""

    def __init__(self, n_in: int, widths: Sequence[int], shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        sides = halved_sides(shape, len(widths))
        first, transposed = widths[-1], TRANSPOSED[axes_of(shape)]
        layers: list[nn.Module] = [nn.Linear(n_in, first * prod(sides[-1])), nn.Unflatten(1, (first, *sides[-1]))]
        outputs = [*reversed(widths[:-1]), shape[0]]
        for before, after, wanted in zip(reversed(widths), outputs, reversed(sides[:-1]), strict=True):
            # Sides of 2k-1 and of 2k both halve to k; the output padding chooses between them.
            padding = tuple(1 - side % 2 for side in wanted)
            layers += [
                ACTIVATIONS[activation](),
                transposed(before, after, 3, stride=2, padding=1, output_padding=padding),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.layers(h)
        return out

    @property
    def last(self) -> TransposedLayer:
        layer = self.layers[-1]
        assert isinstance(layer, TransposedLayer)
        return layer
