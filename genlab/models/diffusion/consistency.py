"""The lecture's first decomposition of the bound of a diffusion model, with consistency terms (Luo 2022, section 2.2).

    log p(x_0) >= E log p(x_0|x_1) - E KL(q(x_T|x_{T-1}) || p(x_T)) - sum_{t=1}^{T-1} E [log q(x_t|x_{t-1}) - log p(x_t|x_{t+1})]

The expectation of each term is over a part x_{t-1}, x_t, x_{t+1} of one chain. The lecture writes the term as a divergence,
KL(q(x_t|x_{t-1}) || p(x_t|x_{t+1})) averaged over both neighbours. But given both of them x_t is not distributed as it is given
one, so x_t has to be drawn as well. In expectation this is the bound of diffusion.py. Its target is a noisy x_t, where the other
bound has the mean of x_t, and so its variance is far larger. Its prior term is not small where the last step adds little noise,
since x_(T-1) then nearly determines x_T: the entropies of neighbouring steps cancel in the sum.
"""

import torch
from torch import Tensor

from genlab.models.base import Metrics
from genlab.models.diffusion.forward_process import ForwardProcess
from genlab.models.diffusion.ode import log_standard_normal
from genlab.models.diffusion.prediction import Estimate
from genlab.models.diffusion.samplers import posterior
from genlab.models.diffusion.schedules import added_noise, level
from genlab.numerics import shares


def consistency(process: ForwardProcess, x: Tensor, x_hat_of: Estimate) -> Tensor:
    """An unbiased estimate of the sum over t = 1..T-1 of log q(x_t|x_{t-1}) - log p(x_t|x_{t+1}), (n,), in nats.

    `x` (n, *shape) are examples x_0 in inner units.
    """
    assert process.steps is not None
    last, dim = process.steps - 1, x[0].numel()
    u = shares.even_times(len(x), x.device)
    now = (u * last).floor()  # t - 1 of x_t, from 0 to T - 2
    here, after = process.schedule.gamma(now / last), process.schedule.gamma((now + 1) / last)
    first = now == 0
    before = process.schedule.gamma((now - 1).clamp_min(0) / last)
    noised = level(before, x)
    spread = [-1, *[1] * (x.ndim - 1)]
    x_before = torch.where(first.view(spread), x, noised.alpha * x + noised.sigma * torch.randn_like(x))
    added = torch.where(first, torch.sigmoid(here), added_noise(before, here)).view(spread)
    added_after = added_noise(here, after).view(spread)
    drawn = torch.randn_like(x)
    x_here = (1 - added).sqrt() * x_before + added.sqrt() * drawn
    x_after = (1 - added_after).sqrt() * x_here + added_after.sqrt() * torch.randn_like(x)
    mean, sigma = posterior(x_after, x_hat_of(x_after, after), after.view(spread), here.view(spread))
    log_q = log_standard_normal(drawn) - dim * 0.5 * added.log().flatten()
    log_p = log_standard_normal((x_here - mean) / sigma) - dim * sigma.log().flatten()
    return last * (log_q - log_p)


def consistency_terms(process: ForwardProcess, x: Tensor, x_hat_of: Estimate, reconstruction: Tensor) -> Metrics:
    """The bound by this decomposition, each term an unbiased estimate in nats, (n,)."""
    assert process.steps is not None
    times = torch.tensor([process.steps - 2, process.steps - 1], device=x.device) / (process.steps - 1)
    before, last = process.schedule.gamma(times)
    at, added = level(before), added_noise(before, last)
    x_before = at.alpha * x + at.sigma * torch.randn_like(x)
    prior = 0.5 * ((1 - added) * (x_before.square() - 1) - added.log()).flatten(1).sum(1)
    steps = consistency(process, x, x_hat_of)
    return {
        "bound": reconstruction - prior - steps,
        "reconstruction": reconstruction,
        "prior": prior,
        "consistency": steps,
    }
