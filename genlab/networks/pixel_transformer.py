"""A causal transformer over places (Chen et al. 2020; Vaswani et al. 2017): each attends to itself and to all earlier ones.

The input of a place is an affine map of the values of the place before it, a learned vector of its own and, where there are
classes, one of the class.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.causal_transformer import HEAD_WIDTH, Block
from genlab.networks.dropout import Dropout
from genlab.networks.place_networks import PlaceNetwork


class PixelTransformer(PlaceNetwork):
    def __init__(
        self,
        shape: tuple[int, ...],
        patch: int,
        width: int,
        depth: int,
        outputs: int,
        num_classes: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(shape, patch, width, outputs)
        self.width = width
        self.heads = next(heads for heads in range(max(1, width // HEAD_WIDTH), 0, -1) if width % heads == 0)
        self.embedding = nn.Linear(self.block, width)
        self.position = nn.Parameter(0.02 * torch.randn(self.places, width))
        self.of_class = nn.Linear(num_classes, width, bias=False) if num_classes else None
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, self.heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def features(self, values: Tensor, y: Tensor | None) -> Tensor:
        x = self.position + F.pad(self.embedding(values[:, :-1]), (0, 0, 1, 0))
        if self.of_class is not None:
            x = x + self.of_class(y).unsqueeze(1)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out

    def features_in_turn(self, values: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        """Keys and values of earlier places are kept."""
        n = len(values)
        shape = (n, self.heads, self.places, self.width // self.heads)
        caches = [(values.new_empty(shape), values.new_empty(shape)) for _ in self.blocks]
        of_class = None if self.of_class is None else self.of_class(y)
        for k in range(self.places):
            x = self.position[k].detach().expand(n, -1)
            if k > 0:
                x = x + self.embedding(values[:, k - 1])
            if of_class is not None:
                x = x + of_class
            x = x.unsqueeze(1)
            for block, cache in zip(self.blocks, caches, strict=True):
                assert isinstance(block, Block)
                x = block.step(x, k, cache)
            out: Tensor = self.norm(x[:, 0])
            yield out
