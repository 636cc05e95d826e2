"""A program, the function of tensors that is exported, and what programs of several families share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genlab.models.base import Model
from genlab.models.conditioning import one_hot


@dataclass(frozen=True)
class Program:
    """A function of tensors, with what each of them is."""

    function: Callable[..., Any]
    inputs: dict[str, tuple[Tensor, str]]
    """Name -> an example (2, ...) of it, and its meaning."""
    outputs: dict[str, str]
    """Name -> meaning."""
    kind: str
    """Of drawing samples with it (drawing.py)."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Numbers that drawing samples takes."""
    beside: dict[str, "Program"] = field(default_factory=dict)
    """File name -> another program that drawing samples takes."""
    codes: Tensor | None = None
    """Draws of p(h), where that is no standard density."""

    def examples(self) -> tuple[Tensor, ...]:
        return tuple(example for example, _ in self.inputs.values())

    def module(self, model: nn.Module) -> nn.Module:
        """The function as a module that holds the parameters of `model`."""
        return Wrapped(model, self.function)


class Wrapped(nn.Module):
    def __init__(self, model: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def example_of(model: Model, meaning: str = "examples in the units of the data") -> tuple[Tensor, str]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, *model.data.shape, generator=generator)
    return (x > 0.5).float() if model.data.support == "binary" else x, f"{meaning}, {shape_of(model.data.shape)}"


def noise_of(*shape: int) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))


def shape_of(shape: Sequence[int]) -> str:
    return f"(n, {', '.join(map(str, shape))})"


def classes_of(model: Any) -> dict[str, tuple[Tensor, str]]:
    """The input of classes, for a conditional model."""
    k = int(getattr(model, "num_classes", 0) or 0)
    labels = one_hot(torch.tensor([0, 1 % max(k, 1)]), k)
    return {} if labels is None else {"y": (labels, f"classes as 0 and 1, (n, {k})")}


def scale_of(model: Any) -> dict[str, Any]:
    """Whether examples are shift + scale u of inner units u, by the tensors scaling.shift and scaling.scale."""
    return {"identity": bool(model.scaling.identity), "support": model.data.support, "shape": list(model.data.shape)}
