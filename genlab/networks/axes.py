"""Layers for examples along one axis (curves: channels, points) and along two (images: channels, height, width).

The networks are written once for both. What they take of torch has one name for each number of axes.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.few_channel_conv import Conv, TransposedConv

ConvLayer = nn.Conv1d | nn.Conv2d
TransposedLayer = nn.ConvTranspose1d | nn.ConvTranspose2d

LONG_CURVE = 1024
"""Numbers in a curve, above which `auto` takes convolutions: there the first layer of an MLP would have most of the parameters.

Below an MLP is better after the same time: on sines of 100 points a VAE reaches a bound of 86 nats in 8 s, and -18 nats in 18 s
with convolutions; samples of a GAN differ from sines by 0.006 of their variance after 12 s, and by 0.2 after 45 s.
"""

CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
FEW_CHANNEL_CONV: dict[int, type[nn.Conv1d] | type[Conv]] = {1: nn.Conv1d, 2: Conv}
TRANSPOSED: dict[int, Callable[..., TransposedLayer]] = {1: nn.ConvTranspose1d, 2: TransposedConv}
BATCH_NORM: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
MAX_POOL: dict[int, type[nn.MaxPool1d] | type[nn.MaxPool2d]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d}


MEMORY: dict[int, torch.memory_format] = {1: torch.contiguous_format, 2: torch.channels_last}
"""Of images the channels of a pixel side by side: convolutions and pooling of a CPU are faster by 2 to 30 % in all."""


def axes_of(shape: Sequence[int]) -> int:
    """Number of axes of an example of shape (C, ...) beside its channels."""
    return len(shape) - 1


def along(values: Tensor, axes: int) -> Tensor:
    """Values (n, width) for each channel, such that they broadcast over (n, width, ...) with so many axes."""
    return values.view(*values.shape, *[1] * axes)


def constant_channels(x: Tensor, y: Tensor) -> Tensor:
    """y (n, K) as channels beside those of x (n, C, ...), each constant: (n, K, ...)."""
    axes = x.ndim - 2
    return along(y, axes).expand(-1, -1, *x.shape[2:])


def to_channels(x: Tensor, patch: int) -> Tensor:
    """The `patch` places along every axis as channels of one place (Shi et al. 2016): (n, C, ...) -> (n, C patch^axes, ...)."""
    if x.ndim == 4:
        channels: Tensor = F.pixel_unshuffle(x, patch)
    else:
        channels = x.unflatten(2, (-1, patch)).transpose(2, 3).flatten(1, 2)
    return channels


def from_channels(x: Tensor, patch: int) -> Tensor:
    """The inverse of `to_channels`."""
    if x.ndim == 4:
        places: Tensor = F.pixel_shuffle(x, patch)
    else:
        places = x.unflatten(1, (-1, patch)).transpose(2, 3).flatten(2, 3)
    return places


def padded(x: Tensor, multiple: int) -> Tensor:
    """x (n, C, ...) with zeros at the ends of its axes, up to multiples of `multiple`."""
    return F.pad(x, [pad for side in reversed(x.shape[2:]) for pad in (0, -side % multiple)])


def cut(x: Tensor, sides: Sequence[int]) -> Tensor:
    """The first places of x (n, C, ...) along each axis, so many as `sides` say."""
    for axis, side in enumerate(sides, 2):
        x = x.narrow(axis, 0, side)
    return x
