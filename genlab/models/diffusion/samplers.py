"""From noise to data: the samplers of diffusion models, each a small transition from one level of noise to a lower one.

A sampler knows a model by x_hat alone, its estimate of E[x_0|x_t], from which eps_hat = (x_t - alpha_t x_hat)/sigma_t follows.
Below, t > s are two levels, and lambda = log(alpha/sigma).

    ancestral    x_s ~ q(x_s|x_t, x_0 = x_hat), the lecture's p(x_s|x_t) (Ho et al. 2020)
    ddim         the same marginals with another share of fresh noise: eta = 1 is `ancestral`, eta = 0 an Euler step of the
                 probability-flow ODE d(x/alpha)/d(sigma/alpha) = eps_hat (Song et al. 2021)
    heun         of that ODE, the trapezoidal rule: second order, two estimates a step (Karras et al. 2022)
    dpm_solver   x_s = sigma_s/sigma_t e^(-eta h) x_t - alpha_s expm1(-(1 + eta) h) D + sigma_s sqrt(-expm1(-2 eta h)) eps,
                 h = lambda_s - lambda_t, with D extrapolated to the middle of the step from x_hat here and at the step
                 before: one estimate a step. eta = 0 is the ODE to second order (DPM-Solver++(2M), Lu et al. 2022), eta = 1
                 with D = x_hat is `ancestral`. Fresh noise corrects the network's errors in earlier steps, but needs more
                 steps: 20 and 40 of them draw N(0, 1) 4 and 1 % too wide with eta = 1, and 1 and 0.1 % with eta = 0

The last transition of each sampler is to x_hat itself.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from genlab.errors import GenlabError
from genlab.models.diffusion.schedules import Schedule, added_noise, level

Sampler = Literal["ancestral", "ddim", "heun", "dpm_solver"]
Denoise = Callable[[Tensor, Tensor], Tensor]
"""(x_t of shape (n, *shape), gamma, a scalar) -> x_hat, of the shape of x_t."""

SIGMA_MAX, SIGMA_MIN = 80.0, 0.002  # range of sigma/alpha for the solvers of the ODE (Karras et al. 2022)
RHO = 7  # of their spacing
DPM_SIGMA_MAX, DPM_SIGMA_MIN = 10.0, 0.01  # range of sigma/alpha for dpm_solver after its first step


def posterior_step(x: Tensor, x_hat: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """x_s ~ q(x_s|x_t, x_0) for gammas t > s:

    mean sqrt(alpha_t) (1 - alpha_bar_s)/(1 - alpha_bar_t) x_t + sqrt(alpha_bar_s) (1 - alpha_t)/(1 - alpha_bar_t) x_0,
    variance (1 - alpha_t) (1 - alpha_bar_s)/(1 - alpha_bar_t), where alpha_t = alpha_bar_t/alpha_bar_s.
    """
    mean, sigma = posterior(x, x_hat, t, s)
    return mean + sigma * torch.randn_like(x)


def posterior(x: Tensor, x_0: Tensor, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(x_s|x_t, x_0), for scalars t, s or ones that spread over x."""
    (a_t, s_t), (a_s, s_s) = level(t), level(s)
    kept = -torch.expm1(
        s - t
    )  # 1 - SNR_t/SNR_s = (1 - alpha_t)/(1 - alpha_bar_t), without the loss of digits of a difference
    mean = (a_t / a_s) * (s_s / s_t).square() * x + a_s * kept * x_0
    return mean, s_s * kept.sqrt()


def ddim_step(x: Tensor, x_hat: Tensor, t: Tensor, s: Tensor, eta: float) -> Tensor:
    (a_t, s_t), (a_s, s_s) = level(t), level(s)
    eps = (x - a_t * x_hat) / s_t
    fresh = eta * s_s * (-torch.expm1(s - t)).sqrt()
    x = a_s * x_hat + (s_s.square() - fresh.square()).clamp_min(0).sqrt() * eps
    return x + fresh * torch.randn_like(x) if eta else x


def heun_step(x: Tensor, x_hat: Tensor, t: Tensor, s: Tensor, denoise: Denoise) -> Tensor:
    (a_t, s_t), (a_s, s_s) = level(t), level(s)
    eps = (x - a_t * x_hat) / s_t
    step = s_s / a_s - s_t / a_t
    there = a_s * (x / a_t + step * eps)
    eps_there = (there - a_s * denoise(there, s)) / s_s
    return a_s * (x / a_t + step * (eps + eps_there) / 2)


def multistep(
    x: Tensor, x_hat: Tensor, before: tuple[Tensor, Tensor] | None, t: Tensor, s: Tensor, eta: float
) -> Tensor:
    """`before`: gamma of the step before and x_hat there."""
    (_, s_t), (a_s, s_s) = level(t), level(s)
    h = (t - s) / 2  # lambda = -gamma/2
    d = x_hat
    if before is not None:
        r = (before[0] - t) / (t - s)
        d = x_hat + (x_hat - before[1]) / (2 * r)
    x = s_s / s_t * torch.exp(-eta * h) * x - a_s * torch.expm1(-(1 + eta) * h) * d
    return x + s_s * (-torch.expm1(-2 * eta * h)).sqrt() * torch.randn_like(x) if eta else x


