"""Classes as one softmax unit among the visible units of a Boltzmann machine (Larochelle & Bengio 2008).

The visible units are v = (x, y), where y has one unit for each class and exactly one of them is 1. With z = b + u(x) W for the
components of x alone, and a_y and W_y for the bias and the weights of class y,

    F(x, y) = V(x) - a_y - sum_j log(1 + exp(z_j + W_yj)),
    p(y|x) = exp(-F(x, y)) / sum_y' exp(-F(x, y')),
    p(h_j = 1|x) = sum_y p(y|x) / (1 + exp(-(z_j + W_yj))).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.numerics.softplus import softplus


def class_units(x: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """Units (n, num_classes) of the type of x: 1 for the class y (n,); all 0 without y."""
    if y is None:
        return x.new_zeros(len(x), num_classes)
    return F.one_hot(y, num_classes).to(x.dtype)


def draw_classes(logits: Tensor, beta: float | Tensor = 1.0) -> None:
    """Replace `logits` (n, num_classes), which are log p(y|h) up to a constant, by units drawn at beta."""
    p = torch.softmax(logits * beta, 1)
    waits = torch.empty_like(p).exponential_()
    drawn = (p / waits).argmax(1, keepdim=True)  # of rates p the one whose wait ends first; no number goes to the CPU
    logits.zero_().scatter_(1, drawn, 1.0)


def class_free_energies(visible_energy: Tensor, z: Tensor, a: Tensor, W: Tensor) -> Tensor:
    """F(x, y) of every class, (n, num_classes), in nats.

    `visible_energy` (n,) is V(x), z is (n, hidden), and a (num_classes,) and W (num_classes, hidden) belong to the classes.
    """
    parts = [softplus(z + w).sum(1) for w in W]
    return visible_energy.unsqueeze(1) - a - torch.stack(parts, 1)


def hidden_means(p: Tensor, z: Tensor, W: Tensor) -> Tensor:
    """p(h_j = 1|x), (n, hidden), from p(y|x) (n, num_classes), z (n, hidden) and the weights W of the classes."""
    parts = [p[:, k : k + 1] * torch.sigmoid(z + w) for k, w in enumerate(W)]
    return torch.stack(parts).sum(0)
