"""A flow from the keys of its configuration: a step is a normalisation, a linear map and a layer; steps follow each other.

coupling                steps of vectors, with perceptrons
autoregressive          masked layers of vectors (MAF); inverse_autoregressive: the other way round (IAF)
multiscale              steps of pictures or curves at several scales, with convolutions (Glow), and then dense ones, couplings
                        with perceptrons, of all that the coarsest scale leaves
"""

from math import prod
from typing import Annotated, Literal, NotRequired, TypedDict

import torch
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, Share, Widths
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.flows.activation_norm import ActivationNorm
from genlab.models.flows.autoregressive_layers import Autoregressive
from genlab.models.flows.couplings import Coupling, kept_of
from genlab.models.flows.elementwise import Affine, Elementwise, Transform, elementwise
from genlab.models.flows.flow_layer import DataFlow, Flat, FlowLayer, Inverse, Stack
from genlab.models.flows.linear_maps import Mixing, linear_map
from genlab.models.flows.multiscale import AsVectors, Multiscale, Shape, shapes_of, squeezed
from genlab.networks.axes import axes_of
from genlab.networks.choices import note
from genlab.networks.conditioners import GridConditioner, VectorConditioner
from genlab.networks.masked_mlp import MaskedMLP
from genlab.networks.mlp import Activation

Layers = Literal["auto", "coupling", "autoregressive", "inverse_autoregressive", "multiscale"]

MOST_SPLINES = 256  # components, where `auto` takes splines: above, more affine layers are better after the same time
NOISE_WIDTHS = [32, 32]  # of the network of the noise, which sees all pixels at the finest scale
DROPOUT = 0.1  # in convolutions of few components, unless set
DENSE = 8  # dense couplings, unless set
MOST_DENSE = 4_096  # components that have any, unless set
MOST_BOUND = 100.0  # of a spline, in standard deviations
MOST_BINS = 500  # of which each has a least width
MOST_SEQUENTIAL = 128  # components of a likelihood that takes a pass of the network for each


class FlowKeys(TypedDict):
    """Keys of the flow itself."""

    layers: Layers
    transform: Literal["auto"] | Transform
    mixing: Literal["auto"] | Mixing
    depth: Count | None
    scales: Count | None
    dense: NotRequired[Literal["auto"] | Annotated[int, Field(ge=0)]]
    """Of a run from before this key: none, and dropout whatever the number of components."""
    hidden: Widths | None
    activation: Activation
    dropout: Share | None
    activation_norm: bool
    bins: Count | None
    bound: Annotated[float, Field(gt=0, le=MOST_BOUND)]


def build_flow(data: DataSpec, num_classes: int, keys: FlowKeys) -> DataFlow:
    """Raises GenlabError for keys that do not fit the data or each other."""
    layers = keys["layers"]
    if layers == "auto":
        layers = "multiscale" if data.on_grid else "coupling"
    if layers == "multiscale" and not data.on_grid:
        raise GenlabError("model.layers=multiscale needs pictures or curves; set model.layers=coupling")
    if layers == "inverse_autoregressive" and data.dim > MOST_SEQUENTIAL:
        raise GenlabError(
            f"model.layers=inverse_autoregressive takes a pass of each network for each of {data.dim} components in every "
            "update; set model.layers=autoregressive"
        )
    if keys["scales"] is not None and layers != "multiscale":
        raise GenlabError(f"model.scales={keys['scales']} is for model.layers=multiscale; leave it out")
    if keys.get("dense", "auto") not in ("auto", None, 0) and layers != "multiscale":
        raise GenlabError(f"model.dense={keys['dense']} is for model.layers=multiscale; leave it out")
    if keys["dropout"] is not None and layers != "multiscale":
        raise GenlabError(f"model.dropout={keys['dropout']} is for model.layers=multiscale; leave it out")
    transform = keys["transform"]
    if transform == "auto":
        couples = layers in ("coupling", "multiscale")
        transform = "spline" if couples and data.dim <= MOST_SPLINES else "affine"
    if keys["bins"] is not None and transform == "affine":
        raise GenlabError(f"model.bins={keys['bins']} is for model.transform=spline; set that, or leave model.bins out")
    bins = keys["bins"] or (8 if data.on_grid else 16)
    if not 2 <= bins <= MOST_BINS:
        raise GenlabError(f"model.bins={bins}: a spline has 2 to {MOST_BINS} bins; set model.bins=8")
    build = Builder(keys, elementwise(transform, bins, keys["bound"]), num_classes)
    flow: DataFlow
    if layers == "multiscale":
        flow = build.multiscale(data.shape)
    elif layers == "coupling":
        flow = build.couplings(data.shape, data.dim)
    else:
        flow = build.autoregressive(data.shape, data.dim, inverse=layers == "inverse_autoregressive")
    return note(flow, layers=layers, transform=transform, **build.chosen)


