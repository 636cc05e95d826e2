"""Generators: feed-forward, or convolutional as in Radford, Metz & Chintala 2016 (DCGAN).

A generator ends without an activation: its family decides what the outputs mean.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.networks.axes import BATCH_NORM, TRANSPOSED, axes_of, cut
from genlab.networks.choices import note
from genlab.networks.conv import halved_sides
from genlab.networks.discriminators import NEGATIVE_SLOPE, Architecture, architecture, default_widths, refuse_depth
from genlab.networks.mlp import ACTIVATIONS
from genlab.networks.weight_norm import SIGMA, with_weight_norm

WIDTHS = {"mlp": [256, 512, 1024], "conv": [128, 64]}
SMALL_WIDTHS = [256, 256]


class BatchNorm(nn.BatchNorm1d):
    """In single precision for any input; without learned scales unless `scaled`."""

    def __init__(self, width: int, scaled: bool) -> None:
        super().__init__(width)
        self.weight.requires_grad_(scaled)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class GeneratorMLP(nn.Module):
    """Affine layers with batch normalisation and an activation between them: (n, n_in) -> (n, *shape).

    `weight_norm` is as in Salimans et al. 2016: weight normalisation of the last layer, no learned scales in the others.
    """

    def __init__(
        self, n_in: int, widths: Sequence[int], shape: tuple[int, ...], activation: str, weight_norm: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise([n_in, *widths]):
            act = nn.LeakyReLU(NEGATIVE_SLOPE) if activation == "leaky_relu" else ACTIVATIONS[activation]()
            layers += [affine := nn.Linear(a, b, bias=False), BatchNorm(b, scaled=not weight_norm), act]
            if weight_norm:
                nn.init.normal_(affine.weight, std=SIGMA / 2)  # half of SIGMA, because batches are normalised
        last = nn.Linear(widths[-1] if widths else n_in, math.prod(shape))
        if weight_norm:
            with_weight_norm(last, SIGMA, learned=True)
        self.layers = nn.Sequential(*layers, last, nn.Unflatten(1, shape))

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.layers(h)
        return out


class GeneratorConv(nn.Module):
    """An affine map to few places, then transposed convolutions, 4 wide, that double the sides: (n, n_in) -> (n, C, ...)."""

    def __init__(self, n_in: int, widths: Sequence[int], shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, axes = shape[0], axes_of(shape)
        sides = halved_sides(shape, len(widths))
        self.first, self.grid = widths[0], sides[-1]
        cells = widths[0] * math.prod(sides[-1])
        self.affine = nn.Linear(n_in, cells, bias=False)
        stages: list[nn.Module] = []
        for i, width_in in enumerate(widths):
            last = i == len(widths) - 1
            width_out = channels if last else widths[i + 1]
            stages.append(
                nn.Sequential(
                    BATCH_NORM[axes](width_in),
                    nn.ReLU(),
                    TRANSPOSED[axes](width_in, width_out, 4, stride=2, padding=1, bias=last),
                )
            )
        self.stages, self.sides = nn.ModuleList(stages), sides[-2::-1]

    def forward(self, h: Tensor) -> Tensor:
        x: Tensor = self.affine(h).unflatten(1, (self.first, *self.grid))
        for stage, sides in zip(self.stages, self.sides, strict=True):
            x = cut(stage(x), sides)  # for an odd side the convolution makes one place too many
        return x


def generator(
    data: DataSpec,
    network: Architecture,
    hidden: Sequence[int] | None,
    n_in: int,
    activation: Literal["leaky_relu", "softplus"] = "leaky_relu",
    weight_norm: bool = False,
) -> nn.Module:
    """(n, n_in) -> (n, *data.shape). `hidden` are widths, or channels from the smallest picture to the largest.

    Raises GenlabError where `hidden` does not fit the data.
    """
    kind = architecture(data, network)
    widths = list(default_widths(data, kind, WIDTHS, SMALL_WIDTHS) if hidden is None else hidden)
    if kind == "mlp":
        mlp = GeneratorMLP(n_in, widths, data.shape, activation, weight_norm)
        return note(mlp, network=kind, hidden=widths)
    refuse_depth(data, widths, "hidden")
    return note(GeneratorConv(n_in, widths, data.shape), network=kind, hidden=widths)
