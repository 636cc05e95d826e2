"""Convolutional encoder and decoder, mirror images of each other, for pictures of any size."""

from collections.abc import Sequence

from torch import Tensor, nn

from genlab.networks.few_channel_conv import TransposedConv
from genlab.networks.mlp import ACTIVATIONS, Activation


def _halve(side: int) -> int:
    return (side + 1) // 2


class ConvEncoder(nn.Module):
    """Strided 3x3 convolutions that halve the sides once per width, then an affine map: (n, C, H, W) -> (n, n_out)."""

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], n_out: int, activation: Activation) -> None:
        super().__init__()
        channels, height, width = shape
        layers: list[nn.Module] = []
        for n in widths:
            layers += [nn.Conv2d(channels, n, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
            channels, height, width = n, _halve(height), _halve(width)
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, n_out))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`: an affine map, then transposed convolutions: (n, n_in) -> (n, C, H, W)."""

    def __init__(self, n_in: int, widths: Sequence[int], shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        channels, height, width = shape
        sides = [(height, width)]
        for _ in widths:
            sides.append((_halve(sides[-1][0]), _halve(sides[-1][1])))
        first, (h, w) = widths[-1], sides[-1]
        layers: list[nn.Module] = [nn.Linear(n_in, first * h * w), nn.Unflatten(1, (first, h, w))]
        outputs = [*reversed(widths[:-1]), channels]
        for before, after, (h, w) in zip(reversed(widths), outputs, reversed(sides[:-1]), strict=True):
            # A side of 2k-1 and one of 2k both halve to k; the padding says which of them to return to.
            padding = (1 - h % 2, 1 - w % 2)
            layers += [
                ACTIVATIONS[activation](),
                TransposedConv(before, after, 3, stride=2, padding=1, output_padding=padding),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.layers(h)
        return out

    @property
    def last(self) -> nn.ConvTranspose2d:
        layer = self.layers[-1]
        assert isinstance(layer, nn.ConvTranspose2d)
        return layer
