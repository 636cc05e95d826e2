"""A U-Net conditioned on a level of noise (Ronneberger et al. 2015; Ho et al. 2020), which is fast on a CPU too.

The cost of a convolution is proportional to the number of pixels, so the network does not work at full resolution: `patch` x
`patch` pixels become channels of one pixel, and pixels again at the end (Shi et al. 2016). Every further width halves the sides.
On the way up a resolution also sees its own output of the way down, by a skip connection and a 1x1 convolution.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.axes import CONV, MEMORY, along, axes_of, cut, from_channels, padded, to_channels
from genlab.networks.dropout import Dropout
from genlab.networks.noise_embedding import LevelEmbedding, Modulation, fourier_features, zero_initialised

EMBEDDING = 256
GROUPS = 8
HEADS = 4


class Block(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))) scaled and shifted by the level)), 3 wide: (n, width, ...) -> the same."""

    def __init__(self, width: int, dropout: float, axes: int) -> None:
        super().__init__()
        self.axes, conv = axes, CONV[axes]
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = (
            conv(width, width, 3, padding=1),
            zero_initialised(conv(width, width, 3, padding=1)),
        )
        self.modulation = Modulation(EMBEDDING, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)
        h = self.conv1(F.silu(self.norm1(x)))
        h = torch.addcmul(along(shift, self.axes), self.norm2(h), 1 + along(scale, self.axes))
        out: Tensor = x + self.conv2(self.dropout(F.silu(h)))
        return out


class Blocks(nn.ModuleList):
    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for block in self:
            x = block(x, embedding)
        return x


class Attention(nn.Module):
    """Every place attends to all places: x + attention(norm(x)), (n, width, ...) -> the same."""

    def __init__(self, width: int, axes: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        conv = CONV[axes]
        self.qkv, self.out = conv(width, 3 * width, 1), zero_initialised(conv(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x)).view(len(x), 3 * HEADS, x.shape[1] // HEADS, -1).transpose(2, 3)
        h = F.scaled_dot_product_attention(*qkv.chunk(3, 1)).transpose(2, 3).reshape(x.shape)
        out: Tensor = x + self.out(h)
        return out


class UNet(nn.Module):
    """(n, C, ...), levels (n,), one-hot classes (n, num_classes) or None -> (n, C, ...)."""

    def __init__(
        self,
        shape: tuple[int, ...],
        widths: Sequence[int],
        *,
        patch: int,
        blocks: int,
        num_classes: int,
        dropout: float,
        fourier: Sequence[int] = (),
    ) -> None:
        super().__init__()
        channels, *self.sides = shape
        axes = axes_of(shape)
        conv = CONV[axes]
        self.fourier = tuple(fourier)
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)
        self.embedding = LevelEmbedding(EMBEDDING, num_classes)
        self.first = conv(channels * (1 + 2 * len(self.fourier)) * patch**axes, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for width in widths:
            self.down.append(Blocks(Block(width, dropout, axes) for _ in range(blocks)))
            self.up.append(Blocks(Block(width, dropout, axes) for _ in range(blocks)))
        for fine, coarse in pairwise(widths):
            self.shrink.append(conv(2**axes * fine, coarse, 1))
            self.grow.append(conv(coarse, 2**axes * fine, 1))
            self.join.append(conv(2 * fine, fine, 1))
        self.middle = Attention(widths[-1], axes)
        self.last_norm = nn.GroupNorm(GROUPS, widths[0])
        self.last = zero_initialised(conv(widths[0], channels * patch**axes, 3, padding=1))
        self.memory = MEMORY[axes]
        self.to(memory_format=self.memory)

    def forward(self, x: Tensor, u: Tensor, y: Tensor | None = None) -> Tensor:
        embedding = self.embedding(u, y)
        places = to_channels(padded(fourier_features(x, self.fourier), self.multiple), self.patch)
        h = self.first(places.contiguous(memory_format=self.memory))
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            if level:
                skips.append(h)
                h = self.shrink[level - 1](to_channels(h, 2))
            h = blocks(h, embedding)
        h = self.middle(h)
        for level in reversed(range(len(self.up))):
            h = self.up[level](h, embedding)
            if level:
                h = from_channels(self.grow[level - 1](h), 2)
                h = self.join[level - 1](torch.cat([h, skips.pop()], 1))
        out = from_channels(self.last(F.silu(self.last_norm(h))), self.patch)
        return cut(out, self.sides)
