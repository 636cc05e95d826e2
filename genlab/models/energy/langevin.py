"""Transitions of Markov chains that follow the slope of an energy E(u), u real.

    Langevin   u' = u - s grad E(u) + n eps,  eps ~ N(0, I)
    Mala       the same with n^2 = 2 s as a proposal, accepted with probability
               min(1, exp(E(u) - E(u')) q(u|u') / q(u'|u)),  q(u'|u) = N(u - s grad E(u), 2 s)

With n^2 = 2 s the first samples exp(-E) as s -> 0 (Parisi 1981; Roberts & Tweedie 1996); of E = u^2/2 sigma^2 it has the variance
sigma^2/(1 - s/2 sigma^2). With s and n set apart, as Du & Mordatch (2019) do for pictures, it is n^2/(1 - (1 - s/sigma^2)^2), and
for small s chains sample exp(-E/T) with the temperature T = n^2/2s. The second has p = exp(-E)/Z exactly whatever s is, which
follows the acceptance in training (0.57 of the proposals is best in many dimensions; Roberts & Rosenthal 1998). The slope may be
clipped: the correction takes any drift.

A box keeps the components in [low, high]. Langevin chains are clipped to it. Those of Mala drift no further than its walls and
are reflected there, which makes q a sum over the mirror images of u'; their step has an upper limit, beyond which more images
than the nearest would count.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from genlab.models.base import Metrics

Energy = Callable[[Tensor], Tensor]
"""States (n, ...) -> energies (n,)."""
Box = tuple[float, float] | None

ACCEPTANCE = 0.57
ADAPTATION = 0.03  # change of log s for an acceptance that is off by 1
LONGEST = 1 / 50  # longest step in a box, in squares of its width: images that are left out count e^-12 of the others


class Point:
    """States u (n, ...) of chains, with the energy there and its slope, which are worked out when they are asked for."""

    def __init__(self, energy: Energy, u: Tensor, known: tuple[Tensor, Tensor] | None = None) -> None:
        self.at, self.u = energy, u.detach()
        if known is not None:
            self.known = known

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = self.u.requires_grad_()
            energy = self.at(u)
            (slope,) = torch.autograd.grad(energy.sum(), u)
        self.u = self.u.detach()
        return energy.detach(), slope

    @property
    def energy(self) -> Tensor:
        return self.known[0]

    @property
    def slope(self) -> Tensor:
        return self.known[1]


def chosen(accepted: Tensor, there: Point, here: Point) -> Point:
    """`there` for chains that `accepted` (n,) the move, `here` for the others."""

    def choose(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(accepted.view(-1, *[1] * (new.ndim - 1)), new, old)

    known = choose(there.energy, here.energy), choose(there.slope, here.slope)
    return Point(here.at, choose(there.u, here.u), known)


class Transition(nn.Module, ABC):
    """One step of every chain. `report` has scalars of the last one."""

    step: Tensor
    adapts: ClassVar[bool] = True
    longest = math.inf
    """The step grows no further."""
    temperature = 1.0
    """The chains sample exp(-E/T)."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.register_buffer("step", torch.tensor(float(step)))
        self.report: Metrics = {}

    @abstractmethod
    def forward(self, here: Point) -> Point: ...

    def judge(self, log_ratio: Tensor, here: Point) -> Tensor:
        """Which proposals are accepted, (n,), from the logs of their probabilities; while training, the step follows."""
        accepted = torch.rand_like(log_ratio).log() < log_ratio
        share = accepted.float().mean()
        self.report = {"acceptance": share, "slope": norm(here.slope)}
        if self.training and self.adapts:
            self.step.mul_(torch.exp(ADAPTATION * (share - ACCEPTANCE))).clamp_(max=self.longest)
        return accepted


def norm(slope: Tensor) -> Tensor:
    """Mean over chains of |grad E|."""
    found: Tensor = slope.flatten(1).norm(dim=1).mean()
    return found


class Langevin(Transition):
    adapts = False

    def __init__(self, step: float, noise: float, clip: float | None, box: Box) -> None:
        super().__init__(step)
        self.noise, self.clip, self.box = noise, clip, box
        self.temperature = 1.0 if math.isclose(noise, thermal(step)) else noise**2 / (2 * step)

    def forward(self, here: Point) -> Point:
        slope = here.slope if self.clip is None else here.slope.clamp(-self.clip, self.clip)
        self.report = {"slope": norm(here.slope)}
        u = torch.addcmul(here.u, slope, self.step, value=-1)
        if self.noise:
            u.add_(torch.randn_like(u), alpha=self.noise)
        return Point(here.at, u if self.box is None else u.clamp_(*self.box))


class Mala(Transition):
    def __init__(self, step: float, clip: float | None, box: Box) -> None:
        super().__init__(step)
        self.clip, self.box = clip, box
        self.longest = longest_in(box)

    def forward(self, here: Point) -> Point:
        u = self.drifted(here)
        u = u + (2 * self.step).sqrt() * torch.randn_like(u)
        there = Point(here.at, u if self.box is None else self.reflect(u))
        log_ratio = here.energy - there.energy + self.log_q(there, here) - self.log_q(here, there)
        return chosen(self.judge(log_ratio, here), there, here)

    def drifted(self, here: Point) -> Tensor:
        slope = here.slope if self.clip is None else here.slope.clamp(-self.clip, self.clip)
        u = here.u - self.step * slope
        return u if self.box is None else u.clamp(*self.box)

    def log_q(self, start: Point, end: Point) -> Tensor:
        """log q(end|start) up to a constant, (n,)."""
        mean = self.drifted(start)
        if self.box is None:
            return -(end.u - mean).square().flatten(1).sum(1) / (4 * self.step)
        low, high = self.box
        images = torch.stack([end.u, 2 * low - end.u, 2 * high - end.u])  # others are farther than the box is wide
        return torch.logsumexp(-(images - mean).square() / (4 * self.step), 0).flatten(1).sum(1)

    def reflect(self, u: Tensor) -> Tensor:
        assert self.box is not None
        low, high = self.box
        width = high - low
        return low + width - ((u - low).remainder(2 * width) - width).abs()


def longest_in(box: Box) -> float:
    """The longest step of Mala."""
    return math.inf if box is None else LONGEST * (box[1] - box[0]) ** 2


def thermal(step: float) -> float:
    """The noise n with which Langevin chains of this step sample exp(-E): temperature 1."""
    return math.sqrt(2 * step)
