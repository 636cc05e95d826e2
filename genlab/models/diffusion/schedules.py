"""Schedules of noise: how much of the data is left at time t in [0, 1].

A noised example is x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, eps ~ N(0, I). It depends on t by the logarithm of
the signal-to-noise ratio alone, SNR = alpha_bar/(1 - alpha_bar), so a schedule is the non-decreasing function

    gamma(t) = -log SNR(t),   alpha_bar = sigmoid(-gamma),   1 - alpha_bar = sigmoid(gamma)

(Kingma et al. 2021). With T noise levels, level i = 1..T is at t = (i - 1)/(T - 1): t = 0 is the least noise, t = 1 the most.

    linear    1 - alpha_t from 1e-4 to 0.02 in T = 1000 steps, alpha_bar_t = prod_s alpha_s (Ho et al. 2020)
    cosine    alpha_bar_t = f(t)/f(0), f(t) = cos^2((t/T + 0.008)/1.008 pi/2) (Nichol & Dhariwal 2021)
    learned   a monotone network (Kingma et al. 2021)

However large T is, the noise of the first levels of `linear` and `cosine` differs by a constant factor. So the variational bound
does not become tight as T grows. It does for levels that are evenly spaced in gamma, as those of a learned schedule are at first.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from genlab.numerics.softplus import softplus

ScheduleName = Literal["linear", "cosine", "learned"]

INTERPOLATED_LEVELS = 1000
"""In continuous time `linear` and `cosine` are interpolated between so many levels."""
BETA_MAX = 0.999  # of beta_t = 1 - alpha_t, since the cosine schedule would end without any signal
GAMMA_MIN, GAMMA_MAX = -13.3, 5.0  # ends of a learned schedule before training
WIDTH = 128  # of the monotone network


class Level(NamedTuple):
    """alpha = sqrt(alpha_bar) and sigma = sqrt(1 - alpha_bar), of the shape of gamma or of one that broadcasts over examples."""

    alpha: Tensor
    sigma: Tensor


def level(gamma: Tensor, like: Tensor | None = None) -> Level:
    """The level of noise at `gamma` (n,). Its parts have the shape (n, 1, ...) where examples `like` (n, *shape) are given."""
    g = gamma if like is None else gamma.view(-1, *[1] * (like.ndim - 1))
    return Level(torch.sigmoid(-g).sqrt(), torch.sigmoid(g).sqrt())


def added_noise(before: Tensor, after: Tensor) -> Tensor:
    """1 - alpha_t of the step from gamma `before` to `after`, without cancellation where it is small."""
    return torch.sigmoid(after) * -torch.expm1(before - after)


def alphas_bar(name: Literal["linear", "cosine"], steps: int) -> Tensor:
    """alpha_bar_1..alpha_bar_T of T = `steps` levels, in float64."""
    if name == "linear":
        betas = torch.linspace(0.1 / steps, 20 / steps, steps, dtype=torch.float64)
    else:
        time = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        betas = 1 - f[1:] / f[:-1]
    return (1 - betas.clamp(max=BETA_MAX)).cumprod(0)


class Schedule(nn.Module, ABC):
    @abstractmethod
    def gamma(self, t: Tensor) -> Tensor:
        """gamma(t) of times t in [0, 1], same shape."""

    @abstractmethod
    def slope(self, t: Tensor) -> Tensor:
        """d gamma/dt, same shape."""

    @abstractmethod
    def ends(self) -> tuple[Tensor, Tensor]:
        """gamma(0) and gamma(1)."""


class TabulatedSchedule(Schedule):
    """A table of levels, between which gamma is interpolated linearly."""

    gammas: Tensor

    def __init__(self, alphas_bar: Tensor) -> None:
        super().__init__()
        assert (alphas_bar.diff() < 0).all(), "every step adds noise"
        self.register_buffer("gammas", -torch.logit(alphas_bar).float())

    def ends(self) -> tuple[Tensor, Tensor]:
        return self.gammas[0], self.gammas[-1]

    def gamma(self, t: Tensor) -> Tensor:
        i, weight = self._position(t)
        return torch.lerp(self.gammas[i], self.gammas[i + 1], weight)

    def slope(self, t: Tensor) -> Tensor:
        i, _ = self._position(t)
        return (self.gammas[i + 1] - self.gammas[i]) * (len(self.gammas) - 1)

    def evenly_in_gamma(self, u: Tensor, *, discrete: bool) -> tuple[Tensor, Tensor]:
        """Times t with gamma(t) = gamma(0) + u (gamma(1) - gamma(0)) for u in [0, 1], and their density for uniform u, (n,).

        With `discrete`, t is the next level, never the first, and in place of the density stands the probability of the level in
        units of 1/T.
        """
        cumulative = (self.gammas - self.gammas[0]) / (self.gammas[-1] - self.gammas[0])
        last = len(cumulative) - 1
        i = torch.searchsorted(cumulative, u.contiguous()).clamp(1, last)
        probability = cumulative[i] - cumulative[i - 1]
        if discrete:
            return i / last, probability * (last + 1)
        return (i - 1 + (u - cumulative[i - 1]) / probability) / last, probability * last

    def _position(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the level before t, and the weight of the level after it."""
        last = len(self.gammas) - 1
        position = t * last
        # The time of a level is found exactly, in spite of the rounding of t.
        position = torch.where((position - position.round()).abs() < 1e-3, position.round(), position)
        i = position.floor().clamp(0, last - 1)
        return i.long(), position - i


