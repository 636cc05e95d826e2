"""Batch normalisation over the whole of a batch that several processes share.

torch's own (SyncBatchNorm) exists on GPUs only.
"""

from types import MethodType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from genlab.numerics import shares


def take_whole_batches(model: nn.Module) -> None:
    """Every batch normalisation within `model` takes the moments of all processes, where batches are dealt out."""
    for part in model.modules():
        if isinstance(part, _BatchNorm):
            part.forward = MethodType(_forward, part)  # type: ignore[method-assign]


def _forward(self: _BatchNorm, x: Tensor) -> Tensor:
    if shares.processes() == 1 or not self.training:
        return type(self).forward(self, x)
    x = x.float()
    axes = [0, *range(2, x.ndim)]
    along = [1, -1, *[1] * (x.ndim - 2)]
    mean, variance, n = shares.moments(x, axes)
    if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
        with torch.no_grad():
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach(), rate)
            self.running_var.lerp_(variance.detach() * n / max(1, n - 1), rate)
    scale = (variance + self.eps).rsqrt()
    if self.affine:
        scale = scale * self.weight
    shift = -mean * scale if not self.affine else self.bias - mean * scale
    return x * scale.view(along) + shift.view(along)
