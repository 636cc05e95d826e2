"""Score matching: losses, one number for each example, that are least where -grad E is the slope of log p of the data.

    denoising   |sigma grad E(u + sigma eps) - eps|^2 / 2,  eps ~ N(0, I)    of data with that noise (Vincent 2011)
    sliced      |grad E|^2 / 2 - v.(d^2 E) v,  v ~ N(0, I)                   of the data (Hyvarinen 2005; Song et al. 2019)

On average over v the second takes from half the squared slope the trace of d^2 E, for the price of one derivative in place of D.
"""

import torch
from torch import Tensor

from genlab.models.energy.langevin import Energy


def denoising(energy: Energy, u: Tensor, sigma: float) -> Tensor:
    """Of examples u (n, *shape): (n,)."""
    eps = torch.randn_like(u)
    return 0.5 * (sigma * slope(energy, (u + sigma * eps).requires_grad_()) - eps).square().flatten(1).sum(1)


def sliced(energy: Energy, u: Tensor) -> Tensor:
    """Of examples u (n, *shape): (n,)."""
    u = u.detach().requires_grad_()
    found, v = slope(energy, u), torch.randn_like(u)
    with torch.enable_grad():
        (curved,) = torch.autograd.grad((found * v).sum(), u, create_graph=True)
    return (0.5 * found.square() - v * curved).flatten(1).sum(1)


def slope(energy: Energy, u: Tensor) -> Tensor:
    """grad E at u, which asks for a gradient; it can be differentiated again."""
    with torch.enable_grad():
        (found,) = torch.autograd.grad(energy(u).sum(), u, create_graph=True)
    return found