def sample_steps(
    x: Tensor, gammas: Tensor, denoise: Denoise, sampler: Sampler, eta: float
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Go through the levels `gammas`, from the most noise to the least.

    Yields x at each of them after the first, with its gamma, and at the end x_hat, with None.
    """
    before: tuple[Tensor, Tensor] | None = None
    for t, s in pairwise(gammas):
        x_hat = denoise(x, t)
        if sampler == "ancestral":
            x = posterior_step(x, x_hat, t, s)
        elif sampler == "ddim":
            x = ddim_step(x, x_hat, t, s, eta)
        elif sampler == "heun":
            x = heun_step(x, x_hat, t, s, denoise)
        else:
            x = multistep(x, x_hat, before, t, s, eta)
            before = t, x_hat
        yield x, s
    yield denoise(x, gammas[-1]), None


def inpaint_steps(
    x_0: Tensor, known: Tensor, gammas: Tensor, denoise: Denoise
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Ancestral sampling of the components that are not `known` (*shape,) of x_0 (n, *shape).

    At every level the known components are put in with that level's noise. Each step is taken twice, the second time from the
    result of the first with noise added again (Lugmayr et al. 2022). Yields as `sample_steps` does.
    """
    x = torch.randn_like(x_0)
    for t, s in pairwise(gammas):
        for again in (True, False):
            mean, sigma = posterior(x, denoise(x, t), t, s)
            drawn = mean + sigma * torch.randn_like(x)
            at = level(s)
            drawn = torch.where(known, at.alpha * x_0 + at.sigma * torch.randn_like(x_0), drawn)
            if again:
                added = added_noise(s, t)
                x = (1 - added).sqrt() * drawn + added.sqrt() * torch.randn_like(x)
        x = drawn
        yield x, s
    yield denoise(x, gammas[-1]), None


def karras_gammas(steps: int, first: float, last: float) -> Tensor:
    """`steps` levels whose (sigma/alpha)^(1/7) are evenly spaced, within gamma in [first, last]; the most noise first."""
    return _spaced(steps, min(math.exp(last / 2), SIGMA_MAX), max(math.exp(first / 2), SIGMA_MIN))


def dpm_solver_gammas(steps: int, first: float, last: float) -> Tensor:
    """The same from sigma/alpha = 10 to 0.01, after one step from the most noise.

    At more noise than that x_hat is the mean of the data, and smaller steps would gain nothing.
    """
    sigma_max, sigma_min = min(math.exp(last / 2), SIGMA_MAX), max(math.exp(first / 2), DPM_SIGMA_MIN)
    if sigma_max <= DPM_SIGMA_MAX:
        return _spaced(steps, sigma_max, sigma_min)
    return torch.cat([torch.tensor([2 * math.log(sigma_max)]), _spaced(steps - 1, DPM_SIGMA_MAX, sigma_min)])


def _spaced(steps: int, sigma_max: float, sigma_min: float) -> Tensor:
    roots = torch.linspace(sigma_max ** (1 / RHO), sigma_min ** (1 / RHO), steps, dtype=torch.float64)
    return (2 * RHO * roots.log()).float()


STEPS: dict[str, int] = {"ancestral": 250, "ddim": 50, "heun": 10, "dpm_solver": 20}
"""Sampler -> its number of levels for pictures, where the user sets none."""
STEPS_OF_VECTORS = STEPS | {"heun": 40, "dpm_solver": 80}  # whose networks cost little
ETA: dict[str, float] = {"ddim": 0.0, "dpm_solver": 1.0}
"""Default of eta, for the samplers that have it."""
SPACING = {"heun": karras_gammas, "dpm_solver": dpm_solver_gammas}
"""Spacing of the levels, for the samplers that do not space them evenly in time."""


def sampling_gammas(sampler: Sampler, steps: int, schedule: Schedule, model_steps: int | None) -> Tensor:
    """`steps` levels of the sampler, the most noise first. Raises GenlabError for more than the `model_steps` of the model."""
    first, last = (end.detach() for end in schedule.ends())
    if sampler in SPACING:
        return SPACING[sampler](steps, float(first), float(last)).to(first.device)
    if model_steps is not None and steps > model_steps:
        raise GenlabError(
            f"steps={steps}: the model has {model_steps} levels of noise; set steps={model_steps} or fewer"
        )
    t = torch.linspace(1, 0, steps, device=first.device)
    if model_steps is not None:
        t = (t * (model_steps - 1)).round() / (model_steps - 1)
    return schedule.gamma(t).detach()
