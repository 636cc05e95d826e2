"""The reconstruction term log p(x_0|x_1) of the bound of a diffusion model (the formulas: diffusion.py).

p(x_0|x_1) is q(x_1|x_0) as a function of x_0, normalised over the values that x_0 can take: two, grey levels, or all of space.
"""

import math

import torch
from torch import Tensor

from genlab.models.diffusion.ode import log_standard_normal
from genlab.models.diffusion.schedules import Level
from genlab.models.scaling import Scaling
from genlab.numerics.softplus import logsigmoid

DENSE = 0.7  # widths, see log_nearest_level


def log_reconstruction(at: Level, scaling: Scaling, x: Tensor, x_0: Tensor) -> Tensor:
    """log p(x_0|x_1) for a draw of x_1 at the least noise, the level `at`: (n,), in nats.

    `x` and `x_0` (n, *shape) are the same examples in inner units and in the data's units.
    """
    width, eps = at.sigma / at.alpha, torch.randn_like(x)
    if scaling.data.support == "binary":  # both values at the same distance from 0, and x_1 nearer to one of them
        logit = 2 * (x + width * eps) / width.square()
        return logsigmoid(torch.where(x_0 > 0.5, logit, -logit)).flatten(1).sum(1)
    if scaling.data.levels is None:
        log_p = log_standard_normal(eps) - scaling.data.dim * width.log()
        return log_p - scaling.log_volume
    return log_nearest_level(eps, width, x_0, scaling.data.levels)


def log_nearest_level(eps: Tensor, width: Tensor, x_0: Tensor, levels: int) -> Tensor:
    """log p(x_0|x_1) of grey levels x_0 in [0, 1], where p is proportional to N(x_1; x_0, width^2) and x_1 = x_0 + width eps,
    all in units in which the levels span 2: (n,), in nats.

    f(u) = exp(-u^2/2), u in widths, is summed over the levels. Where these are further apart than DENSE widths, those beyond 8
    widths count for nothing; where they are nearer, the sum is the integral, with the corrections of Euler and Maclaurin at its
    two ends.
    """
    gap, at = 2 / (levels - 1) / width, (x_0 * (levels - 1)).round()
    nearest = max(DENSE, float(gap.detach())) if gap.is_cpu else DENSE  # a GPU is not waited for
    reach = min(levels - 1, math.ceil(8 / nearest) + 1)
    offsets = torch.arange(-reach, reach + 1, device=eps.device)
    there = at.unsqueeze(-1) + offsets
    exponents = -0.5 * (eps.unsqueeze(-1) - offsets * gap).square()
    exponents = exponents.masked_fill((there < 0) | (there > levels - 1), -torch.inf)
    near = gap.clamp_max(DENSE)
    first, last = -at * near - eps, (levels - 1 - at) * near - eps
    total = torch.where(gap < DENSE, _dense_sum(first, last, near).log(), exponents.logsumexp(-1))
    return (-0.5 * eps.square() - total).flatten(1).sum(1)


def _dense_sum(first: Tensor, last: Tensor, gap: Tensor) -> Tensor:
    """sum_k f(first + k gap) up to `last`, f(u) = exp(-u^2/2); to 1e-5 for gap < 0.7."""
    root = math.sqrt(2)
    inside = math.sqrt(math.pi / 2) * (torch.erf(last / root) - torch.erf(first / root)) / gap

    def at_end(u: Tensor) -> tuple[Tensor, Tensor]:
        """f, and the sum of its odd derivatives."""
        f = torch.exp(-0.5 * u.square())
        third, fifth = u * (3 - u.square()), u * (-15 + u.square() * (10 - u.square()))
        return f, f * (-gap / 12 * u - gap**3 / 720 * third + gap**5 / 30240 * fifth)

    (f_first, odd_first), (f_last, odd_last) = at_end(first), at_end(last)
    return inside + (f_first + f_last) / 2 + odd_last - odd_first
