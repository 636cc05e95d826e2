"""Convolutional encoder and decoder, mirror images of each other, for pictures of any size."""

from collections.abc import Sequence

from torch import Tensor, nn

from genlab.networks.few_channel_conv import TransposedConv
from genlab.networks.mlp import ACTIVATIONS, Activation


def halved_sides(shape: tuple[int, ...], halvings: int) -> list[tuple[int, int]]:
    """Height and width of a picture of `shape` (C, H, W), and after each halving; odd sides are rounded up."""
    sides = [(shape[1], shape[2])]
    for _ in range(halvings):
        height, width = sides[-1]
        sides.append(((height + 1) // 2, (width + 1) // 2))
    return sides


class ConvEncoder(nn.Module):
    """Strided 3x3 convolutions that halve the sides once per width, then an affine map: (n, C, H, W) -> (n, n_out)."""

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], n_out: int, activation: Activation) -> None:
        super().__init__()
        channels = shape[0]
        layers: list[nn.Module] = []
        for n in widths:
            layers += [nn.Conv2d(channels, n, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
            channels = n
        height, width = halved_sides(shape, len(widths))[-1]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * height * width, n_out))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ConvDecoder(nn.Module):
    """The mirror image of `ConvEncoder`: an affine map, then transposed convolutions: (n, n_in) -> (n, C, H, W)."""

    def __init__(self, n_in: int, widths: Sequence[int], shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        sides = halved_sides(shape, len(widths))
        first, (h, w) = widths[-1], sides[-1]
        layers: list[nn.Module] = [nn.Linear(n_in, first * h * w), nn.Unflatten(1, (first, h, w))]
        outputs = [*reversed(widths[:-1]), shape[0]]
        for before, after, (h, w) in zip(reversed(widths), outputs, reversed(sides[:-1]), strict=True):
            # Sides of 2k-1 and of 2k both halve to k; the output padding chooses between them.
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
