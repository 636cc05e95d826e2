"""The network of diffusion and flow models: it sees x, a level of noise, and the class where the model is conditional.

Classifier-free guidance (Ho & Salimans 2022): for a share `label_dropout` of the examples the class is withheld, so that one
network predicts for p(x) and for p(x|y). Samples are guided to a class with a weight w,

    prediction(x) + w (prediction(x, y) - prediction(x)),    w = 1: p(x|y) itself, w = 0: p(x).
"""

from typing import Annotated, NotRequired, TypedDict, Unpack

import torch
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, Fraction, Share, Widths
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.time_conditioned import DenoiserNetwork, time_conditioned_network

EMA_REACH = 0.1
"""Share of a short training over which the running average of the parameters reaches: it forgets the start of the training."""


class NetworkArguments(TypedDict):
    """What conf/model/diffusion.yaml and conf/model/flow_matching.yaml have in common."""

    network: DenoiserNetwork
    hidden: Widths | None
    patch: Count | None
    depth: Count | None
    dropout: Share
    average: Share
    """Decay of the running average that samples and is evaluated; 0 for none."""
    conditional: bool
    label_dropout: Fraction


class FourierArguments(NetworkArguments):
    """With the Fourier features of Kingma et al. (2021); runs older than this key have none."""

    fourier: NotRequired[Annotated[list[Annotated[int, Field(ge=0, le=12)]], Field(min_length=1)] | None]


def build_network(data: DataSpec, num_classes: int, **arguments: Unpack[FourierArguments]) -> nn.Module:
    """(x (n, *shape), u (n,) in [0, 1], one-hot y (n, num_classes) or None) -> (n, *shape)."""
    return time_conditioned_network(
        data,
        arguments["network"],
        arguments["hidden"],
        patch=arguments["patch"],
        depth=arguments["depth"],
        num_classes=num_classes,
        dropout=arguments["dropout"],
        fourier=arguments.get("fourier") or (),
    )


def drop_labels(y: Tensor | None, probability: float) -> Tensor | None:
    """One-hot classes (n, num_classes), with each example's class set to 0 with that probability."""
    if y is None:
        return None
    kept = torch.rand(len(y), 1, device=y.device) >= probability
    return y * kept.float()


def guided(network: nn.Module, x: Tensor, u: Tensor, y: Tensor | None = None, guidance: float = 1.0) -> Tensor:
    """The prediction of `network` for x (n, *shape) at levels u (n,), guided to the classes y."""
    if y is None or guidance == 1:
        out: Tensor = network(x, u, y).float()
        return out
    both = network(torch.cat([x, x]), torch.cat([u, u]), torch.cat([y, torch.zeros_like(y)])).float()
    conditional, unconditional = both.chunk(2)
    return torch.lerp(unconditional, conditional, guidance)


def guidance_weight(guidance: float | None, num_classes: int) -> float:
    """1 where none is set. Raises GenlabError for a model without classes."""
    if guidance is not None and not num_classes:
        raise GenlabError(
            f"guidance={guidance}: this model is not conditioned on classes; train with model.conditional=true"
        )
    return 1.0 if guidance is None else guidance
