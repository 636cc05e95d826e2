"""Discriminators: feed-forward, or convolutional as in Radford, Metz & Chintala 2016 (DCGAN).

A discriminator is `features`, then one affine `head`. It has no batch normalisation: statistics of a batch would mix the examples
for each of which a gradient penalty takes a gradient.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.axes import FEW_CHANNEL_CONV, LONG_CURVE, ConvLayer, axes_of, constant_channels
from genlab.networks.choices import note
from genlab.networks.weight_norm import SIGMA, standardise_outputs, with_weight_norm
from genlab.numerics.rng import normal_like

Architecture = Literal["auto", "mlp", "conv"]
Conditioning = Literal["projection", "concat"]
Normalisation = Literal["none", "spectral", "weight"]
"""Of the weights of a layer."""

WIDTHS = {"mlp": [512, 256], "conv": [32, 64]}
SMALL_WIDTHS = [256, 128]
VECTOR_WIDTHS = [128, 128, 128]
NEGATIVE_SLOPE = 0.2  # of the leaky rectifiers, as in DCGAN
MIN_CONV_SIDE = 16  # pixels a side from which on `auto` takes convolutions


class GaussianNoise(nn.Module):
    """x + sigma * eps, eps ~ N(0, 1), in training; x otherwise."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, normal_like(x), alpha=self.sigma) if self.training else x


