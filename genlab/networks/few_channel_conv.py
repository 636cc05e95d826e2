"""Convolutions from and to pictures of few channels, as matrix products and a sum over overlapping windows.

A CPU's convolution kernels are made for many channels at both ends. With one to three channels at one end, torch's transposed
convolution takes five times as long as the one here. So does the gradient of a convolution with respect to its input, which is a
transposed convolution too. The parameters are those of torch's own layers. On an accelerator torch's kernels are used.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEW_CHANNELS = 3


class TransposedConv(nn.ConvTranspose2d):
    """nn.ConvTranspose2d with padding by zeros and without groups or dilation."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if x.device.type != "cpu" or self.out_channels > FEW_CHANNELS:
            return super().forward(x, output_size)
        assert isinstance(self.padding, tuple)
        axes = zip(x.shape[2:], self.stride, self.padding, self.kernel_size, self.output_padding, strict=True)
        sides = [(n - 1) * stride - 2 * pad + kernel + extra for n, stride, pad, kernel, extra in axes]
        # A batch of products: torch.matmul would make one product of all examples, for which it copies x into another order.
        products = torch.bmm(self.weight.flatten(1).T.expand(len(x), -1, -1), x.flatten(2))
        windows = products.to(self.weight.dtype)
        out = F.fold(windows, tuple(sides), self.kernel_size, padding=self.padding, stride=self.stride)
        return out if self.bias is None else out + self.bias[:, None, None]


class Conv(nn.Conv2d):
    """nn.Conv2d with padding by zeros and without groups or dilation; faster where an input of one channel needs a gradient."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or self.in_channels > 1 or not (x.requires_grad and torch.is_grad_enabled()):
            return super().forward(x)
        assert isinstance(self.padding, tuple)
        axes = zip(x.shape[2:], self.stride, self.padding, self.kernel_size, strict=True)
        sides = [(n + 2 * pad - kernel) // stride + 1 for n, stride, pad, kernel in axes]
        windows = F.unfold(x, self.kernel_size, padding=self.padding, stride=self.stride)
        out: Tensor = torch.bmm(self.weight.flatten(1).expand(len(x), -1, -1), windows).unflatten(2, sides)
        return out if self.bias is None else out + self.bias[:, None, None]
