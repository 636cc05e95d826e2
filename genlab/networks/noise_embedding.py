"""How a network is told the level of noise, and the class: an embedding, and layers that it scales and shifts; and what it sees
beside the data."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

FREQUENCIES = 32
LOWEST, HIGHEST = 1.0, 500.0  # radians over the range of levels; the least period is a hundredth of it


class LevelEmbedding(nn.Module):
    """Levels u in [0, 1] (n,) and one-hot classes (n, classes) -> (n, width).

    Sines and cosines of u with frequencies in a geometric progression (Vaswani et al. 2017), then two affine layers; classes are
    added to the first one's output. All classes 0 means that none is told.
    """

    frequencies: Tensor

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        spaced = torch.linspace(math.log(LOWEST), math.log(HIGHEST), FREQUENCIES).exp()
        self.register_buffer("frequencies", spaced, persistent=False)
        self.first = nn.Linear(2 * FREQUENCIES, width)
        self.class_embedding = nn.Linear(num_classes, width, bias=False) if num_classes else None
        self.second = nn.Linear(width, width)

    def forward(self, u: Tensor, y: Tensor | None) -> Tensor:
        angles = u[:, None] * self.frequencies
        h = self.first(torch.cat([angles.sin(), angles.cos()], 1))
        if self.class_embedding is not None and y is not None:
            h = h + self.class_embedding(y)
        out: Tensor = F.silu(self.second(F.silu(h)))
        return out


class Modulation(nn.Linear):
    """Scale and shift of so many channels from an embedding (Perez et al. 2018): none at first."""

    def __init__(self, width: int, channels: int, parts: int = 2) -> None:
        super().__init__(width, parts * channels)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.parts = parts

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]  # the chunks of its output
        return super().forward(embedding).chunk(self.parts, 1)


def with_waves(x: Tensor, fourier: Sequence[int]) -> Tensor:
    """(n, C, H, W) -> (n, C (1 + 2 len(fourier)), H, W): x, and sines and cosines of 2^k pi x for k in `fourier`.

    A network that sees them can tell values that are much closer to each other than all of them are wide, as it must where the
    noise is less than one of 256 grey values (Kingma et al. 2021).
    """
    if not fourier:
        return x
    angles = [2**k * math.pi * x for k in fourier]
    return torch.cat([x, *(angle.sin() for angle in angles), *(angle.cos() for angle in angles)], 1)


def zeroed(layer: Layer) -> Layer:
    """With weights and biases 0, so that a residual branch is nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
