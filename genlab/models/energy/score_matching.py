"""Score matching: losses, one for each example, that are smallest where -grad E is the score of the data, grad log p.

    denoising   |sigma grad E(u + sigma eps) - eps|^2 / 2,  eps ~ N(0, I)    of data with that noise (Vincent 2011)
    sliced      |grad E|^2 / 2 - v.(d^2 E) v,  v ~ N(0, I)                   of the data (Hyvarinen 2005; Song et al. 2019)

The mean over v of the second term is the trace of d^2 E. It costs one derivative instead of D.
"""

import torch
from torch import Tensor

from genlab.models.energy.chains import Energy


def denoising(energy: Energy, u: Tensor, sigma: float) -> Tensor:
    """Losses (n,) of examples u (n, *shape)."""
    eps = torch.randn_like(u)
    return 0.5 * (sigma * gradient(energy, (u + sigma * eps).requires_grad_()) - eps).square().flatten(1).sum(1)


def sliced(energy: Energy, u: Tensor) -> Tensor:
    """Losses (n,) of examples u (n, *shape)."""
    u = u.detach().requires_grad_()
    slope, v = gradient(energy, u), torch.randn_like(u)
    with torch.enable_grad():
        (curvature,) = torch.autograd.grad((slope * v).sum(), u, create_graph=True)
    return (0.5 * slope.square() - v * curvature).flatten(1).sum(1)


def gradient(energy: Energy, u: Tensor) -> Tensor:
    """grad E at u, which requires a gradient. The result can be differentiated again."""
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(energy(u).sum(), u, create_graph=True)
    return slope
