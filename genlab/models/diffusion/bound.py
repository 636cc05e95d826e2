"""The variational bound of a diffusion model, term by term (the formulas: diffusion.py).

What is fixed beforehand, q(x_t|x_0), and what follows from a network that predicts eps, x_0 or v. Sums over levels are
estimated from one level an example; the levels of a batch cover all of them evenly.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.models.base import Metrics
from genlab.models.diffusion.denoiser import GradualModel
from genlab.models.diffusion.ode import log_standard_normal
from genlab.models.diffusion.schedules import LearnedSchedule, Level, Schedule, TabulatedSchedule, level
from genlab.numerics.softplus import logsigmoid, softplus

Prediction = Literal["eps", "x0", "v"]

GAMMAS = (-15.0, 15.0)  # that u = 0 and u = 1 stand for, as the network is told them
DENSE = 0.7  # widths, see log_nearest_level
DRAWS = 8  # levels for one example's bound


class BoundedModel(GradualModel):
    """A network, a schedule of `steps` levels (None: continuous time), and log p(x_0) from below."""

    schedule: Schedule
    steps: int | None
    prediction: Prediction

    def times(self, n: int) -> Tensor:
        """Times t of n levels that cover all of them evenly, in random order: (n,)."""
        u = (torch.randperm(n, device=self.device) + torch.rand((), device=self.device)) / n
        return u if self.steps is None else (u * self.steps).floor().clamp_max(self.steps - 1) / (self.steps - 1)

    def noised(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Level]:
        """x_t of x = x_0 at times t (n,), its eps, its gamma (n,), and its level."""
        gamma = self.schedule.gamma(t)
        at = level(gamma, x)
        eps = torch.randn_like(x)
        return at.alpha * x + at.sigma * eps, eps, gamma, at

    def error(self, x: Tensor, t: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """Squared error of what the network predicts, summed over components: (n,)."""
        x_t, eps, gamma, at = self.noised(x, t)
        target = {"eps": eps, "x0": x, "v": at.alpha * eps - at.sigma * x}[self.prediction]
        out = network(x_t, told_of(gamma), y).float()
        error: Tensor = (target - out).square().flatten(1).sum(1)
        return error

    def noise_error(self, error: Tensor, t: Tensor) -> Tensor:
        """||eps - eps_hat||^2 where the predicted quantity has the squared error `error`, (n,)."""
        gamma = self.schedule.gamma(t)
        if self.prediction == "eps":
            return error
        return error * (torch.sigmoid(-gamma) if self.prediction == "v" else torch.exp(-gamma))

    def estimate(self, x: Tensor, gamma: Tensor, out: Tensor) -> Tensor:
        """x_hat, from x_t, its gamma (n,) and what the network put out."""
        at = level(gamma, x)
        if self.prediction == "x0":
            return out
        return (x - at.sigma * out) / at.alpha if self.prediction == "eps" else at.alpha * x - at.sigma * out

    def bounded_error(self, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor:
        """SNR ||x_0 - x_hat||^2 = ||eps - eps_hat||^2 of the x_hat with which samples are drawn, which stays within the range
        of the data: (n,).
        """
        x_t, _, gamma, _ = self.noised(x, t)
        x_hat = self.bounded(self.estimate(x_t, gamma, self.answer(x_t, told_of(gamma), y)))
        return torch.exp(-gamma) * (x - x_hat).square().flatten(1).sum(1)

    def bound_levels(self, n: int) -> tuple[Tensor, Tensor]:
        """Times of n levels, and what each one's ||eps - eps_hat||^2 is to be multiplied with for an unbiased estimate of the sum
        over steps, in nats: (n,), (n,).

        Drawn evenly in gamma, where the terms are of one size; with a learned schedule, which sees to that, evenly in time.
        """
        if isinstance(self.schedule, LearnedSchedule):
            t = self.times(n)
            return t, self.step_weights(t)
        u = (torch.randperm(n, device=self.device) + torch.rand((), device=self.device)) / n
        assert isinstance(self.schedule, TabulatedSchedule)
        t, density = self.schedule.evenly(u, whole=self.steps is not None)
        return t, self.step_weights(t) / density

    def step_weights(self, t: Tensor) -> Tensor:
        """The same for levels that are drawn evenly in time, (n,)."""
        if self.steps is None:
            return 0.5 * self.schedule.slope(t)
        before = self.schedule.gamma((t - 1 / (self.steps - 1)).clamp_min(0))  # the first level has none before it
        return 0.5 * self.steps * torch.expm1(self.schedule.gamma(t) - before)

    def denoising(self, x: Tensor, t: Tensor, weights: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """An unbiased estimate of the sum over steps from one level each, (n,), in nats."""
        return weights * self.noise_error(self.error(x, t, y, network), t)

    def prior(self, x: Tensor) -> Tensor:
        """KL(q(x_T|x_0) || N(0, I)), (n,), in nats."""
        _, last = self.schedule.ends()
        alpha_bar = torch.sigmoid(-last)
        return 0.5 * (alpha_bar * (x.square() - 1) + softplus(-last)).flatten(1).sum(1)

    def reconstruction(self, x: Tensor, x_0: Tensor) -> Tensor:
        """log p(x_0|x_1) for a draw of x_1, (n,), in nats; `x_0` in the data's units."""
        first, _ = self.schedule.ends()
        at = level(first)
        width, eps = at.sigma / at.alpha, torch.randn_like(x)
        if self.data.support == "binary":  # both points at the same distance from 0, x_1 nearer to one
            logit = 2 * (x + width * eps) / width.square()
            return logsigmoid(torch.where(x_0 > 0.5, logit, -logit)).flatten(1).sum(1)
        if self.data.levels is None:
            log_p = log_standard_normal(eps) - self.data.dim * width.log()
            return log_p - self.scaling.log_volume
        return log_nearest_level(eps, width, x_0, self.data.levels)

    def terms(self, x_0: Tensor, y: Tensor | None, draws: int = 1) -> Metrics:
        """The bound and its three terms, each an unbiased estimate in nats, from so many levels an example: (n,)."""
        x = self.scaling.inner(x_0)
        steps = []
        for _ in range(draws):
            t, weights = self.bound_levels(len(x))
            steps.append(weights * self.bounded_error(x, t, y))
        found = {
            "reconstruction": self.reconstruction(x, x_0),
            "prior": self.prior(x),
            "denoising": torch.stack(steps).mean(0),
        }
        return {"bound": found["reconstruction"] - found["prior"] - found["denoising"], **found}

    @torch.no_grad()
    def log_bound(self, x: Tensor) -> Tensor:
        """The variational bound on log p(x), from DRAWS levels of noise an example: (n,), in nats."""
        return self.terms(x, None, DRAWS)["bound"]


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


def added_noise(before: Tensor, after: Tensor) -> Tensor:
    """1 - alpha_t of the step from gamma `before` to `after`; no digits are lost where it is small."""
    return torch.sigmoid(after) * -torch.expm1(before - after)


def told_of(gamma: Tensor) -> Tensor:
    """What the network is told of gamma."""
    low, high = GAMMAS
    return (gamma - low) / (high - low)
