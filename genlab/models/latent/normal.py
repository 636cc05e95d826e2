"""Normal distributions with a diagonal covariance: draws, densities, divergences and products."""

import math

import torch
from torch import Tensor

Normal = tuple[Tensor, Tensor]
"""Mean and log variance, each (n, width)."""


def draw(q: Normal, noise: bool = True) -> Tensor:
    """mu + sigma eps with eps ~ N(0, I), or mu without `noise`; (n, width)."""
    mu, log_var = q
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu) if noise else mu


def log_normal(h: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """log N(h; mu, diag exp(log_var)) in nats, summed over the last dimension."""
    return -0.5 * ((h - mu).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi)).sum(-1)


def gaussian_kls(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, exp(log_var)) || N(0, 1)) in nats, of each component."""
    return 0.5 * (mu.square() + log_var.exp() - log_var - 1)


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, diag exp(log_var)) || N(0, I)) in nats, summed over the last dimension."""
    return gaussian_kls(mu, log_var).sum(-1)


def product(a: Normal, b: Normal) -> Normal:
    """The normal distribution proportional to the product of two: precisions add, means are weighted by them."""
    precision_a, precision_b = torch.exp(-a[1]), torch.exp(-b[1])
    precision = precision_a + precision_b
    return (a[0] * precision_a + b[0] * precision_b) / precision, -precision.log()
