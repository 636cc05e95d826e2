"""How a network is conditioned on the level of noise and on the class: an embedding, and layers that scale and shift by it."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv1d | nn.Conv2d)

FREQUENCIES = 32
LOWEST_FREQUENCY, HIGHEST_FREQUENCY = (
    1.0,
    500.0,
)  # radians over the range of levels: the least period is 1/80 of the range


class LevelEmbedding(nn.Module):
    """Levels u in [0, 1] (n,) and one-hot classes (n, num_classes) -> (n, width).

    Sines and cosines of u with frequencies in a geometric progression (Vaswani et al. 2017), then two affine layers. The classes
    are added to the output of the first layer. A row of zeros stands for no class.
    """

    frequencies: Tensor

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        spaced = torch.linspace(math.log(LOWEST_FREQUENCY), math.log(HIGHEST_FREQUENCY), FREQUENCIES).exp()
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
    """`parts` tensors (n, channels) of scales, shifts or gates from an embedding (n, width), 0 at first (Perez et al. 2018)."""

    def __init__(self, width: int, channels: int, parts: int = 2) -> None:
        super().__init__(width, parts * channels)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.parts = parts

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]  # the chunks of its output
        return super().forward(embedding).chunk(self.parts, 1)


def fourier_features(x: Tensor, fourier: Sequence[int]) -> Tensor:
    """(n, C, ...) -> (n, C (1 + 2 len(fourier)), ...): x, and sines and cosines of 2^k pi x for k in `fourier`.

    With them a network can distinguish values that are very close to each other. It must where the noise is less than the
    distance of two of 256 grey levels (Kingma et al. 2021).
    """
    if not fourier:
        return x
    angles = [2**k * math.pi * x for k in fourier]
    return torch.cat([x, *(angle.sin() for angle in angles), *(angle.cos() for angle in angles)], 1)


def zero_initialised(layer: Layer) -> Layer:
    """The layer with weights and biases 0, so that a residual branch adds nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
