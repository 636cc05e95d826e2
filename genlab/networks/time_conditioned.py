"""Networks that are conditioned on a level of noise: (x (n, *shape), u (n,), y (n, num_classes)) -> (n, *shape).

The level u lies in [0, 1]: it is the time of a flow, or a function of the noise. The classes y are one-hot, or None.
"""

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.autoencoders import fitting
from genlab.networks.axes import LONG_CURVE
from genlab.networks.choices import note
from genlab.networks.dropout import Dropout
from genlab.networks.noise_embedding import LevelEmbedding, Modulation, zero_initialised
from genlab.networks.transformer import HEAD_CHANNELS, Transformer
from genlab.networks.unet import GROUPS, HEADS, UNet

DenoiserNetwork = Literal["auto", "unet", "transformer", "mlp"]

LARGE = 16
"""Pixels a side. Pictures of at least this size are divided into larger patches."""
EMBEDDING = 128
FEW_COMPONENTS = 8
"""For up to so many components a perceptron sees their sines and cosines too: without them it learns fine structure slowly."""


class TimeConditionedMLP(nn.Module):
    """Residual layers of one width, h + affine(act(norm(h) scaled and shifted by the level)), for vectors or flat pictures."""

    def __init__(self, shape: tuple[int, ...], width: int, *, layers: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        dim = prod(shape)
        self.embedding = LevelEmbedding(EMBEDDING, num_classes)
        self.frequencies = [1.0, 2.0, 4.0] if dim <= FEW_COMPONENTS else []
        self.first = nn.Linear(dim * (1 + 2 * len(self.frequencies)), width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.modulations = nn.ModuleList(Modulation(EMBEDDING, width) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.dropout = Dropout(dropout)
        self.last = zero_initialised(nn.Linear(width, dim))

    def forward(self, x: Tensor, u: Tensor, y: Tensor | None = None) -> Tensor:
        embedding = self.embedding(u, y)
        flat = x.flatten(1)
        waves = [wave(k * flat) for k in self.frequencies for wave in (torch.sin, torch.cos)]
        h = self.first(torch.cat([flat, *waves], 1))
        for layer, modulation in zip(self.layers, self.modulations, strict=True):
            scale, shift = modulation(embedding)
            h = h + layer(self.dropout(F.silu(torch.addcmul(shift, self.norm(h), 1 + scale))))
        out: Tensor = self.last(F.silu(h))
        return out.view(x.shape)


def time_conditioned_network(
    data: DataSpec,
    network: DenoiserNetwork,
    hidden: Sequence[int] | None,
    *,
    patch: int | None,
    depth: int | None,
    num_classes: int,
    dropout: float,
    fourier: Sequence[int] = (),
) -> nn.Module:
    """`auto`: a U-Net for pictures and long curves, a perceptron for vectors and short curves.

    Raises GenlabError for a network that does not fit the data.
    """
    large = data.is_image or (data.is_curve and data.dim > LONG_CURVE)
    kind = network if network != "auto" else "unet" if large else "mlp"
    if kind != "mlp" and not data.on_grid:
        raise GenlabError(
            f"model.network={network}: {data.name} holds vectors of {data.dim} numbers; set model.network=mlp"
        )
    if kind == "mlp":
        if patch is not None:
            raise GenlabError(
                f"model.patch={patch}: a perceptron has no patches; set model.patch=null"
                + (", or model.network=unet" if data.on_grid else "")
            )
        if fourier:
            raise GenlabError(
                f"model.fourier={list(fourier)}: a perceptron takes no Fourier features; set model.fourier=null"
                + (", or model.network=unet" if data.on_grid else "")
            )
        width = _single(hidden, 128 if data.dim <= 32 else 512, "mlp")
        mlp = TimeConditionedMLP(data.shape, width, layers=depth or 4, num_classes=num_classes, dropout=dropout)
        return note(mlp, network=kind, hidden=[width], depth=depth or 4)
    side = min(data.shape[1:])
    if kind == "transformer":
        width = _single(hidden, 160, "transformer")
        if width % HEAD_CHANNELS:
            raise GenlabError(f"model.hidden=[{width}]: a transformer's width is a multiple of {HEAD_CHANNELS}")
        patch = patch or (4 if side >= LARGE else 2)
        transformer = Transformer(
            data.shape, width, patch=patch, layers=depth or 6, num_classes=num_classes, dropout=dropout, fourier=fourier
        )
        return note(transformer, network=kind, hidden=[width], depth=depth or 6, patch=patch)
    widths = list(hidden or fitting([64, 128] if side >= LARGE else [32, 64], side))
    unit = max(GROUPS, HEADS)
    if any(width % unit for width in widths):
        raise GenlabError(f"model.hidden={widths}: channels of a U-Net are multiples of {unit}")
    patch = patch or (2 if side >= LARGE else 1)
    if side < patch * 2 ** (len(widths) - 1):
        raise GenlabError(
            f"model.hidden={widths}: each entry after the first halves the sides of {data.shape[1:]}, and model.patch={patch} "
            "divides them first; name fewer"
        )
    unet = UNet(
        data.shape, widths, patch=patch, blocks=depth or 1, num_classes=num_classes, dropout=dropout, fourier=fourier
    )
    return note(unet, network=kind, hidden=widths, depth=depth or 1, patch=patch)


def _single(hidden: Sequence[int] | None, default: int, network: str) -> int:
    if hidden is None:
        return default
    if len(hidden) != 1:
        raise GenlabError(
            f"model.hidden={list(hidden)}: the layers of model.network={network} have one width, hidden=[{hidden[0]}]; "
            "their number is model.depth"
        )
    return hidden[0]
