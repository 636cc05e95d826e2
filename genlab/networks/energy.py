"""Networks with one smooth output for each example, f(x): (n, *shape) -> (n,).

Chains follow the gradient of f, and score matching even differentiates it. So smooth activations serve best. There is no batch
normalisation, which would make the energy of an example depend on the others.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.networks.choices import note
from genlab.networks.discriminators import (
    Architecture,
    Normalisation,
    architecture,
    hidden_layers,
    normalise_weights,
    refuse_depth,
)
from genlab.networks.mlp import ACTIVATIONS, Activation

CHANNELS = [16, 32, 64]
WIDTHS = {"vectors": [128, 128, 128], "pictures": [256, 256]}
GAIN = 1.5  # of the first weights of `initialise_steep`, in units of those of He et al. (2015)


class EnergyNetwork(nn.Module):
    """`features`, then one affine `head` in single precision under autocast too, because differences of energies matter."""

    def __init__(
        self,
        shape: tuple[int, ...],
        network: Literal["mlp", "conv"],
        widths: Sequence[int],
        activation: Activation,
        spectral_norm: bool,
    ) -> None:
        super().__init__()
        self.needs_second_derivatives = False
        """Whether its gradient is in a loss."""
        normalisation: Normalisation = "spectral" if spectral_norm else "none"
        layers: list[nn.Module] = [nn.Flatten()] if network == "mlp" else []
        affine, n = hidden_layers(shape, network, widths)
        for layer in affine:
            layers += [normalise_weights(layer, normalisation), ACTIVATIONS[activation]()]
        if network == "conv":
            layers.append(nn.Flatten())
        self.features = nn.Sequential(*layers)
        self.head = normalise_weights(nn.Linear(n, 1), normalisation)

    def forward(self, x: Tensor) -> Tensor:
        phi: Tensor = self.features(x)
        with torch.autocast(phi.device.type, enabled=False):
            out: Tensor = self.head(phi.to(next(self.head.parameters()).dtype)).squeeze(1)
        return out


def initialise_steep(layers: nn.Sequential) -> None:
    """Large first weights, and random biases of the first layer: f of few components can vary over short distances.

    Example: with torch's own initialisation an energy of eight clusters on a circle found the circle at once, but not the
    clusters in 1,600 updates.
    """
    affine = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for i, layer in enumerate(affine):
        nn.init.kaiming_normal_(layer.weight)
        with torch.no_grad():
            layer.weight.mul_(GAIN)
            layer.bias.uniform_(-1, 1) if i == 0 else layer.bias.zero_()


def energy_network(
    data: DataSpec, network: Architecture, hidden: Sequence[int] | None, activation: Activation, spectral_norm: bool
) -> EnergyNetwork:
    """`hidden` are widths, or channels of convolutions that halve the sides. Raises GenlabError where they do not fit."""
    kind = architecture(data, network)
    default = CHANNELS if kind == "conv" else WIDTHS["pictures" if data.is_image else "vectors"]
    widths = list(default if hidden is None else hidden)
    if kind == "conv":
        refuse_depth(data, widths, "hidden")
    built = note(EnergyNetwork(data.shape, kind, widths, activation, spectral_norm), network=kind, hidden=widths)
    if kind == "mlp" and not data.is_image and not spectral_norm:
        initialise_steep(built.features)
    return built
