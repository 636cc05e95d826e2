"""Ordinary differential equations dx/dt = velocity(x, t) that carry one density to another (Chen et al. 2018).

The integrators are of first order (euler) and of second order (midpoint, heun). Along a solution the logarithm of the density
falls by the integral of the divergence of the velocity.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

Method = Literal["euler", "midpoint", "heun"]
Velocity = Callable[[Tensor, Tensor], Tensor]
"""(x of shape (n, *shape), t, a scalar) -> dx/dt, of the shape of x."""

EVALUATIONS: dict[str, int] = {"euler": 1, "midpoint": 2, "heun": 2}
EXACT_TRACE = 8  # components up to which the divergence is exact, and not an estimate


def step(velocity: Velocity, x: Tensor, now: Tensor, then: Tensor, method: Method) -> Tensor:
    """x at time `then`, from x at time `now`."""
    h, v = then - now, velocity(x, now)
    if method == "euler":
        return x + h * v
    if method == "midpoint":
        return x + h * velocity(x + h / 2 * v, (now + then) / 2)
    return x + h / 2 * (v + velocity(x + h * v, then))


def integrate(velocity: Velocity, x: Tensor, times: Tensor, method: Method) -> Iterator[Tensor]:
    """x (n, *shape) at each of the times after the first, from `x` at the first."""
    for now, then in pairwise(times):
        x = step(velocity, x, now, then, method)
        yield x


def divergence(f: Callable[[Tensor], Tensor], x: Tensor, probe: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) (n, *shape), and sum_i df_i/dx_i of each example x, (n,).

    It is exact for few components, else probe^T (df/dx) probe, an unbiased estimate (Hutchinson 1990).
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = f(x)
        flat = out.flatten(1)
        if flat.shape[1] <= EXACT_TRACE:
            total = torch.zeros_like(flat[:, 0])
            for i in range(flat.shape[1]):
                (row,) = torch.autograd.grad(flat[:, i].sum(), x, retain_graph=True)
                total = total + row.flatten(1)[:, i]
        else:
            (product,) = torch.autograd.grad((out * probe).sum(), x)
            total = (product * probe).flatten(1).sum(1)
    return out.detach(), total.detach()


def integrate_with_divergence(velocity: Velocity, x: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
    """x (n, *shape) at times[-1] along dx/dt = velocity(x, t) from x at times[0], and the integral of the divergence, (n,).

    By the classical Runge-Kutta method of fourth order, with one random probe for each example.
    """
    probe = torch.randint(0, 2, x.shape, device=x.device).to(x.dtype) * 2 - 1
    integral = torch.zeros(len(x), device=x.device)
    for now, then in pairwise(times):
        h, middle = then - now, (now + then) / 2
        v1, d1 = divergence(partial(_at, velocity, now), x, probe)
        v2, d2 = divergence(partial(_at, velocity, middle), x + h / 2 * v1, probe)
        v3, d3 = divergence(partial(_at, velocity, middle), x + h / 2 * v2, probe)
        v4, d4 = divergence(partial(_at, velocity, then), x + h * v3, probe)
        x = x + h / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        integral = integral + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
    return x, integral


def _at(velocity: Velocity, t: Tensor, x: Tensor) -> Tensor:
    return velocity(x, t)


def log_standard_normal(x: Tensor) -> Tensor:
    """log N(x; 0, I), (n,)."""
    return -0.5 * (x.square() + math.log(2 * math.pi)).flatten(1).sum(1)
