"""The likelihood of a diffusion model by its probability-flow ODE (Song et al. 2021),

    dx~/d log(sigma~) = sigma~ eps_hat,    x~ = x_t/alpha_t,    sigma~ = sigma_t/alpha_t,

which carries the density of the data at the least noise to N(0, I) at the most.
"""

import math

import torch
from torch import Tensor

from genlab.models.diffusion.ode import integrate_with_divergence, log_standard_normal
from genlab.models.diffusion.prediction import Estimate
from genlab.models.diffusion.samplers import SIGMA_MAX
from genlab.models.diffusion.schedules import Schedule, level

STEPS_OF_ODE = 20


def log_density(x: Tensor, x_hat_of: Estimate, schedule: Schedule) -> Tensor:
    """log p(x) of x (n, *shape) in inner units, in steps of even ratio of sigma~: (n,), in nats.

    `x_hat_of` takes x~ and its gamma (n,).
    """
    first, last = (float(end.detach()) for end in schedule.ends())
    far = max(-first, 2 * math.log(SIGMA_MAX))  # where x~ is noise
    times = torch.linspace(first, min(last, far), STEPS_OF_ODE + 1, device=x.device) / 2  # log sigma~

    def velocity(z: Tensor, log_sigma: Tensor) -> Tensor:
        gamma = 2 * log_sigma.expand(len(z))
        return z - x_hat_of(z, gamma)

    z, divergence = integrate_with_divergence(velocity, x, times)
    alpha = level(2 * times[-1]).alpha
    return log_standard_normal(alpha * z) + x[0].numel() * alpha.log() + divergence