class LearnedSchedule(Schedule):
    """gamma(t) = gamma_0 + (gamma_1 - gamma_0) (g(t) - g(0))/(g(1) - g(0)) with two learned ends, and between them

    g(t) = a t + sum_k b_k sigmoid(c_k t + d_k), where a, b, c > 0.
    """

    interval: Tensor
    couples = "the learned schedule follows the mean loss of the whole batch"

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Parameter(torch.tensor(GAMMA_MIN)), nn.Parameter(torch.tensor(GAMMA_MAX))
        self.a = nn.Parameter(torch.tensor(_inverse_softplus(1.0)))
        self.b = nn.Parameter(torch.full((WIDTH,), _inverse_softplus(0.1 / WIDTH)))
        self.c = nn.Parameter(torch.full((WIDTH,), _inverse_softplus(10.0)))
        self.d = nn.Parameter(-10 * torch.linspace(0, 1, WIDTH))
        self.register_buffer("interval", torch.tensor([0.0, 1.0]))

    def interior(self) -> list[nn.Parameter]:
        """Parameters on which the bound in continuous time does not depend, but the variance of its estimate does."""
        return [self.a, self.b, self.c, self.d]

    def ends(self) -> tuple[Tensor, Tensor]:
        return self.first, self.last

    def gamma(self, t: Tensor) -> Tensor:
        low, high = self._g(self.interval)
        gamma: Tensor = self.first + (self.last - self.first) * (self._g(t) - low) / (high - low)
        return gamma

    def slope(self, t: Tensor) -> Tensor:
        low, high = self._g(self.interval)
        b, c = softplus(self.b), softplus(self.c)
        s = torch.sigmoid(c * t[..., None] + self.d)
        rise: Tensor = softplus(self.a) + (b * c * s * (1 - s)).sum(-1)
        slope: Tensor = (self.last - self.first) * rise / (high - low)
        return slope

    def _g(self, t: Tensor) -> Tensor:
        b, c = softplus(self.b), softplus(self.c)
        g: Tensor = softplus(self.a) * t + (b * torch.sigmoid(c * t[..., None] + self.d)).sum(-1)
        return g


def _inverse_softplus(y: float) -> float:
    return math.log(math.expm1(y))


def schedule_of(name: ScheduleName, steps: int | None) -> Schedule:
    """The schedule of that name with `steps` levels, or in continuous time where `steps` is None."""
    return LearnedSchedule() if name == "learned" else TabulatedSchedule(alphas_bar(name, steps or INTERPOLATED_LEVELS))