class Builder:
    """`transform` is the map of each component."""

    def __init__(self, keys: FlowKeys, transform: Elementwise, num_classes: int) -> None:
        self.keys, self.transform, self.num_classes = keys, transform, num_classes
        self.chosen: dict[str, object] = {}
        """What stands for keys that the user leaves open."""

    def size(self, depth: int, hidden: list[int], mixing: Mixing) -> tuple[int, list[int]]:
        """Layers, and widths of their networks: those of the keys, or else these."""
        depth, hidden = self.keys["depth"] or depth, list(self.keys["hidden"] or hidden)
        self.chosen = {"depth": depth, "hidden": hidden, "mixing": mixing}
        return depth, hidden

    def step(self, channels: int, layer: FlowLayer, mixing: Mixing) -> Stack:
        chosen = self.keys["mixing"]
        norm: list[FlowLayer] = [ActivationNorm(channels)] if self.keys["activation_norm"] else []
        return Stack([*norm, *linear_map(mixing if chosen == "auto" else chosen, channels), layer])

    def couplings(self, shape: Shape, dim: int) -> Flat:
        mixing: Mixing = "lu" if dim <= MOST_SEQUENTIAL else "permutation"
        depth, hidden = self.size(6, [64, 64], mixing)
        return Flat(shape, [self.coupling(dim, hidden, mixing) for _ in range(depth)])

    def coupling(self, dim: int, hidden: list[int], mixing: Mixing) -> Stack:
        """A step of vectors with a perceptron of these widths."""
        kept, keys = kept_of(dim), self.keys
        network = VectorConditioner(
            kept, dim - kept, self.transform.count, hidden, keys["activation"], self.num_classes
        )
        return self.step(dim, Coupling(kept, self.transform, network), mixing)

    def autoregressive(self, shape: Shape, dim: int, *, inverse: bool) -> Flat:
        depth, hidden = self.size(5, [128, 128], "reverse")
        order, steps = torch.arange(dim), []
        for _ in range(depth):
            network = MaskedMLP(
                order, hidden, self.transform.count, self.keys["activation"], self.num_classes, direct=False
            )
            layer: FlowLayer = Autoregressive(self.transform, network)
            steps.append(self.step(dim, Inverse(layer) if inverse else layer, "reverse"))
        return Flat(shape, steps)

    def multiscale(self, shape: Shape) -> Multiscale:
        shapes, scales = shapes_of(shape, self.keys["scales"]), []
        left, affine = prod(squeezed(shapes[-1])), isinstance(self.transform, Affine)
        dense = self.keys.get("dense") or 0
        if dense == "auto":  # few components are soon known by heart, and many take large matrices
            dense = DENSE if affine and left <= MOST_DENSE else 0
        depth, hidden = self.size((3 if dense else 6) if affine else 4, [64, 64], "lu")
        dropout = self.keys["dropout"]
        if dropout is None:
            few = prod(shape) <= MOST_SPLINES
            dropout = DROPOUT if few or self.keys.get("dense") is None else 0.0
        self.chosen |= {"scales": len(shapes), "dense": dense, "dropout": dropout}
        for before in shapes:
            channels = squeezed(before)[0]
            kept, steps = kept_of(channels), []
            for _ in range(depth):
                network = GridConditioner(
                    kept,
                    channels - kept,
                    self.transform.count,
                    hidden,
                    self.keys["activation"],
                    self.num_classes,
                    axes_of(shape),
                    dropout,
                )
                steps.append(self.step(channels, Coupling(kept, self.transform, network), "lu"))
            scales.append(steps)
        width = min(512, max(64, 2 * left))
        scales[-1] += [AsVectors([self.coupling(left, [width, width], "permutation")]) for _ in range(dense)]
        return Multiscale(shapes, [Stack(steps) for steps in scales])


class NoiseConditioner(nn.Module):
    """Two numbers for each component from a whole example, for variational dequantisation: (n, *shape) -> (n, 2, *shape)."""

    def __init__(self, data: DataSpec, activation: Activation) -> None:
        super().__init__()
        self.shape, hidden = data.shape, NOISE_WIDTHS
        self.network: nn.Module = (
            GridConditioner(data.shape[0], data.shape[0], 2, hidden, activation, 0, axes_of(data.shape))
            if data.on_grid
            else VectorConditioner(data.dim, data.dim, 2, hidden, activation, 0)
        )

    def forward(self, x: Tensor) -> Tensor:
        numbers: Tensor = self.network(x, None)
        return numbers.unflatten(2, self.shape) if len(self.shape) == 1 else numbers
