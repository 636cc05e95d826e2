"""Networks with one smooth number for each example, f(x): (n, *shape) -> (n,).

Chains follow the slope of f and score matching even differentiates it, so that activations without kinks serve best. No
normalisation by batches stands in them, which would make the energy of an example depend on the others.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.adversarial import Architecture, Bound, architecture, bounded, narrowing
from genlab.networks.mlp import ACTIVATIONS, Activation

CHANNELS = [16, 32, 64]
STEEP = 1.5  # in units of the start of He et al. (2015)
WIDTHS = {"vectors": [128, 128, 128], "pictures": [256, 256]}


class EnergyNetwork(nn.Module):
    """`features`, then one affine `head` that no autocast rounds: energies are compared with each other."""

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
        """Whether its slope is in a loss."""
        bound: Bound = "spectral" if spectral_norm else "none"
        layers: list[nn.Module] = [nn.Flatten()] if network == "mlp" else []
        affine, n = narrowing(shape, network, widths)
        for layer in affine:
            layers += [bounded(layer, bound), ACTIVATIONS[activation]()]
        if network == "conv":
            layers.append(nn.Flatten())
        self.features = nn.Sequential(*layers)
        self.head = bounded(nn.Linear(n, 1), bound)

    def forward(self, x: Tensor) -> Tensor:
        phi: Tensor = self.features(x)
        with torch.autocast(phi.device.type, enabled=False):
            out: Tensor = self.head(phi.to(next(self.head.parameters()).dtype)).squeeze(1)
        return out


def start_steep(layers: nn.Sequential) -> None:
    """Large weights, and first units that bend in different places: of few components f is to vary over short distances.

    From torch's own start an energy of points on a circle found the circle at once and its eight clusters not in 1,600 updates.
    """
    affine = [layer for layer in layers if isinstance(layer, nn.Linear)]
    for i, layer in enumerate(affine):
        nn.init.kaiming_normal_(layer.weight)
        with torch.no_grad():
            layer.weight.mul_(STEEP)
            layer.bias.uniform_(-1, 1) if i == 0 else layer.bias.zero_()


def energy_network(
    data: DataSpec, network: Architecture, hidden: Sequence[int] | None, activation: Activation, spectral_norm: bool
) -> EnergyNetwork:
    """`hidden` are widths, or channels of convolutions that halve the sides. Raises GenlabError where they do not fit."""
    kind = architecture(data, network)
    default = CHANNELS if kind == "conv" else WIDTHS["pictures" if data.is_image else "vectors"]
    widths = list(default if hidden is None else hidden)
    if kind == "conv" and (not widths or min(data.shape[1:]) < 2 ** len(widths)):
        raise GenlabError(f"model.hidden={widths}: each entry halves the sides of {data.shape[1:]}; name 1 or a few")
    made = EnergyNetwork(data.shape, kind, widths, activation, spectral_norm)
    if not data.is_image and not spectral_norm:
        start_steep(made.features)
    return made
