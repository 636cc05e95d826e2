"""Encoders and decoders whose code is a few vectors, (n, positions, dim).

Convolutions have a code grid, with one vector for each of its places. The vectors of a feed-forward network have no place.
"""

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.autoencoders import VectorDecoder, prefers_conv, set_output_bias
from genlab.networks.axes import CONV, TRANSPOSED, axes_of
from genlab.networks.choices import note
from genlab.networks.conv import halved_sides
from genlab.networks.mlp import ACTIVATIONS, MLP, Activation
from genlab.networks.resnet import Residual


class CodeGridEncoder(nn.Module):
    """Strided convolutions that halve the sides once per width, one residual block: (n, C, ...) -> (n, places, dim)."""

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], dim: int, activation: Activation) -> None:
        super().__init__()
        channels, axes = shape[0], axes_of(shape)
        layers: list[nn.Module] = []
        for n in widths:
            layers += [CONV[axes](channels, n, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
            channels = n
        self.layers = nn.Sequential(*layers, Residual(channels, activation, axes), CONV[axes](channels, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x).flatten(2).transpose(1, 2)
        return out


class CodeGridDecoder(nn.Module):
    """The mirror image of `CodeGridEncoder`: (n, places, dim) -> (n, C, ...)."""

    def __init__(self, dim: int, widths: Sequence[int], shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        sides = halved_sides(shape, len(widths))
        self.grid, axes = sides[-1], axes_of(shape)
        layers: list[nn.Module] = [CONV[axes](dim, widths[-1], 3, padding=1), Residual(widths[-1], activation, axes)]
        outputs = [*reversed(widths[:-1]), shape[0]]
        for before, after, wanted in zip(reversed(widths), outputs, reversed(sides[:-1]), strict=True):
            # Sides of 2k-1 and of 2k both halve to k; the output padding chooses between them.
            layers += [
                ACTIVATIONS[activation](),
                TRANSPOSED[axes](
                    before,
                    after,
                    4,
                    stride=2,
                    padding=tuple(1 + side % 2 for side in wanted),
                    output_padding=tuple(side % 2 for side in wanted),
                ),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.layers(z.transpose(1, 2).unflatten(2, self.grid))
        return out

    @property
    def bias(self) -> Tensor:
        """Bias of the last layer, one number for each channel of the output."""
        bias = self.layers[-1].bias
        assert isinstance(bias, Tensor)
        return bias


class SplitMLP(nn.Module):
    """An MLP whose output is cut into `positions` vectors: (n, *shape) -> (n, positions, n_out/positions)."""

    def __init__(self, sizes: Sequence[int], positions: int, activation: Activation) -> None:
        super().__init__()
        self.layers = MLP(sizes, activation).layers
        self.positions = positions

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x).unflatten(1, (self.positions, -1))
        return out


GRID_WIDTHS = (32, 64, 128, 128)
LARGEST_GRID = 8  # positions along a side, where `hidden` does not say how often it is halved


def code_networks(
    data: DataSpec,
    network: Literal["auto", "mlp", "conv"],
    hidden: Sequence[int] | None,
    positions: int | None,
    *,
    dim: int,
    activation: Activation,
    initial_output: Tensor,
) -> tuple[CodeGridEncoder | SplitMLP, CodeGridDecoder | VectorDecoder, int]:
    """An encoder (n, *shape) -> (n, positions, dim), the mirrored decoder, and the number of positions.

    The untrained decoder puts out `initial_output` on average, of shape (outputs*C, ...) as its output for one example.

    `auto` takes convolutions for colour pictures and for those larger than 32x32, and an MLP otherwise. `hidden` are widths from
    the data to the code. Each width of convolutions halves the sides, so that `hidden` determines the number of positions. The
    default number for an MLP is 8 for 28x28 pixels, in proportion to the side of a picture, and up to 4 for vectors.

    Raises GenlabError where network, widths or positions do not fit the data.
    """
    if network == "auto":
        network = "conv" if prefers_conv(data) else "mlp"
    if network == "mlp":
        if positions is None:
            side = prod(data.shape[1:]) ** 0.5
            positions = max(2, round(side / 3.5)) if data.on_grid else min(4, max(1, data.dim // 2))
        widths = [512] if hidden is None else list(hidden)
        sizes = [positions * dim, *reversed(widths), initial_output.numel()]
        vectors = VectorDecoder(sizes, len(initial_output) // data.shape[0], data.shape, activation)
        set_output_bias(vectors, initial_output)
        split = SplitMLP([data.dim, *widths, positions * dim], positions, activation)
        return note(split, network=network, hidden=widths, positions=positions), vectors, positions
    if not data.on_grid:
        raise GenlabError(f"model.network=conv: {data.name} holds vectors of {data.dim} numbers; set model.network=mlp")
    if positions is not None:
        raise GenlabError(
            f"model.positions={positions}: convolutions have one for each place of their grid; leave it null and set "
            "model.hidden, each entry of which halves the sides, or set model.network=mlp"
        )
    if hidden is None:
        halvings = 1
        while halvings < len(GRID_WIDTHS) and max(halved_sides(data.shape, halvings)[-1]) > LARGEST_GRID:
            halvings += 1
        widths = list(GRID_WIDTHS[:halvings])
    else:
        widths = list(hidden)
    if not widths or min(data.shape[1:]) < 2 ** (len(widths) - 1):
        raise GenlabError(f"model.hidden={widths}: each entry halves the sides of {data.shape[1:]}; name 1 or a few")
    decoder = CodeGridDecoder(dim, widths, tuple(initial_output.shape), activation)
    with torch.no_grad():
        decoder.bias.copy_(initial_output.flatten(1).mean(1))
    encoder = note(CodeGridEncoder(data.shape, widths, dim, activation), network=network, hidden=widths)
    return encoder, decoder, prod(decoder.grid)
