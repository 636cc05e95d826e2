"""A small transformer over patches, conditioned on a level of noise (Peebles & Xie 2023, DiT).

Patches of `patch` x `patch` pixels, or of `patch` points of a curve, are tokens. Nearly all of the arithmetic is in products of
large matrices, the fastest operation of any machine. The level scales, shifts and gates each residual branch, and the gates are 0
at first.
"""

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.axes import axes_of, cut, from_channels, padded, to_channels
from genlab.networks.dropout import Dropout
from genlab.networks.noise_embedding import LevelEmbedding, Modulation, fourier_features, zero_initialised

EMBEDDING = 256
HEAD_CHANNELS = 32


class Layer(nn.Module):
    """Attention and a perceptron of four times the width: (n, tokens, width) -> the same."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = width // HEAD_CHANNELS
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = Modulation(EMBEDDING, width, 6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale1, shift1, gate1, scale2, shift2, gate2 = (m.unsqueeze(1) for m in self.modulation(embedding))
        qkv = self.qkv(torch.addcmul(shift1, self.norm(x), 1 + scale1))
        q, k, v = qkv.unflatten(2, (3, self.heads, HEAD_CHANNELS)).permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = torch.addcmul(x, gate1, self.out(h))
        h = F.gelu(self.wide(torch.addcmul(shift2, self.norm(x), 1 + scale2)), approximate="tanh")
        out: Tensor = torch.addcmul(x, gate2, self.narrow(self.dropout(h)))
        return out


class Transformer(nn.Module):
    """(n, C, ...), levels (n,), one-hot classes (n, num_classes) or None -> (n, C, ...)."""

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int,
        *,
        patch: int,
        layers: int,
        num_classes: int,
        dropout: float,
        fourier: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.fourier = tuple(fourier)
        channels, *self.sides = shape
        self.patch = patch
        self.grid = [-(-side // patch) for side in self.sides]
        self.embedding = LevelEmbedding(EMBEDDING, num_classes)
        self.first = nn.Linear(channels * (1 + 2 * len(self.fourier)) * patch ** axes_of(shape), width)
        self.position_embedding = nn.Parameter(0.02 * torch.randn(prod(self.grid), width))
        self.layers = nn.ModuleList(Layer(width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = Modulation(EMBEDDING, width)
        self.last = zero_initialised(nn.Linear(width, channels * patch ** axes_of(shape)))

    def forward(self, x: Tensor, u: Tensor, y: Tensor | None = None) -> Tensor:
        embedding = self.embedding(u, y)
        patches = (
            to_channels(padded(fourier_features(x, self.fourier), self.patch), self.patch).flatten(2).transpose(1, 2)
        )
        h = self.first(patches) + self.position_embedding
        for layer in self.layers:
            h = layer(h, embedding)
        scale, shift = (m.unsqueeze(1) for m in self.modulation(embedding))
        h = self.last(torch.addcmul(shift, self.norm(h), 1 + scale))
        return cut(from_channels(h.transpose(1, 2).unflatten(2, self.grid), self.patch), self.sides)