class Discriminator(nn.Module):
    """Outputs (n, outputs) for examples x (n, *shape), and for one-hot classes y (n, num_classes) where it is conditional.

    `conditioning`: with `projection` (Miyato & Koyama 2018) the output is head(phi(x)) + e_y . phi(x), where phi are the features
    and e_y is learned, zero at first; with `concat` the classes are further channels of the input. `noise` has the standard
    deviations of Gaussian noise on the input and on the output of each layer.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        network: Literal["mlp", "conv"],
        widths: Sequence[int],
        *,
        outputs: int,
        num_classes: int,
        conditioning: Conditioning,
        normalisation: Normalisation,
        noise: tuple[float, float],
        negative_slope: float,
    ) -> None:
        super().__init__()
        self.needs_second_derivatives = False
        """Whether a penalty on its gradient is in a loss."""
        layers: list[nn.Module] = [GaussianNoise(noise[0])] if noise[0] else []
        if network == "mlp":
            layers.append(nn.Flatten())
            shape = (math.prod(shape),)
        if conditioning == "concat":
            shape = (shape[0] + num_classes, *shape[1:])
        affine, n = hidden_layers(shape, network, widths)
        for layer in affine:
            layers += [normalise_weights(layer, normalisation), nn.LeakyReLU(negative_slope)]
            layers += [GaussianNoise(noise[1])] if noise[1] else []
        if network == "conv":
            layers.append(nn.Flatten())
        self.conditioning, self.convolves = conditioning, network == "conv"
        self.features = nn.Sequential(*layers)
        self.head = normalise_weights(nn.Linear(n, outputs), normalisation, last=True)
        projects = num_classes and conditioning == "projection"
        self.embedding = nn.Linear(num_classes, n, bias=False) if projects else None
        if self.embedding is not None:
            nn.init.zeros_(self.embedding.weight)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if y is not None and self.conditioning == "concat":
            x = self.concatenate(x, y)
        phi = self.features(x)
        out: Tensor = self.head(phi)
        if self.embedding is not None and y is not None:
            out = out + (self.embedding(y) * phi).sum(1, keepdim=True)
        return out

    def concatenate(self, x: Tensor, y: Tensor) -> Tensor:
        """Examples with one-hot classes as further channels, each constant, or as further components of vectors."""
        if not self.convolves:
            return torch.cat([x.flatten(1), y], 1)
        return torch.cat([x, constant_channels(x, y)], 1)

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        """Data-dependent initialisation (Salimans & Kingma 2016): before its activation every layer's output has mean 0 and
        variance 1 on the examples x.
        """
        for layer in [*self.features, self.head]:
            if isinstance(layer, nn.Linear | ConvLayer):
                standardise_outputs(layer, x)
            x = layer(x)


def hidden_layers(
    shape: tuple[int, ...], network: Literal["mlp", "conv"], widths: Sequence[int]
) -> tuple[list[nn.Linear | ConvLayer], int]:
    """Affine layers from examples to features, full or convolutions that halve the sides, and the number of the features."""
    layers: list[nn.Linear | ConvLayer] = []
    for width in widths:
        if network == "mlp":
            layers.append(nn.Linear(math.prod(shape), width))
            shape = (width,)
        else:
            layers.append(FEW_CHANNEL_CONV[axes_of(shape)](shape[0], width, 4, stride=2, padding=1))
            shape = (width, *(side // 2 for side in shape[1:]))
    return layers, math.prod(shape)


def normalise_weights(layer: nn.Linear | ConvLayer, normalisation: Normalisation, last: bool = False) -> nn.Module:
    """`spectral`: largest singular value 1 (Miyato et al. 2018). `weight`: weight normalisation (weight_norm.py), in which only
    the `last` layer learns the norms.
    """
    if normalisation == "spectral":
        return spectral_norm(layer)
    return with_weight_norm(layer, SIGMA, learned=last) if normalisation == "weight" else layer


def architecture(data: DataSpec, network: Architecture) -> Literal["mlp", "conv"]:
    """`auto`: convolutions for pictures of 16 pixels a side and more, and for long curves.

    Raises GenlabError for convolutions of vectors.
    """
    if network == "auto":
        large = data.dim > LONG_CURVE if data.is_curve else data.is_image and min(data.shape[1:]) >= MIN_CONV_SIDE
        return "conv" if large else "mlp"
    if network == "conv" and not data.on_grid:
        raise GenlabError(f"model.network=conv: {data.name} holds vectors of {data.dim} numbers; set model.network=mlp")
    return network


def discriminator(
    data: DataSpec,
    network: Architecture,
    hidden: Sequence[int] | None,
    *,
    outputs: int = 1,
    num_classes: int = 0,
    conditioning: Conditioning = "projection",
    normalisation: Normalisation = "none",
    noise: tuple[float, float] = (0.0, 0.0),
    negative_slope: float = NEGATIVE_SLOPE,
) -> Discriminator:
    """(n, *data.shape) -> (n, outputs). `hidden` are widths, or channels from the largest picture to the smallest.

    `num_classes` is 0 for a discriminator that is not conditional. Raises GenlabError where `hidden` does not fit the data.
    """
    kind = architecture(data, network)
    widths = list(default_widths(data, kind, WIDTHS, SMALL_WIDTHS) if hidden is None else hidden)
    if kind == "conv":
        refuse_depth(data, widths, "critic_hidden")
    found = Discriminator(
        data.shape,
        kind,
        widths,
        outputs=outputs,
        num_classes=num_classes,
        conditioning=conditioning,
        normalisation=normalisation,
        noise=noise,
        negative_slope=negative_slope,
    )
    return note(found, network=kind, critic_hidden=widths)


def default_widths(
    data: DataSpec, kind: Literal["mlp", "conv"], large: dict[str, list[int]], small: list[int]
) -> list[int]:
    """`small` is for pictures below 16 pixels a side."""
    if not data.on_grid or (data.is_curve and kind == "mlp"):
        return VECTOR_WIDTHS
    return small if kind == "mlp" and data.dim < MIN_CONV_SIDE**2 else large[kind]


def refuse_depth(data: DataSpec, widths: Sequence[int], key: str) -> None:
    """Raises GenlabError for more convolutions, each of which halves the sides of a picture, than its sides allow."""
    if not widths or min(data.shape[1:]) < 2 ** len(widths):
        raise GenlabError(
            f"model.{key}={list(widths)}: each entry halves the sides of {data.shape[1:]}; name 1 or a few"
        )
