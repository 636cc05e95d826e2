"""Schedules of noise: how much of the data is left at time t in [0, 1].

A noised example is x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps, eps ~ N(0, I). All that matters of t is the
logarithm of the signal-to-noise ratio, SNR = alpha_bar/(1 - alpha_bar), so a schedule is the non-decreasing function

    gamma(t) = -log SNR(t),   alpha_bar = sigmoid(-gamma),   1 - alpha_bar = sigmoid(gamma)

(Kingma et al. 2021). With T noise levels, level i = 1..T is at t = (i - 1)/(T - 1): t = 0 is the least noise, t = 1 the most.

    linear    1 - alpha_t from 1e-4 to 0.02 in T = 1000 steps, alpha_bar_t = prod_s alpha_s (Ho et al. 2020)
    cosine    alpha_bar_t = f(t)/f(0), f(t) = cos^2((t/T + 0.008)/1.008 pi/2) (Nichol & Dhariwal 2021)
    learned   a monotone network (Kingma et al. 2021)

The first levels of the fixed ones lie a factor apart in noise however many there are, so with them the variational bound does not
become tight as T grows; it does for levels that are evenly spaced in gamma, as those of a learned schedule are at first.
"""

import math
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from genlab.numerics.softplus import softplus

ScheduleName = Literal["linear", "cosine", "learned"]

CONTINUOUS = 1000
"""Levels between which a schedule in continuous time is interpolated."""
LARGEST_STEP = 0.999  # 1 - alpha_t, where a schedule would end in nothing but noise
LEAST_NOISE, MOST_NOISE = -13.3, 5.0  # gamma at both ends of a learned schedule, at first
WIDTH = 128  # of the monotone network


class Level(NamedTuple):
    """alpha = sqrt(alpha_bar) and sigma = sqrt(1 - alpha_bar), of gamma's shape or to be spread over an example's components."""

    alpha: Tensor
    sigma: Tensor


def level(gamma: Tensor, like: Tensor | None = None) -> Level:
    """The level of noise at `gamma` (n,); its parts are of shape (n, 1, ...) beside examples `like` (n, *shape)."""
    g = gamma if like is None else gamma.view(-1, *[1] * (like.ndim - 1))
    return Level(torch.sigmoid(-g).sqrt(), torch.sigmoid(g).sqrt())


def added_noise(before: Tensor, after: Tensor) -> Tensor:
    """1 - alpha_t of the step from gamma `before` to `after`; no digits are lost where it is small."""
    return torch.sigmoid(after) * -torch.expm1(before - after)


def alphas_bar(name: Literal["linear", "cosine"], steps: int) -> Tensor:
    """alpha_bar_1..alpha_bar_T of T = `steps` levels, in float64."""
    if name == "linear":
        betas = torch.linspace(0.1 / steps, 20 / steps, steps, dtype=torch.float64)
    else:
        time = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((time + 0.008) / 1.008 * math.pi / 2).square()
        betas = 1 - f[1:] / f[:-1]
    return (1 - betas.clamp(max=LARGEST_STEP)).cumprod(0)


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
    """Levels that are known, and straight lines of gamma between them."""

    gammas: Tensor

    def __init__(self, alphas_bar: Tensor) -> None:
        super().__init__()
        assert (alphas_bar.diff() < 0).all(), "every step adds noise"
        self.register_buffer("gammas", -torch.logit(alphas_bar).float())

    def ends(self) -> tuple[Tensor, Tensor]:
        return self.gammas[0], self.gammas[-1]

    def gamma(self, t: Tensor) -> Tensor:
        i, weight = self._place(t)
        return torch.lerp(self.gammas[i], self.gammas[i + 1], weight)

    def slope(self, t: Tensor) -> Tensor:
        i, _ = self._place(t)
        return (self.gammas[i + 1] - self.gammas[i]) * (len(self.gammas) - 1)

    def evenly(self, u: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        """Times whose gamma is as far on its way as u in [0, 1] says, and the density at which uniform u draw them; only
        levels after the first, where they are to be `whole`, with their probabilities in units of 1/T.
        """
        reached = (self.gammas - self.gammas[0]) / (self.gammas[-1] - self.gammas[0])
        last = len(reached) - 1
        i = torch.searchsorted(reached, u.contiguous()).clamp(1, last)
        share = reached[i] - reached[i - 1]
        if whole:
            return i / last, share * (last + 1)
        return (i - 1 + (u - reached[i - 1]) / share) / last, share * last

    def _place(self, t: Tensor) -> tuple[Tensor, Tensor]:
        last = len(self.gammas) - 1
        place = t * last
        # A level that is meant is met, however t was rounded.
        place = torch.where((place - place.round()).abs() < 1e-3, place.round(), place)
        i = place.floor().clamp(0, last - 1)
        return i.long(), place - i


class LearnedSchedule(Schedule):
    """gamma(t) = gamma_0 + (gamma_1 - gamma_0) (g(t) - g(0))/(g(1) - g(0)) with two learned ends, and between them

    g(t) = a t + sum_k b_k sigmoid(c_k t + d_k), where a, b, c > 0.
    """

    interval: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Parameter(torch.tensor(LEAST_NOISE)), nn.Parameter(torch.tensor(MOST_NOISE))
        self.a = nn.Parameter(torch.tensor(_inverse_softplus(1.0)))
        self.b = nn.Parameter(torch.full((WIDTH,), _inverse_softplus(0.1 / WIDTH)))
        self.c = nn.Parameter(torch.full((WIDTH,), _inverse_softplus(10.0)))
        self.d = nn.Parameter(-10 * torch.linspace(0, 1, WIDTH))
        self.register_buffer("interval", torch.tensor([0.0, 1.0]))

    def interior(self) -> list[nn.Parameter]:
        """Parameters of which the bound in continuous time does not depend, but its variance does."""
        return [self.a, self.b, self.c, self.d]

    def ends(self) -> tuple[Tensor, Tensor]:
        return self.first, self.last

    def gamma(self, t: Tensor) -> Tensor:
        low, high = self._g(self.interval)
        found: Tensor = self.first + (self.last - self.first) * (self._g(t) - low) / (high - low)
        return found

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
    """The schedule of that name, with so many levels, or (None) in continuous time."""
    return LearnedSchedule() if name == "learned" else TabulatedSchedule(alphas_bar(name, steps or CONTINUOUS))
