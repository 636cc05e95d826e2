"""The causal network of a model: which one, and how large it is, where the user leaves it open."""

from collections.abc import Sequence
from typing import Literal

import torch

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.networks.causal import CausalNetwork
from genlab.networks.choices import note
from genlab.networks.gated_pixelcnn import GatedPixelCNN
from genlab.networks.masked_mlp import MaskedMLP
from genlab.networks.mlp import Activation
from genlab.networks.pixel_transformer import PixelTransformer

Network = Literal["auto", "made", "pixelcnn", "transformer"]

PATCHES, PLACES, COMPONENTS = (
    (4, 2),
    4,
    16,
)  # sides of a block; places along a side, and components of one, that it leaves
MOST_MASKED = 1024  # components of a vector or curve, above which the matrices of `made` become large
LARGE = 16  # sides of a picture from which the networks are wide and deep
ORDER_SEED = 0  # of random orders: they belong to the architecture


def causal_network(
    data: DataSpec,
    network: Network,
    hidden: Sequence[int] | None,
    *,
    outputs: int,
    activation: Activation,
    patch: int | None,
    masks: int,
    order: Literal["raster", "random"],
    dropout: float,
    num_classes: int,
) -> CausalNetwork:
    """The network for examples of these data. Raises GenlabError, before any training, for keys that it does not have."""
    if network == "auto":
        network = _suited(data, patch, masks, order)
    if network == "made":
        if patch is not None or dropout:
            key = f"model.patch={patch}" if patch is not None else f"model.dropout={dropout}"
            raise GenlabError(
                f"{key} acts in model.network=pixelcnn and transformer only; set one of these, or leave it out"
            )
        hidden = hidden or ([1024, 1024] if data.on_grid and data.dim > LARGE**2 else [256, 256])
        components = torch.arange(data.dim)
        if order == "random":
            components = torch.randperm(data.dim, generator=torch.Generator().manual_seed(ORDER_SEED))
        made = MaskedMLP(
            components,
            hidden,
            outputs,
            activation,
            num_classes,
            masks=masks,
            shuffle=order == "random",
            seed=ORDER_SEED + 1,
        )
        return note(made, network=network, hidden=list(hidden))
    if masks > 1 or order != "raster":
        key = f"model.masks={masks}" if masks > 1 else f"model.order={order}"
        raise GenlabError(f"{key} needs a masked perceptron; set model.network=made, or leave it out")
    if network == "pixelcnn" and not data.is_image:
        raise GenlabError(
            f"model.network=pixelcnn needs pictures, and dataset={data.name} has {data.kind}; set model.network=made, or "
            "transformer"
        )
    large = data.on_grid and min(data.shape[1:]) >= LARGE
    if not hidden:
        hidden = ([64] * 6 if large else [32] * 4) if network == "pixelcnn" else [128] * 4 if large else [64] * 3
    if len(set(hidden)) > 1:
        raise GenlabError(
            f"model.hidden={list(hidden)}: the layers of a {network} add up, so all have one width; set "
            f"model.hidden={[hidden[0]] * len(hidden)}"
        )
    kind = GatedPixelCNN if network == "pixelcnn" else PixelTransformer
    patch = _block(data, patch)
    found = kind(data.shape, patch, hidden[0], len(hidden), outputs, num_classes, dropout)
    return note(found, network=network, hidden=list(hidden), patch=patch)


def _suited(data: DataSpec, patch: int | None, masks: int, order: str) -> Network:
    """The network for `auto`: the one that has the keys that are set, and that suits the data."""
    if masks > 1 or order != "raster":
        return "made"
    if data.is_image:
        return "pixelcnn"
    return "transformer" if patch is not None or data.dim > MOST_MASKED else "made"


def _block(data: DataSpec, patch: int | None) -> int:
    """Pixels along each side of a place."""
    sides = data.shape[1:]
    if patch is None and not sides:
        return 1
    if patch is None:
        fitting = [
            p
            for p in PATCHES
            if all(side % p == 0 and side // p >= PLACES for side in sides) and data.shape[0] * p**2 <= COMPONENTS
        ]
        return fitting[0] if fitting else 1
    if patch > 1 and (not sides or any(side % patch for side in sides)):
        size = "x".join(map(str, sides)) if sides else f"{data.dim} components"
        fitting = [p for p in range(1, 9) if all(side % p == 0 for side in sides)] if sides else [1]
        raise GenlabError(f"model.patch={patch} does not divide examples of {size}; set model.patch to {_or(fitting)}")
    return patch


def _or(numbers: Sequence[int]) -> str:
    return " or ".join(map(str, numbers))
