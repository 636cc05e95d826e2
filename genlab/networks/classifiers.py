"""Networks of a classifier up to its last layer: feed-forward, convolutional, or recurrent over the rows of an image.

A curve is read by convolutions along its points, or by the recurrent network point by point.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal

from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.axes import BATCH_NORM, CONV, MAX_POOL, MEMORY, axes_of
from genlab.networks.choices import note
from genlab.networks.dropout import Dropout
from genlab.networks.mlp import ACTIVATIONS, Activation

ClassifierNetwork = Literal["auto", "ffnn", "cnn", "rnn"]

DEFAULT_HIDDEN = {"ffnn": [512, 256], "cnn": [32, 64, 128], "rnn": [128]}


class FFNN(nn.Module):
    """Affine layers, each followed by an activation and dropout: (n, *shape) -> (n, widths[-1])."""

    def __init__(self, dim: int, widths: Sequence[int], activation: Activation, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for n_in, n_out in pairwise([dim, *widths]):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[activation](), Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.width = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class CNN(nn.Module):
    """Convolutions, 3 wide, with batch normalisation, and an affine map to features: (n, C, ...) -> (n, widths[-1]).

    Each convolution is followed by max-pooling of 2 along each axis while all sides have 4 pixels or more. The last width is also
    the number of features. Images of 24 pixels a side and more are halved by the stride of the first convolution in the place of
    its pooling: the network is four times as fast, and its accuracy on MNIST does not change noticeably.
    """

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], activation: Activation, dropout: float) -> None:
        super().__init__()
        channels, sides, axes = shape[0], list(shape[1:]), axes_of(shape)
        layers: list[nn.Module] = []
        for i, n in enumerate(widths):
            halve = i == 0 and min(sides) >= 24
            kernel, stride = (4, 2) if halve else (3, 1)
            layers.append(CONV[axes](channels, n, kernel, stride=stride, padding=1, bias=False))
            layers += [BATCH_NORM[axes](n), ACTIVATIONS[activation]()]
            if halve:
                sides = [side // 2 for side in sides]
            elif min(sides) >= 4:
                layers.append(MAX_POOL[axes](2))
                sides = [side // 2 for side in sides]
            channels = n
        self.layers = nn.Sequential(*layers, nn.Flatten(), Dropout(dropout))
        self.memory = MEMORY[axes]
        self.layers.to(memory_format=self.memory)
        self.affine = nn.Sequential(nn.Linear(channels * prod(sides), widths[-1]), ACTIVATIONS[activation]())
        self.width = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.affine(self.layers(x.contiguous(memory_format=self.memory)))
        return out


class RNN(nn.Module):
    """Gated recurrent units (Cho et al. 2014) that read an image from top to bottom, one row a step, or a curve point by point.

    (n, C, ...) -> (n, widths[-1]), the last state, with a stacked layer for each width; the widths are equal.
    """

    def __init__(self, shape: tuple[int, ...], widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(shape[0] * prod(shape[2:]), widths[0], num_layers=len(widths), batch_first=True)
        self.dropout = Dropout(dropout)
        self.width = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        rows = x.transpose(1, 2).flatten(2)  # (n, H, C*W), or (n, L, C)
        _, states = self.gru(rows)
        out: Tensor = self.dropout(states[-1])
        return out


def classifier_network(
    data: DataSpec, network: ClassifierNetwork, hidden: Sequence[int] | None, activation: Activation, dropout: float
) -> FFNN | CNN | RNN:
    """A network (n, *shape) -> (n, width). `auto` takes a feed-forward network for vectors, else convolutions.

    Raises GenlabError where the network or its widths do not fit the data.
    """
    if network == "auto":
        network = "cnn" if data.on_grid else "ffnn"
    if network != "ffnn" and not data.on_grid:
        raise GenlabError(
            f"model.network={network}: {data.name} holds vectors of {data.dim} numbers; set model.network=ffnn"
        )
    widths = list(hidden or DEFAULT_HIDDEN[network])
    if network == "ffnn":
        return note(FFNN(data.dim, widths, activation, dropout), network=network, hidden=widths)
    if network == "cnn":
        return note(CNN(data.shape, widths, activation, dropout), network=network, hidden=widths)
    if len(set(widths)) > 1:
        raise GenlabError(f"model.hidden={widths}: the layers of a recurrent network have one width; repeat one number")
    return note(RNN(data.shape, widths, dropout), network=network, hidden=widths)
