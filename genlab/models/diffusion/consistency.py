"""The lecture's first decomposition of the bound of a diffusion model, with consistency terms (Luo 2022, section 2.2).

    log p(x_0) >= E log p(x_0|x_1) - E KL(q(x_T|x_{T-1}) || p(x_T)) - sum_{t=1}^{T-1} E [log q(x_t|x_{t-1}) - log p(x_t|x_{t+1})]

The expectation of each term is over a stretch x_{t-1}, x_t, x_{t+1} of one chain. The lecture writes the term as a divergence,
KL(q(x_t|x_{t-1}) || p(x_t|x_{t+1})) averaged over both neighbours; but given both of them x_t is not distributed as it is
given one, so x_t has to be drawn as well. In expectation this is the bound of diffusion.py. It aims at a noisy x_t where that
one has its mean, which makes its variance far larger. Its prior term is no small one where the last step adds little noise,
since x_(T-1) then says nearly what x_T is: the entropies of neighbouring steps cancel in the sum.
"""

import torch
from torch import Tensor, nn

from genlab.models.base import Metrics
from genlab.models.diffusion.bound import BoundedModel, added_noise, told_of
from genlab.models.diffusion.ode import log_standard_normal
from genlab.models.diffusion.samplers import posterior
from genlab.models.diffusion.schedules import level


def consistency(model: BoundedModel, x: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
    """An unbiased estimate of the sum over t = 1..T-1 of log q(x_t|x_{t-1}) - log p(x_t|x_{t+1}), (n,), in nats."""
    assert model.steps is not None
    last = model.steps - 1
    u = (torch.randperm(len(x), device=x.device) + torch.rand((), device=x.device)) / len(x)
    now = (u * last).floor()  # t - 1 of x_t, from 0 to T - 2
    here, after = model.schedule.gamma(now / last), model.schedule.gamma((now + 1) / last)
    first = now == 0
    before = model.schedule.gamma((now - 1).clamp_min(0) / last)
    noised = level(before, x)
    spread = [-1, *[1] * (x.ndim - 1)]
    x_before = torch.where(first.view(spread), x, noised.alpha * x + noised.sigma * torch.randn_like(x))
    added = torch.where(first, torch.sigmoid(here), added_noise(before, here)).view(spread)
    added_after = added_noise(here, after).view(spread)
    drawn = torch.randn_like(x)
    x_here = (1 - added).sqrt() * x_before + added.sqrt() * drawn
    x_after = (1 - added_after).sqrt() * x_here + added_after.sqrt() * torch.randn_like(x)
    x_hat = model.estimate(x_after, after, network(x_after, told_of(after), y).float())
    mean, sigma = posterior(x_after, x_hat, after.view(spread), here.view(spread))
    log_q = log_standard_normal(drawn) - model.data.dim * 0.5 * added.log().flatten()
    log_p = log_standard_normal((x_here - mean) / sigma) - model.data.dim * sigma.log().flatten()
    return last * (log_q - log_p)


def consistency_terms(model: BoundedModel, x_0: Tensor, y: Tensor | None = None) -> Metrics:
    """The bound by the lecture's first decomposition, each term an unbiased estimate in nats, (n,)."""
    assert model.steps is not None
    x = model.scaling.inner(x_0)
    before, last = model.schedule.gamma(
        torch.tensor([model.steps - 2, model.steps - 1], device=x.device) / (model.steps - 1)
    )
    at, added = level(before), added_noise(before, last)
    x_before = at.alpha * x + at.sigma * torch.randn_like(x)
    prior = 0.5 * ((1 - added) * (x_before.square() - 1) - added.log()).flatten(1).sum(1)
    reconstruction, steps = model.reconstruction(x, x_0), consistency(model, x, y, model.ema_network)
    return {
        "bound": reconstruction - prior - steps,
        "reconstruction": reconstruction,
        "prior": prior,
        "consistency": steps,
    }
