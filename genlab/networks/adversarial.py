"""Generators and discriminators: feed-forward, or convolutional as in Radford, Metz & Chintala 2016 (DCGAN).

A generator ends without an activation: its family decides what the numbers mean. A discriminator is `features`, then one affine
`head`. No normalisation stands in it: statistics of a batch would mix what a penalty on the gradient takes example by example.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.few_channel_conv import Conv, TransposedConv
from genlab.networks.mlp import ACTIVATIONS
from genlab.networks.weight_norm import directed, standardise
from genlab.numerics.rng import normal_like

Architecture = Literal["auto", "mlp", "conv"]
Conditioning = Literal["projection", "concat"]
Bound = Literal["none", "spectral", "weight"]

GENERATOR = {"mlp": [256, 512, 1024], "conv": [128, 64]}
DISCRIMINATOR = {"mlp": [512, 256], "conv": [32, 64]}
SMALL_GENERATOR, SMALL_DISCRIMINATOR = [256, 256], [256, 128]  # of pictures below 16 pixels a side
VECTORS = [128, 128, 128]
SIGMA = 0.1  # of weights at first where directions are apart; half of that where batches are normalised
SLOPE = 0.2  # of the leaky rectifiers, as in DCGAN
LEAST_CONV = 16  # pixels a side from which on `auto` takes convolutions


class BatchNorm(nn.BatchNorm1d):
    """Without a scale of its own where that is not `scaled`; in single precision whatever comes in."""

    def __init__(self, width: int, scaled: bool) -> None:
        super().__init__(width)
        self.weight.requires_grad_(scaled)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float())


class GeneratorMLP(nn.Module):
    """Affine layers with batch normalisation and an activation between them: (n, n_in) -> (n, *shape).

    With `weight_norm` as Salimans et al. 2016 have it: lengths and directions apart in the last layer, no scales in the others.
    """

    def __init__(
        self, n_in: int, widths: Sequence[int], shape: tuple[int, ...], activation: str, weight_norm: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise([n_in, *widths]):
            act = nn.LeakyReLU(SLOPE) if activation == "leaky_relu" else ACTIVATIONS[activation]()
            layers += [affine := nn.Linear(a, b, bias=False), BatchNorm(b, scaled=not weight_norm), act]
            if weight_norm:
                nn.init.normal_(affine.weight, std=SIGMA / 2)
        last = nn.Linear(widths[-1] if widths else n_in, math.prod(shape))
        if weight_norm:
            directed(last, SIGMA, learned=True)
        self.layers = nn.Sequential(*layers, last, nn.Unflatten(1, shape))

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.layers(h)
        return out


class GeneratorConv(nn.Module):
    """An affine map to a small picture, then transposed 4x4 convolutions that double its sides: (n, n_in) -> (n, C, H, W)."""

    def __init__(self, n_in: int, widths: Sequence[int], shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = shape
        sides = [(height, width)]
        for _ in widths:
            sides.append((-(-sides[-1][0] // 2), -(-sides[-1][1] // 2)))
        self.first, self.grid = widths[0], sides[-1]
        cells = widths[0] * sides[-1][0] * sides[-1][1]
        self.affine = nn.Linear(n_in, cells, bias=False)
        stages: list[nn.Module] = []
        for i, width_in in enumerate(widths):
            last = i == len(widths) - 1
            width_out = channels if last else widths[i + 1]
            stages.append(
                nn.Sequential(
                    nn.BatchNorm2d(width_in),
                    nn.ReLU(),
                    TransposedConv(width_in, width_out, 4, stride=2, padding=1, bias=last),
                )
            )
        self.stages, self.sides = nn.ModuleList(stages), sides[-2::-1]

    def forward(self, h: Tensor) -> Tensor:
        x: Tensor = self.affine(h).unflatten(1, (self.first, *self.grid))
        for stage, (height, width) in zip(self.stages, self.sides, strict=True):
            x = stage(x)[:, :, :height, :width]  # a side that was odd has one pixel too many
        return x


class Noise(nn.Module):
    """x + sigma * eps, eps ~ N(0, 1), while training; x otherwise."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, normal_like(x), alpha=self.sigma) if self.training else x


