"""The gradient of a matrix that is a product of two thin ones. Plain gradient descent adds it without writing it first."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer


@dataclass(frozen=True)
class ProductGradient:
    """scale * x^T y is the gradient of `parameter`, (rows, columns), for x (n, rows) and y (n, columns)."""

    parameter: nn.Parameter
    x: Tensor
    y: Tensor
    scale: float

    def write(self) -> Tensor:
        """Write it into `parameter.grad`, and return it."""
        grad = gradient_of(self.parameter)
        return torch.addmm(grad, self.x.t(), self.y, beta=0, alpha=self.scale, out=grad)

    @torch.no_grad()
    def descend(self, group: dict[str, Any]) -> None:
        """One step of plain gradient descent, with the rate and the weight decay of the optimizer's `group`."""
        rate, decay = float(group["lr"]), float(group["weight_decay"])
        self.parameter.addmm_(self.x.t(), self.y, beta=1 - rate * decay, alpha=-rate * self.scale)
        self.parameter.grad = None  # so that the optimizer leaves it alone


def gradient_of(parameter: nn.Parameter) -> Tensor:
    """The memory of its gradient."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def group_of_plain_descent(optimizer: Optimizer, parameter: nn.Parameter) -> dict[str, Any] | None:
    """The group of `parameter` where a step only subtracts rate times gradient; None where it does more."""
    if not isinstance(optimizer, SGD) or optimizer.param_groups[0]["clip"] is not None:
        return None
    group = next(group for group in optimizer.param_groups if any(p is parameter for p in group["params"]))
    return None if group["momentum"] else group
