"""The gradient of a matrix that is a product of two thin ones. Plain gradient descent adds it without writing it first."""

from dataclasses import dataclass

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


def gradient_of(parameter: nn.Parameter) -> Tensor:
    """The memory of its gradient."""
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


@torch.no_grad()
def descend(optimizer: Optimizer, product: ProductGradient) -> bool:
    """A step of `optimizer` where it only subtracts rate times gradient, `product` among them; False where it does more."""
    groups = optimizer.param_groups
    if not isinstance(optimizer, SGD) or groups[0]["momentum"] or groups[0]["clip"] is not None:
        return False
    for group in groups:
        rate, decay = group["lr"], float(group["weight_decay"])
        for parameter in group["params"]:
            if parameter is product.parameter:
                _subtract_product(product, rate, decay)
                parameter.grad = None  # it is not written
            elif parameter.grad is not None:
                if decay:
                    parameter.mul_(1 - rate * decay)
                if isinstance(rate, Tensor):
                    parameter.addcmul_(parameter.grad, rate, value=-1)
                else:
                    parameter.add_(parameter.grad, alpha=-rate)
    return True


def _subtract_product(product: ProductGradient, rate: float | Tensor, decay: float) -> None:
    """A rate in the memory of a GPU (training/cuda_graphs.py) cannot be a factor of the product itself."""
    W, x, y = product.parameter, product.x.t(), product.y
    if isinstance(rate, Tensor):
        if decay:
            W.mul_(1 - rate * decay)
        W.addmm_(x, y * (rate * -product.scale))
    else:
        W.addmm_(x, y, beta=1 - rate * decay, alpha=-rate * product.scale)
