"""A decoder that shares the weights of its encoder."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.networks.mlp import ACTIVATIONS, MLP, Activation


class Transposed(nn.Module):
    """h -> W^T h + b with the matrix W of `source` and a bias b of its own: (n, source's n_out) -> (n, source's n_in)."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        # In a tuple, so that parameters and state dict hold the weights once, as those of the encoder.
        self._source = (source,)
        self.bias = nn.Parameter(torch.zeros(source.in_features))

    @property
    def weight(self) -> Tensor:
        return self._source[0].weight.T

    def forward(self, h: Tensor) -> Tensor:
        return F.linear(h, self.weight, self.bias)


class TiedDecoder(nn.Module):
    """The layers of an encoder in reverse order, each with its weights transposed: (n, latent_dim) -> (n, *shape)."""

    def __init__(self, encoder: MLP, shape: tuple[int, ...], activation: Activation) -> None:
        super().__init__()
        sources = [layer for layer in encoder.layers if isinstance(layer, nn.Linear)]
        assert all(a.out_features == b.in_features for a, b in pairwise(sources)), "an MLP is a chain of affine layers"
        layers: list[nn.Module] = []
        for source in reversed(sources):
            layers += [Transposed(source), ACTIVATIONS[activation]()]
        self.layers, self.shape = nn.Sequential(*layers[:-1]), shape

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = self.layers(h).unflatten(1, self.shape)
        return out

    @property
    def last(self) -> Transposed:
        layer = self.layers[-1]
        assert isinstance(layer, Transposed)
        return layer
