"""Networks that are told a level of noise: (x, u, y) -> the shape of x. u (n,) runs over [0, 1], y (n, classes) is one-hot or
None."""

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.noise_embedding import LevelEmbedding, Modulation, zeroed
from genlab.networks.transformer import PER_HEAD, Transformer
from genlab.networks.unet import GROUPS, HEADS, UNet

DenoiserNetwork = Literal["auto", "unet", "transformer", "mlp"]

LARGE = 16  # pixels a side from which on the full resolution is left at once
EMBEDDING = 128
FEW = (
    8  # components, of which a perceptron sees sines and cosines too: it is slow to learn what is finer than its units
)


class TimeConditionedMLP(nn.Module):
    """Residual layers of one width: x + affine(act(norm(x) scaled and shifted by the level)), of vectors or of flattened
    pictures."""

    def __init__(self, shape: tuple[int, ...], width: int, *, layers: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        dim = prod(shape)
        self.embedding = LevelEmbedding(EMBEDDING, num_classes)
        self.waves = [1.0, 2.0, 4.0] if dim <= FEW else []
        self.first = nn.Linear(dim * (1 + 2 * len(self.waves)), width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.modulations = nn.ModuleList(Modulation(EMBEDDING, width) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.dropout = nn.Dropout(dropout)
        self.last = zeroed(nn.Linear(width, dim))

    def forward(self, x: Tensor, u: Tensor, y: Tensor | None = None) -> Tensor:
        embedding = self.embedding(u, y)
        seen = x.flatten(1)
        waves = [wave(k * seen) for k in self.waves for wave in (torch.sin, torch.cos)]
        h = self.first(torch.cat([seen, *waves], 1))
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
    """`auto`: a U-Net for pictures, a perceptron for vectors. Raises GenlabError for what does not fit the data."""
    kind = network if network != "auto" else "unet" if data.is_image else "mlp"
    if kind != "mlp" and not data.is_image:
        raise GenlabError(
            f"model.network={network}: {data.name} holds vectors of {data.dim} numbers; set model.network=mlp"
        )
    if kind == "mlp":
        if patch is not None:
            raise GenlabError(f"model.patch={patch}: a perceptron has no patches; set model.patch=null")
        if fourier:
            raise GenlabError(
                f"model.fourier={list(fourier)}: networks of pictures see such waves; set model.fourier=null, or "
                "model.network=unet"
            )
        width = _single(hidden, 128 if data.dim <= 32 else 512, "mlp")
        return TimeConditionedMLP(data.shape, width, layers=depth or 4, num_classes=num_classes, dropout=dropout)
    side = min(data.shape[1:])
    if kind == "transformer":
        width = _single(hidden, 160, "transformer")
        if width % PER_HEAD:
            raise GenlabError(f"model.hidden=[{width}]: a transformer's width is a multiple of {PER_HEAD}")
        patch = patch or (4 if side >= LARGE else 2)
        return Transformer(
            data.shape, width, patch=patch, layers=depth or 6, num_classes=num_classes, dropout=dropout, fourier=fourier
        )
    widths = list(hidden or ([64, 128] if side >= LARGE else [32, 64]))
    unit = max(GROUPS, HEADS)
    if any(width % unit for width in widths):
        raise GenlabError(f"model.hidden={widths}: channels of a U-Net are multiples of {unit}")
    patch = patch or (2 if side >= LARGE else 1)
    if side < patch * 2 ** (len(widths) - 1):
        raise GenlabError(
            f"model.hidden={widths}: each entry after the first halves the sides of {data.shape[1:]}, and model.patch={patch} "
            "divides them first; name fewer"
        )
    return UNet(
        data.shape, widths, patch=patch, blocks=depth or 1, num_classes=num_classes, dropout=dropout, fourier=fourier
    )


def _single(hidden: Sequence[int] | None, default: int, network: str) -> int:
    if hidden is None:
        return default
    if len(hidden) != 1:
        raise GenlabError(
            f"model.hidden={list(hidden)}: the layers of model.network={network} have one width, hidden=[{hidden[0]}]; "
            "their number is model.depth"
        )
    return hidden[0]
