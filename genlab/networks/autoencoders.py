"""Encoders and decoders, chosen to suit the data specification."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.axes import LONG_CURVE, constant_channels
from genlab.networks.choices import note
from genlab.networks.conv import ConvDecoder, ConvEncoder
from genlab.networks.mlp import MLP, Activation
from genlab.networks.resnet import ResDecoder, ResEncoder
from genlab.networks.tied import TiedDecoder

Network = Literal["auto", "mlp", "conv", "resnet"]

CONV_WIDTHS = [32, 64, 128]


class VectorDecoder(nn.Module):
    """An MLP with `outputs` values for each component of the data: (n, n_in) -> (n, outputs*C, ...)."""

    def __init__(self, sizes: Sequence[int], outputs: int, shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        self.mlp = MLP(sizes, activation)
        self.shape = (outputs * shape[0], *shape[1:])

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.mlp(h).unflatten(1, self.shape)
        return out

    @property
    def last(self) -> nn.Linear:
        return self.mlp.last


Decoder = VectorDecoder | ConvDecoder | ResDecoder


def encoder_and_decoder(
    data: DataSpec,
    network: Network,
    hidden: Sequence[int] | None,
    *,
    default_hidden: Sequence[int],
    code: int,
    latent_dim: int,
    outputs: int,
    activation: Activation,
    num_classes: int = 0,
) -> tuple[nn.Module, Decoder]:
    """An encoder (n, *shape) -> (n, code) and the mirrored decoder (n, latent_dim) -> (n, outputs*C, ...).

    `auto` takes what `prefers_conv` says. `hidden` are the
    widths of the MLP's layers or the channels of the convolutions, from the data to the code; None for the default. Where
    `num_classes` > 0 both take examples and codes joined `with_classes`. Raises GenlabError where they do not fit the
    data.
    """
    if network == "auto":
        network = "conv" if prefers_conv(data) else "mlp"
    if network in ("conv", "resnet"):
        if not data.on_grid:
            raise GenlabError(
                f"model.network={network}: {data.name} holds vectors of {data.dim} numbers; set model.network=mlp"
            )
        widths = list(hidden or fitting(CONV_WIDTHS, min(data.shape[1:])))
        if min(data.shape[1:]) < 2 ** (len(widths) - 1):
            raise GenlabError(f"model.hidden={widths}: each entry halves the sides of {data.shape[1:]}; name fewer")
        output_shape = (outputs * data.shape[0], *data.shape[1:])
        input_shape = (data.shape[0] + num_classes, *data.shape[1:])
        if network == "resnet":
            return (
                note(ResEncoder(input_shape, widths, code, activation), network=network, hidden=widths),
                ResDecoder(latent_dim + num_classes, widths, output_shape, activation),
            )
        return (
            note(ConvEncoder(input_shape, widths, code, activation), network=network, hidden=widths),
            ConvDecoder(latent_dim + num_classes, widths, output_shape, activation),
        )
    widths = list(default_hidden if hidden is None else hidden)
    return (
        note(MLP([data.dim + num_classes, *widths, code], activation), network=network, hidden=widths),
        VectorDecoder(
            [latent_dim + num_classes, *reversed(widths), outputs * data.dim], outputs, data.shape, activation
        ),
    )


def prefers_conv(data: DataSpec) -> bool:
    """Whether `auto` takes convolutions: for pictures of several channels, for those larger than 32x32, and for long curves."""
    if data.is_curve:
        return data.dim > LONG_CURVE
    return data.is_image and (data.shape[0] > 1 or max(data.shape[1:]) > 32)


def fitting(widths: Sequence[int], side: int) -> list[int]:
    """The first of the default `widths`, no more of them than can halve a side."""
    return list(widths[: max(1, min(len(widths), side.bit_length()))])


def with_classes(x: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
    """Examples or codes x joined with one-hot classes y (n, num_classes) as `network` takes them; x itself where y is None.

    For convolutions classes are further channels of an example, constant over it; for other networks further components.
    """
    if y is None:
        return x
    if isinstance(network, ConvEncoder | ResEncoder):
        return torch.cat([x, constant_channels(x, y)], 1)
    return torch.cat([x.flatten(1), y], 1)


@torch.no_grad()
def set_output_bias(decoder: Decoder | TiedDecoder, out: Tensor) -> None:
    """Set the last bias such that the untrained decoder puts out `out`, of shape (outputs*C, ...), on average."""
    bias = decoder.last.bias
    assert bias is not None
    bias.copy_(out.flatten() if len(bias) == out.numel() else out.flatten(1).mean(1))
