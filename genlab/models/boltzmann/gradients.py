"""The gradient of -log p of a restricted Boltzmann machine, from the units of both phases.

One matrix product gives the statistics of the data and of the model at once, since the units of both phases lie in one array.
The centred gradient (Montavon & Mueller 2012; Melchior et al. 2016) measures u from the offset mu and h from the offset lambda.
Two more rows of that array hold the outer products that centre the statistics, so that they join the same matrix product.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genlab.models.base import Metrics
from genlab.numerics import shares
from genlab.optimizers.product_gradient import ProductGradient, gradient_of


class Phases:
    """u(v) and p(h|v) of n examples and of the m states of the model, row by row in one array each."""

    def __init__(self, n: int, m: int, u: Tensor, h: Tensor) -> None:
        """`u` (n + m + 2, visible) and `h` (n + m + 2, hidden) are memory to be written."""
        self.n, self.m, self.u, self.h = n, m, u, h
        self.u_data, self.h_data = u[:n], h[:n]
        self.u_model, self.h_model = u[n : n + m], h[n : n + m]


@dataclass(frozen=True)
class Centring:
    """Offsets mu (visible,) of u and lambda (hidden,) of h."""

    mu: Tensor
    lam: Tensor


@dataclass(frozen=True)
class Sparsity:
    """The penalty weight/2 sum_j (<h_j>_data - target)^2."""

    weight: float
    target: float


@dataclass(frozen=True)
class Statistics:
    """What the gradients were made of."""

    h_data: Tensor
    """Mean of p(h|v) over the data, (hidden,)."""
    du: Tensor
    """<u>_data - <u>_model, (visible,)."""
    dh: Tensor
    """<h>_data - <h>_model, (hidden,), the push of the sparsity included."""
    weights: ProductGradient
    """The gradient of W, which is not written yet."""
    metrics: Metrics


def write_gradients(
    phases: Phases,
    W: nn.Parameter,
    a: nn.Parameter,
    b: nn.Parameter,
    centring: Centring | None,
    sparsity: Sparsity | None,
    workspace: Callable[..., Tensor],
) -> Statistics:
    """The gradient of -log p by W; those by a and b are written into `a.grad` and `b.grad`. The units of `phases` are used up.

    They are minus these, with mu = lam = 0 for the standard gradient and strength = 0 without sparsity:

        h_data = h_data - strength * (h_data.mean(0) - target) * h_data * (1 - h_data)
        dW = (u_data - mu).T @ (h_data - lam) / n - (u_model - mu).T @ (h_model - lam) / m
        da = u_data.mean(0) - u_model.mean(0) - dW @ lam
        db = h_data.mean(0) - h_model.mean(0) - dW.T @ mu
    """
    n, m, u, h = phases.n, phases.m, phases.u, phases.h
    share = workspace("share", n + m)  # times the rows, it averages: the data, or the data minus the model
    share[:n], share[n:] = 1 / n, -1 / m
    h_mean = shares.whole_mean(share[:n] @ phases.h_data)
    du, dh = share @ u[: n + m], share @ h[: n + m]
    metrics = {
        "hidden_activity": h_mean.mean(),
        "visible_gap": du.square().mean().sqrt_(),
        "hidden_gap": dh.square().mean().sqrt_(),
    }
    phases.h_model.mul_(-n / m)
    if sparsity is not None:
        push = sparsity.weight * (h_mean - sparsity.target) * phases.h_data * (1 - phases.h_data)
        phases.h_data.sub_(push)
        dh = dh - push.mean(0)
    rows = n + m
    if centring is not None:
        rows += 2
        u[-2], u[-1] = centring.mu, du
        torch.mul(dh, -n, out=h[-2])
        torch.mul(centring.lam, -n, out=h[-1])
    weights = ProductGradient(W, u[:rows], h[:rows], -1 / n)
    torch.neg(du, out=gradient_of(a))
    torch.neg(dh, out=gradient_of(b))
    if centring is not None:
        # dW lambda and mu dW, by way of the few rows that made dW
        gradient_of(a).addmv_(u[:rows].t(), h[:rows] @ centring.lam, alpha=1 / n)
        gradient_of(b).addmv_(h[:rows].t(), u[:rows] @ centring.mu, alpha=1 / n)
    return Statistics(h_mean, du, dh, weights, metrics)
