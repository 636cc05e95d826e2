"""A trunk: the layers of a trained model from which a classifier starts, with the scale on which they see the data.

Unsupervised pretraining (Hinton & Salakhutdinov 2006; Erhan et al. 2010) starts a classifier from features that a generative
model or an autoencoder learned from unlabelled data. The features are those of the last layer before the code: on MNIST a
classifier needs fewer labels with this hidden layer than with the code.
"""

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from genlab.config.schema import build
from genlab.data.spec import DataSpec
from genlab.optimizers.recipe import Recipe


class Trunk(nn.Module):
    """x -> layers((x - shift) / scale), then dropout: (n, *shape) -> (n, width). Its layers are copies of those of the model."""

    shift: Tensor
    scale: Tensor

    def __init__(self, layers: nn.Module, shift: Tensor, scale: Tensor, shape: tuple[int, ...]) -> None:
        """`shift` and `scale` broadcast over an example of shape `shape`."""
        super().__init__()
        self.layers = copy.deepcopy(layers).requires_grad_(True)
        self.register_buffer("shift", shift.detach().clone())
        self.register_buffer("scale", scale.detach().clone())
        self.dropout = nn.Dropout(0.0)
        with torch.no_grad():
            self.width: int = self.eval()(torch.zeros(1, *shape, device=shift.device)).shape[1]
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.layers((x - self.shift) / self.scale).flatten(1))
        return out

    def reinitialise(self) -> None:
        """Random parameters in every layer, as torch draws them."""
        for layer in self.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()

    def copy_from(self, other: "Trunk", *, scale_only: bool) -> None:
        """Copy the parameters of `other`, of the same architecture, and its shift and scale; or only these."""
        self.shift.copy_(other.shift)
        self.scale.copy_(other.scale)
        if not scale_only:
            self.layers.load_state_dict(other.layers.state_dict())


def trunk_of(model: nn.Module) -> Trunk | None:
    """The trunk of `model`: its own `trunk()`, or its `encoder` with the `scaling` of the data before it; None for neither."""
    own = getattr(model, "trunk", None)
    if callable(own):
        found: Trunk = own()
        return found
    encoder, scaling = getattr(model, "encoder", None), getattr(model, "scaling", None)
    if not isinstance(encoder, nn.Module):
        return None
    # Without a scaling the encoder sees the data as they are.
    shift, scale = (torch.zeros(()), torch.ones(())) if scaling is None else scaling.shift_and_scale
    assert isinstance(model.data, DataSpec), "every model has the specification of its data"
    return Trunk(before_code(encoder), shift, scale, model.data.shape)


def before_code(encoder: nn.Module) -> nn.Module:
    """The encoder up to its last hidden layer; all of it where there is none."""
    layers = getattr(encoder, "layers", None)
    if not isinstance(layers, nn.Sequential) or not isinstance(layers[-1], nn.Linear):
        return encoder
    learned = any(True for layer in layers[:-1] for _ in layer.parameters())
    return layers[:-1] if learned else encoder


def affine(weight: Tensor, bias: Tensor, *after: nn.Module) -> nn.Sequential:
    """x W + b of the flattened input, with W (n_in, n_out), and the layers `after` it."""
    layer = nn.Linear(*weight.shape)
    with torch.no_grad():
        layer.weight.copy_(weight.t())
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(), layer, *after)


OF_VALUES = ("mean", "std", "class_names", "component_names", "units")
"""What of a specification decides no architecture."""


def describe(model: Mapping[str, Any], data: DataSpec) -> dict[str, Any]:
    """Plain containers from which `rebuild` makes the architecture: the model's section, and its data without their moments."""
    facts = {f.name: getattr(data, f.name) for f in fields(DataSpec) if f.name not in OF_VALUES}
    return {"model": dict(model), "data": facts | {"shape": list(data.shape)}}


def rebuild(described: Mapping[str, Any], optimizer: Recipe, dropout: float) -> Trunk:
    """The trunk of a model of this description, with random parameters and with dropout at its end; needs no run."""
    facts = described["data"]
    shape = tuple(facts["shape"])
    data = DataSpec.from_state_dict({**facts, "mean": torch.full(shape, 0.5), "std": torch.ones(shape)})
    trunk = trunk_of(build(described["model"], "model.trunk.model", data=data, optimizer=optimizer))
    assert trunk is not None, "what was described has a trunk"
    trunk.reinitialise()
    trunk.dropout.p = dropout
    return trunk
