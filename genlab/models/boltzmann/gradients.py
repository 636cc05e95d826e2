"""The gradient of -log p of a restricted Boltzmann machine, from the units of both phases.

One matrix product gives the statistics of the data and of the model at once, since the units of both phases lie in one array.
The centred gradient (Montavon & Mueller 2012; Melchior et al. 2016) measures u from the offset mu and h from the offset lambda.
Two more rows of that array hold the outer products that centre the statistics, so that they join the same matrix product.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genlab.models.base import Metrics
from genlab.numerics import shares
from genlab.optimizers.product_gradient import ProductGradient, gradient_of


class Phases:
    """u(v) and p(h|v) of n examples and of the m states of the model, row by row in one array each: memory to be written."""

    def __init__(self, n: int, m: int, W: Tensor) -> None:
        visible, hidden = W.shape
        self.n, self.m, self.u, self.h = n, m, W.new_zeros(n + m + 2, visible), W.new_zeros(n + m + 2, hidden)
        self.u_data, self.h_data = self.u[:n], self.h[:n]
        self.u_model, self.h_model = self.u[n : n + m], self.h[n : n + m]
        self.states = self.u[: n + m], self.h[: n + m]
        self.shares = W.new_zeros(2, n + m)
        """Times the states, means: of the data, and of the data minus that of the model."""
        self.shares[:, :n] = 1 / n
        self.shares[1, n:] = -1 / m


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
) -> Statistics:
    """The gradient of -log p by W; those by a and b are written into `a.grad` and `b.grad`. The units of `phases` are used up.

    They are minus these, with mu = lam = 0 for the standard gradient and strength = 0 without sparsity:

        h_data = h_data - strength * (h_data.mean(0) - target) * h_data * (1 - h_data)
        dW = (u_data - mu).T @ (h_data - lam) / n - (u_model - mu).T @ (h_model - lam) / m
        da = u_data.mean(0) - u_model.mean(0) - dW @ lam
        db = h_data.mean(0) - h_model.mean(0) - dW.T @ mu
    """
    n, m, u, h = phases.n, phases.m, phases.u, phases.h
    units, means = phases.states
    du = phases.shares[1] @ units
    h_mean, dh = (phases.shares @ means).unbind()
    h_mean = shares.whole_mean(h_mean)
    metrics = {
        "hidden_activity": h_mean.mean(),
        "visible_gap": torch.linalg.vector_norm(du).div_(math.sqrt(len(du))),
        "hidden_gap": torch.linalg.vector_norm(dh).div_(math.sqrt(len(dh))),
    }
    phases.h_model.mul_(-n / m)
    if sparsity is not None:
        push = sparsity.weight * (h_mean - sparsity.target) * phases.h_data * (1 - phases.h_data)
        phases.h_data.sub_(push)
        dh = dh - push.mean(0)
    if centring is not None:
        units, means = u, h
        u[-2], u[-1] = centring.mu, du
        torch.mul(dh, -n, out=h[-2])
        torch.mul(centring.lam, -n, out=h[-1])
    torch.neg(du, out=gradient_of(a))
    torch.neg(dh, out=gradient_of(b))
    if centring is not None:
        # dW lambda and mu dW, by way of the few rows that made dW
        gradient_of(a).addmv_(u.t(), h @ centring.lam, alpha=1 / n)
        gradient_of(b).addmv_(h.t(), u @ centring.mu, alpha=1 / n)
    weights = ProductGradient(W, units, means, -1 / n)
    return Statistics(h_mean, du, dh, weights, metrics)