class Discriminator(nn.Module):
    """Numbers (n, outputs) of examples (n, *shape). With `classes`, a projection (Miyato & Koyama 2018): the score of (x, y) is

    head(phi(x)) + e_y . phi(x) with phi the features and e_y learned, zero at first. `noise` is added to the input and to each
    layer's output.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        network: Literal["mlp", "conv"],
        widths: Sequence[int],
        *,
        outputs: int,
        num_classes: int,
        bound: Bound,
        noise: tuple[float, float],
        slope: float,
    ) -> None:
        super().__init__()
        self.needs_second_derivatives = False
        """Whether a penalty on its gradient is in a loss."""
        layers: list[nn.Module] = [Noise(noise[0])] if noise[0] else []
        if network == "mlp":
            layers.append(nn.Flatten())
        affine, n = narrowing(shape, network, widths)
        for layer in affine:
            layers += [bounded(layer, bound), nn.LeakyReLU(slope), *([Noise(noise[1])] if noise[1] else [])]
        if network == "conv":
            layers.append(nn.Flatten())
        self.flat = network == "mlp"
        self.features = nn.Sequential(*layers)
        self.head = bounded(nn.Linear(n, outputs), bound, last=True)
        self.embedding = nn.Linear(num_classes, n, bias=False) if num_classes else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        phi = self.features(x)
        out: Tensor = self.head(phi)
        if self.embedding is not None and y is not None:
            out = out + (self.embedding(y) * phi).sum(1, keepdim=True)
        return out

    @torch.no_grad()
    def normalise(self, x: Tensor) -> None:
        """Give every layer's output mean 0 and variance 1 on examples x, before its activation (Salimans & Kingma 2016)."""
        for layer in [*self.features, self.head]:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                standardise(layer, x)
            x = layer(x)


def narrowing(
    shape: tuple[int, ...], network: Literal["mlp", "conv"], widths: Sequence[int]
) -> tuple[list[nn.Linear | nn.Conv2d], int]:
    """Affine layers from examples to features, full or convolutions that halve the sides, and the number of the features."""
    layers: list[nn.Linear | nn.Conv2d] = []
    for width in widths:
        if network == "mlp":
            layers.append(nn.Linear(math.prod(shape), width))
            shape = (width,)
        else:
            layers.append(Conv(shape[0], width, 4, stride=2, padding=1))
            shape = (width, shape[1] // 2, shape[2] // 2)
    return layers, math.prod(shape)


def bounded(layer: nn.Linear | nn.Conv2d, bound: Bound, last: bool = False) -> nn.Module:
    """`spectral`: largest singular value 1 (Miyato et al. 2018). `weight`: lengths apart, learned in the `last` layer only."""
    if bound == "spectral":
        return spectral_norm(layer)
    return directed(layer, SIGMA, learned=last) if bound == "weight" else layer


def joined(x: Tensor, y: Tensor, network: Discriminator) -> Tensor:
    """Examples with one-hot classes y (n, classes) as planes beside their channels, or as numbers after the others."""
    if network.flat:
        return torch.cat([x.flatten(1), y], 1)
    return torch.cat([x, y[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)


def architecture(data: DataSpec, network: Architecture) -> Literal["mlp", "conv"]:
    """`auto`: convolutions for pictures of 16 pixels a side and more. Raises GenlabError for convolutions of vectors."""
    if network == "auto":
        return "conv" if data.is_image and min(data.shape[1:]) >= LEAST_CONV else "mlp"
    if network == "conv" and not data.is_image:
        raise GenlabError(f"model.network=conv: {data.name} holds vectors of {data.dim} numbers; set model.network=mlp")
    return network


def generator(
    data: DataSpec,
    network: Architecture,
    hidden: Sequence[int] | None,
    n_in: int,
    activation: Literal["leaky_relu", "softplus"] = "leaky_relu",
    weight_norm: bool = False,
) -> nn.Module:
    """(n, n_in) -> (n, *data.shape). `hidden` are widths, or channels from the smallest picture to the largest."""
    kind = architecture(data, network)
    default = _default(data, kind, GENERATOR, SMALL_GENERATOR)
    widths = list(default if hidden is None else hidden)
    if kind == "mlp":
        return GeneratorMLP(n_in, widths, data.shape, activation, weight_norm)
    _refuse_deep(data, widths, "hidden")
    return GeneratorConv(n_in, widths, data.shape)


def discriminator(
    data: DataSpec,
    network: Architecture,
    hidden: Sequence[int] | None,
    *,
    channels: int = 0,
    outputs: int = 1,
    num_classes: int = 0,
    bound: Bound = "none",
    noise: tuple[float, float] = (0.0, 0.0),
    slope: float = SLOPE,
) -> Discriminator:
    """(n, *data.shape) -> (n, outputs), with so many further `channels` (numbers, for vectors) joined to each example."""
    kind = architecture(data, network)
    default = _default(data, kind, DISCRIMINATOR, SMALL_DISCRIMINATOR)
    widths = list(default if hidden is None else hidden)
    shape = (data.shape[0] + channels, *data.shape[1:])
    if kind == "mlp":
        shape = (data.dim + channels,)
    else:
        _refuse_deep(data, widths, "critic_hidden")
    return Discriminator(
        shape, kind, widths, outputs=outputs, num_classes=num_classes, bound=bound, noise=noise, slope=slope
    )


def _default(data: DataSpec, kind: str, large: dict[str, list[int]], small: list[int]) -> list[int]:
    if not data.is_image:
        return VECTORS
    return small if kind == "mlp" and data.dim < LEAST_CONV**2 else large[kind]


def _refuse_deep(data: DataSpec, widths: Sequence[int], key: str) -> None:
    if not widths or min(data.shape[1:]) < 2 ** len(widths):
        raise GenlabError(
            f"model.{key}={list(widths)}: each entry halves the sides of {data.shape[1:]}; name 1 or a few"
        )
