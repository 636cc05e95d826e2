"""Convolutional residual encoder and decoder (He et al. 2016, with the activation before each convolution).

Each width halves (or doubles) the sides by one strided convolution, followed by a residual block x + g(x) whose last
convolution starts at 0: every block is the identity at first, so depth costs no stability and no normalisation is needed.
"""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from genlab.networks.axes import CONV, TRANSPOSED, TransposedLayer, axes_of
from genlab.networks.conv import halved_sides
from genlab.networks.mlp import ACTIVATIONS, Activation


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), 3 wide along each of the axes: (n, width, ...) -> the same."""

    def __init__(self, width: int, activation: Activation, axes: int = 2) -> None:
        super().__init__()
        conv = CONV[axes]
        last = conv(width, width, 3, padding=1)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        act = ACTIVATIONS[activation]
        self.layers = nn.Sequential(act(), conv(width, width, 3, padding=1), act(), last)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class ResEncoder(nn.Module):
    """Strided convolutions and residual blocks, one of each per width, then an affine map: (n, C, ...) -> (n, n_out)."""

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], n_out: int, activation: Activation) -> None:
        super().__init__()
        channels, axes = shape[0], axes_of(shape)
        layers: list[nn.Module] = []
        for n in widths:
            layers += [CONV[axes](channels, n, 3, stride=2, padding=1), Residual(n, activation, axes)]
            channels = n
        cells = prod(halved_sides(shape, len(widths))[-1])
        layers += [ACTIVATIONS[activation](), nn.Flatten(), nn.Linear(channels * cells, n_out)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ResDecoder(nn.Module):
    """The mirror image of `ResEncoder`: (n, n_in) -> (n, C, ...)."""

    def __init__(self, n_in: int, widths: Sequence[int], shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        sides = halved_sides(shape, len(widths))
        first, axes = widths[-1], axes_of(shape)
        layers: list[nn.Module] = [nn.Linear(n_in, first * prod(sides[-1])), nn.Unflatten(1, (first, *sides[-1]))]
        outputs = [*reversed(widths[:-1]), shape[0]]
        for before, after, wanted in zip(reversed(widths), outputs, reversed(sides[:-1]), strict=True):
            # Sides of 2k-1 and of 2k both halve to k; the output padding chooses between them.
            padding = tuple(1 - side % 2 for side in wanted)
            layers += [
                Residual(before, activation, axes),
                ACTIVATIONS[activation](),
                TRANSPOSED[axes](before, after, 3, stride=2, padding=1, output_padding=padding),
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
