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

from genlab.networks.noise_embedding import LevelEmbedding, Modulation, fourier_features, zero_initialised

EMBEDDING = 256
GROUPS = 8
HEADS = 4


class Block(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))) scaled and shifted by the level)), 3x3: (n, width, H, W) -> the same."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, width), nn.GroupNorm(GROUPS, width)
        self.conv1, self.conv2 = (
            nn.Conv2d(width, width, 3, padding=1),
            zero_initialised(nn.Conv2d(width, width, 3, padding=1)),
        )
        self.modulation = Modulation(EMBEDDING, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)
        h = self.conv1(F.silu(self.norm1(x)))
        h = torch.addcmul(shift[:, :, None, None], self.norm2(h), 1 + scale[:, :, None, None])
        out: Tensor = x + self.conv2(self.dropout(F.silu(h)))
        return out


class Blocks(nn.ModuleList):
    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        for block in self:
            x = block(x, embedding)
        return x


class Attention(nn.Module):
    """Every pixel attends to all pixels: x + attention(norm(x)), (n, width, H, W) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), zero_initialised(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).view(n, 3 * HEADS, channels // HEADS, height * width).transpose(2, 3)
        h = F.scaled_dot_product_attention(*qkv.chunk(3, 1)).transpose(2, 3).reshape(n, channels, height, width)
        out: Tensor = x + self.out(h)
        return out


class UNet(nn.Module):
    """(n, C, H, W), levels (n,), one-hot classes (n, num_classes) or None -> (n, C, H, W)."""

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
        self.fourier = tuple(fourier)
        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)
        self.embedding = LevelEmbedding(EMBEDDING, num_classes)
        self.first = nn.Conv2d(channels * (1 + 2 * len(self.fourier)) * patch**2, widths[0], 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow, self.join = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for width in widths:
            self.down.append(Blocks(Block(width, dropout) for _ in range(blocks)))
            self.up.append(Blocks(Block(width, dropout) for _ in range(blocks)))
        for fine, coarse in pairwise(widths):
            self.shrink.append(nn.Conv2d(4 * fine, coarse, 1))
            self.grow.append(nn.Conv2d(coarse, 4 * fine, 1))
            self.join.append(nn.Conv2d(2 * fine, fine, 1))
        self.middle = Attention(widths[-1])
        self.last_norm = nn.GroupNorm(GROUPS, widths[0])
        self.last = zero_initialised(nn.Conv2d(widths[0], channels * patch**2, 3, padding=1))

    def forward(self, x: Tensor, u: Tensor, y: Tensor | None = None) -> Tensor:
        embedding = self.embedding(u, y)
        height, width = self.sides
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        h = self.first(F.pixel_unshuffle(F.pad(fourier_features(x, self.fourier), padding), self.patch))
        skips: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            if level:
                skips.append(h)
                h = self.shrink[level - 1](F.pixel_unshuffle(h, 2))
            h = blocks(h, embedding)
        h = self.middle(h)
        for level in reversed(range(len(self.up))):
            h = self.up[level](h, embedding)
            if level:
                h = F.pixel_shuffle(self.grow[level - 1](h), 2)
                h = self.join[level - 1](torch.cat([h, skips.pop()], 1))
        out: Tensor = F.pixel_shuffle(self.last(F.silu(self.last_norm(h))), self.patch)
        return out[:, :, :height, :width]
