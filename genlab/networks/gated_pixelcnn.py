"""Gated PixelCNN (van den Oord et al. 2016): causal convolutions in two stacks, so that no earlier place is unseen.

The vertical stack sees all rows above, the horizontal stack the places to the left in the same row and, at every layer, what the
vertical stack has found there:

    v <- v + W (a * sigmoid(b)),    (a, b) = convolution of v over the row itself and the one above, 3 wide
    h <- h + W (a * sigmoid(b)),    (a, b) = convolution of h over the place itself and the one to its left, + W' (a, b) of v

The first layers are shifted: by a row down for v, and by a place to the right for h. They read the values. A single stack with
masked kernels has a blind spot to the right of the place in the rows above. The gate is a linear one (Dauphin et al. 2017) in
the place of tanh(a) sigmoid(b). Each place has a learned vector of its own, so that a layer knows where it is. A class adds a
bias to every gate.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.place_networks import PlaceNetwork

REACH = 3  # rows above and places to each side that the first layers read


class GatedLayer(nn.Module):
    def __init__(self, width: int, num_classes: int, *, last: bool) -> None:
        """The vertical stack of the `last` layer ends in what it gives to the horizontal one."""
        super().__init__()
        self.vertical = nn.Conv2d(width, 2 * width, (2, 3))
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = nn.Conv2d(width, 2 * width, (1, 2))
        self.v_out = None if last else nn.Conv2d(width, width, 1)
        self.h_out = nn.Conv2d(width, width, 1)
        self.of_class = nn.Linear(num_classes, 4 * width, bias=False) if num_classes else None

    def forward(self, v: Tensor, h: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """v and h (n, width, rows, columns) -> the same."""
        v_out, given = self.vertical_step(F.pad(v, (1, 1, 1, 0)), y)
        v = v if v_out is None else v + v_out
        sums = self.horizontal(F.pad(h, (1, 0))) + given
        out: Tensor = h + self.h_out(gated(sums))
        return v, out

    def vertical_step(self, v: Tensor, y: Tensor | None) -> tuple[Tensor | None, Tensor]:
        """Padded v (n, width, rows + 1, columns + 2) -> what is added to v, and to the sums of the horizontal stack."""
        sums = self.vertical(v)
        of_class = None if self.of_class is None else self.of_class(y)[:, :, None, None].chunk(2, 1)
        given: Tensor = self.across(sums)
        if of_class is not None:
            sums, given = sums + of_class[0], given + of_class[1]
        return None if self.v_out is None else self.v_out(gated(sums)), given


def gated(sums: Tensor) -> Tensor:
    return F.glu(sums, 1)


def _bias(layer: nn.Conv2d) -> Tensor:
    assert layer.bias is not None, "every convolution here has one"
    return layer.bias


class GatedPixelCNN(PlaceNetwork):
    """p(u) of pictures, with `depth` layers after the first."""

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
        # A channel of ones says where the picture ends: zeros around it are no values.
        self.v_first = nn.Conv2d(self.block + 1, width, (REACH, 2 * REACH + 1))
        self.h_first = nn.Conv2d(self.block + 1, width, (1, REACH))
        self.position = nn.Parameter(torch.zeros(width, *self.sides))
        self.layers = nn.ModuleList(GatedLayer(width, num_classes, last=k == depth - 1) for k in range(depth))
        self.dropout = nn.Dropout2d(dropout)

    @property
    def gated_layers(self) -> list[GatedLayer]:
        return [layer for layer in self.layers if isinstance(layer, GatedLayer)]

    def features(self, values: Tensor, y: Tensor | None) -> Tensor:
        x = self._framed(values)
        v: Tensor = self.v_first(F.pad(x[:, :, :-1], (REACH, REACH, REACH, 0))) + self.position
        h: Tensor = self.h_first(F.pad(x[..., :-1], (REACH, 0))) + self.position
        for layer in self.gated_layers:
            v, h = layer(v, self.dropout(h), y)
        return h.flatten(2).transpose(1, 2)

    def _framed(self, values: Tensor) -> Tensor:
        """Values (n, places, B) and a channel of ones, (n, B + 1, rows, columns)."""
        x = values.transpose(1, 2).unflatten(2, self.sides)
        return torch.cat([x, torch.ones_like(x[:, :1])], 1)

    def features_in_turn(self, values: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        """The vertical stack row by row, of which each layer keeps the last row; the horizontal one place by place."""
        rows, columns = self.sides
        n, layers = len(values), self.gated_layers
        depth = len(layers)
        rows_before = [values.new_zeros(n, self.width, 1, columns) for _ in range(depth)]
        taps = [layer.horizontal.weight[:, :, 0].permute(2, 1, 0).flatten(0, 1).contiguous() for layer in layers]
        outs = [layer.h_out.weight[:, :, 0, 0].t().contiguous() for layer in layers]
        first = self.h_first.weight[:, :, 0].permute(2, 1, 0).flatten(0, 1).contiguous()  # (REACH * (B + 1), width)
        for r in range(rows):
            x = self._framed(values)
            above = F.pad(x[:, :, max(0, r - REACH) : r], (REACH, REACH, max(0, REACH - r), 0))
            v = self.v_first(above) + self.position[:, r : r + 1]
            given = []
            for k, layer in enumerate(layers):
                added, to_h = layer.vertical_step(F.pad(torch.cat([rows_before[k], v], 2), (1, 1)), y)
                rows_before[k] = v
                given.append((to_h + _bias(layer.horizontal)[:, None, None])[:, :, 0].permute(2, 0, 1).contiguous())
                v = v if added is None else v + added
            start = (_bias(self.h_first)[:, None] + self.position[:, r]).t()
            before = [
                values.new_zeros(n, self.width) for _ in range(depth)
            ]  # h of each layer, at the place to the left
            left = values.new_zeros(n, REACH, self.block + 1)
            for c in range(columns):
                h = torch.addmm(start[c], left.flatten(1), first)
                for k, layer in enumerate(layers):
                    sums = torch.addmm(given[k][c], torch.cat([before[k], h], 1), taps[k])
                    before[k] = h
                    h = torch.addmm(_bias(layer.h_out), F.glu(sums, 1), outs[k]) + h
                yield h
                here = torch.cat([values[:, r * columns + c], values.new_ones(n, 1)], 1)
                left = torch.cat([left[:, 1:], here.unsqueeze(1)], 1)
