"""Convolutions to and from few channels against torch's own, with first and second derivatives."""

import pytest
import torch
from torch import nn

from genlab.networks.few_channel_conv import Conv, TransposedConv


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(
    ("kernel", "padding", "extra"), [(3, 1, 1), (4, 1, 0), (3, (1, 1), (0, 1)), (4, (2, 1), (1, 0))]
)
@pytest.mark.parametrize("bias", [True, False])
def test_transposed_is_torchs(channels: int, kernel: int, padding: object, extra: object, bias: bool) -> None:
    torch.manual_seed(0)
    keys = {"stride": 2, "padding": padding, "output_padding": extra, "bias": bias}
    ours = TransposedConv(6, channels, kernel, **keys).double()  # type: ignore[arg-type]
    theirs = nn.ConvTranspose2d(6, channels, kernel, **keys).double()  # type: ignore[arg-type]
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(4, 6, 5, 7, dtype=torch.float64)
    assert_alike(ours, theirs, x)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("kernel", [3, 4])
def test_convolution_is_torchs(channels: int, kernel: int) -> None:
    torch.manual_seed(0)
    ours, theirs = (layer(channels, 6, kernel, stride=2, padding=1).double() for layer in (Conv, nn.Conv2d))
    theirs.load_state_dict(ours.state_dict())
    assert_alike(ours, theirs, torch.randn(4, channels, 9, 12, dtype=torch.float64))


def assert_alike(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> None:
    found = []
    for layer in (ours, theirs):
        z = x.clone().requires_grad_()
        out = layer(z)
        (first,) = torch.autograd.grad(out.square().sum(), z, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), [z, *layer.parameters()], allow_unused=True)
        found.append([out, first, *(g for g in second if g is not None)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))
