"""The forward process of a diffusion model, q(x_t|x_0) = N(alpha_t x_0, sigma_t^2 I). It has nothing to learn but its schedule.

With T levels the bound sums over steps t = 2..T. The sum is estimated from one level for each example; the levels of a batch
cover all of them evenly.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genlab.models.diffusion.schedules import LearnedSchedule, Level, Schedule, TabulatedSchedule, level
from genlab.numerics import shares
from genlab.numerics.softplus import softplus


class Noised(NamedTuple):
    """x_t = alpha x_0 + sigma eps of n examples."""

    x_t: Tensor
    eps: Tensor
    gamma: Tensor
    """-log SNR, (n,)."""
    at: Level


class ForwardProcess:
    def __init__(self, schedule: Schedule, steps: int | None) -> None:
        """`steps` levels; None for continuous time."""
        self.schedule, self.steps = schedule, steps

    @property
    def device(self) -> torch.device:
        return self.schedule.ends()[0].device

    def times(self, n: int) -> Tensor:
        """Times t of n levels that cover all of them evenly, in random order: (n,)."""
        u = shares.even_times(n, self.device)
        return u if self.steps is None else (u * self.steps).floor().clamp_max(self.steps - 1) / (self.steps - 1)

    def noised(self, x: Tensor, t: Tensor) -> Noised:
        """x_t of x = x_0 (n, *shape) at times t (n,)."""
        gamma = self.schedule.gamma(t)
        at = level(gamma, x)
        eps = torch.randn_like(x)
        return Noised(at.alpha * x + at.sigma * eps, eps, gamma, at)

    def bound_levels(self, n: int, draws: int = 1) -> tuple[Tensor, Tensor]:
        """Times of `draws` levels for each of n examples, and the factor of ||eps - eps_hat||^2 at each for an unbiased estimate
        of the sum over steps, in nats: (draws, n), (draws, n).

        They are drawn evenly in gamma, where all terms are of similar size, and those of one example lie equally far apart;
        with a learned schedule evenly in time.
        """
        if isinstance(self.schedule, LearnedSchedule):
            t = self.times(draws * n)
            return t.view(draws, n), self.step_weights(t).view(draws, n)
        apart = torch.arange(draws, device=self.device).unsqueeze(1) / draws
        u = (shares.even_times(n, self.device) + apart).remainder(1).flatten()
        assert isinstance(self.schedule, TabulatedSchedule)
        t, density = self.schedule.evenly_in_gamma(u, discrete=self.steps is not None)
        return t.view(draws, n), (self.step_weights(t) / density).view(draws, n)

    def step_weights(self, t: Tensor) -> Tensor:
        """The same factor for levels that are drawn evenly in time, (n,)."""
        if self.steps is None:
            return 0.5 * self.schedule.slope(t)
        before = self.schedule.gamma((t - 1 / (self.steps - 1)).clamp_min(0))  # the first level has none before it
        return 0.5 * self.steps * torch.expm1(self.schedule.gamma(t) - before)

    def prior(self, x: Tensor) -> Tensor:
        """KL(q(x_T|x_0) || N(0, I)) of x = x_0 (n, *shape): (n,), in nats."""
        _, last = self.schedule.ends()
        alpha_bar = torch.sigmoid(-last)
        return 0.5 * (alpha_bar * (x.square() - 1) + softplus(-last)).flatten(1).sum(1)
