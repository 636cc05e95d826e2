"""Flows of pictures and curves at several scales (Dinh et al. 2017; Kingma & Dhariwal 2018).

At each scale neighbouring places become channels of one place (squeeze), the layers of the scale follow, and then half of the
channels are done: they are part of z (split). The next, coarser scale goes on with the rest. A coupling comes before each split,
so that what leaves is normalised given what stays. After its convolutions the coarsest scale may have dense layers, in which a
component depends on half of all others: so the strokes of a digit fit each other long before convolutions have learned it.

    squeeze  (n, C, H, W) -> (n, C p q, H/p, W/q), p and q the smallest prime factors of the sides: 2 where they are even
    z        the parts that left, from the finest scale to the coarsest, as one vector (n, D)
"""

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor, nn

from genlab.errors import GenlabError
from genlab.models.flows.couplings import kept_of
from genlab.models.flows.flow_layer import DataFlow, Stack

Shape = tuple[int, ...]
MOST_SCALES = 3  # where none are given


def smallest_factor(side: int) -> int:
    """The smallest prime factor of a side; 1 of 1."""
    return next((p for p in range(2, side + 1) if side % p == 0), 1)


def squeezed(shape: Shape) -> Shape:
    """Channels and sides after a squeeze."""
    factors = [smallest_factor(side) for side in shape[1:]]
    return (shape[0] * prod(factors), *(side // p for side, p in zip(shape[1:], factors, strict=True)))


def squeeze(x: Tensor) -> Tensor:
    """(n, C, ...) with smaller sides and more channels."""
    for axis in range(2, x.ndim):
        p = smallest_factor(x.shape[axis])
        x = x.unflatten(axis, (-1, p)).movedim(axis + 1, 2).flatten(1, 2)
    return x


def unsqueeze(x: Tensor, shape: Shape) -> Tensor:
    """The inverse of `squeeze` for states that had `shape`."""
    for axis in reversed(range(2, x.ndim)):
        p = smallest_factor(shape[axis - 1])
        x = x.unflatten(1, (-1, p)).movedim(2, axis + 1).flatten(axis, axis + 1)
    return x


def shapes_of(shape: Shape, scales: int | None) -> list[Shape]:
    """Shapes of the states before each scale is squeezed. By default as many as halve all sides, and one at least.

    Raises GenlabError where the sides are 1 before there are so many scales.
    """
    found = [shape]
    while len(found) < (scales or MOST_SCALES):
        channels, *sides = squeezed(found[-1])
        if scales is None and any(side % 2 or side < 4 for side in sides):
            break
        if max(sides) == 1:
            raise GenlabError(
                f"model.scales={scales}: pictures or curves of {' x '.join(map(str, shape[1:]))} have no more than "
                f"{len(found)}; set model.scales={len(found)}"
            )
        found.append((kept_of(channels), *sides))
    return found


class AsVectors(Stack):
    """Layers of vectors (n, D) that act on states (n, C, ...) of D components."""

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = super().forward(x.flatten(1), y)
        return z.reshape(x.shape), log_det

    def inverse(self, z: Tensor, y: Tensor | None) -> Tensor:
        return super().inverse(z.flatten(1), y).reshape(z.shape)

    def linear_inverse(self, z: Tensor, layers: int | None = None) -> Tensor:
        return super().linear_inverse(z.flatten(1), layers).reshape(z.shape)


class Multiscale(DataFlow):
    """States (n, *shape) to vectors z (n, D). `scales` are the layers of each scale, `shapes` as `shapes_of` gives them."""

    def __init__(self, shapes: Sequence[Shape], scales: Sequence[Stack]) -> None:
        super().__init__()
        self.shapes, self.scales = list(shapes), nn.ModuleList(scales)

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        total, parts = x.new_zeros(len(x)), []
        for scale in self.scales:
            x, log_det = scale(squeeze(x), y)
            total = total + log_det
            if scale is not self.scales[-1]:
                kept = kept_of(x.shape[1])
                parts.append(x[:, kept:].flatten(1))
                x = x[:, :kept]
        return torch.cat([*parts, x.flatten(1)], 1), total

    def inverse_states(self, z: Tensor, y: Tensor | None) -> Iterator[Tensor]:
        done = self.parts(z)
        state = done.pop()
        for k in reversed(range(len(self.scales))):
            scale = self.scales[k]
            assert isinstance(scale, Stack)
            for left, found in zip(reversed(range(len(scale.layers))), scale.inverse_states(state, y), strict=True):
                state = found
                yield self.joined(state, done, k, left)
            state = unsqueeze(state, self.shapes[k])
            if k:
                state = torch.cat([state, done.pop()], 1)

    def joined(self, state: Tensor, done: Sequence[Tensor], k: int, left: int | None) -> Tensor:
        """The state of scale k through the linear layers to come, `left` steps of this scale, with the parts that finer scales
        left: (n, *shape).
        """
        for j in reversed(range(k + 1)):
            scale = self.scales[j]
            assert isinstance(scale, Stack)
            state = scale.linear_inverse(state, left if j == k else None)
            state = unsqueeze(state, self.shapes[j])
            if j:
                state = torch.cat([state, done[j - 1]], 1)
        return state

    def parts(self, z: Tensor) -> list[Tensor]:
        """z (n, D) cut into what each scale left, with its channels and sides."""
        shapes = []
        for shape in map(squeezed, self.shapes):
            shapes.append((shape[0] - kept_of(shape[0]), *shape[1:]))
        shapes[-1] = squeezed(self.shapes[-1])
        return [
            part.unflatten(1, shape)
            for part, shape in zip(z.split([prod(shape) for shape in shapes], 1), shapes, strict=True)
        ]

    def linear_inverse(self, z: Tensor) -> Tensor:
        *done, state = self.parts(z)
        return self.joined(state, done, len(self.scales) - 1, None)
