"""Transitions of Markov chains along the gradient of an energy E(u).

For real u:

    Langevin     u' = u - s grad E(u) + n eps,  eps ~ N(0, I)
    MALA         the same with n^2 = 2 s as a proposal, accepted with probability
                 min(1, exp(E(u) - E(u')) q(u|u') / q(u'|u)),  q(u'|u) = N(u - s grad E(u), 2 s)

Langevin chains with n^2 = 2 s sample exp(-E) as s -> 0 (Parisi 1981; Roberts & Tweedie 1996). For E = u^2/2 sigma^2 their
variance is sigma^2/(1 - s/2 sigma^2). Du & Mordatch (2019) choose s and n independently for pictures. Then the variance is
n^2/(1 - (1 - s/sigma^2)^2), and for small s the chains sample exp(-E/T) with the temperature T = n^2/2s.

MALA, the Metropolis-adjusted Langevin algorithm, has the distribution exp(-E)/Z exactly for every s. In training s follows the
acceptance rate. The gradient may be clipped, because the correction holds for any drift.

Bounds keep the components in [low, high]. Langevin chains are clipped to them. The drift of MALA ends at the bounds, and its
proposals are reflected there, so that q is a sum over the mirror images of u'. Its step size has an upper limit, beyond which
more than the nearest images would count.

For spins u_i = +-1 with an energy that is defined between them too. To first order a flip of u_i lowers the energy by

    d_i = 2 u_i dE/du_i.

The proposals use this approximation. The Metropolis correction makes the distribution exp(-E)/Z exact, however good it is.

    SingleFlip   flips one spin, i ~ softmax(d/2): Gibbs with gradients (Grathwohl et al. 2021)
    ManyFlips    flips each spin independently, with probability sigmoid(d_i/2 - 1/s): the discrete Langevin proposal (Zhang,
                 Liu & Liu 2022). In training s follows the acceptance rate
"""

import math

import torch
from torch import Tensor

from genlab.models.energy.chains import State, Transition
from genlab.numerics.softplus import logsigmoid

Bounds = tuple[float, float]
"""Smallest and largest value of a component."""

MAX_STEP = 1 / 50  # in units of the squared distance of the bounds: images that are left out count e^-12 of the others


class Langevin(Transition):
    adapts = False

    def __init__(self, step: float, noise: float, clip: float | None, bounds: Bounds | None) -> None:
        """`clip` is the largest component of the gradient that is used."""
        super().__init__(step)
        self.noise, self.clip, self.bounds = noise, clip, bounds
        self.temperature = 1.0 if math.isclose(noise, unit_temperature_noise(step)) else noise**2 / (2 * step)

    def forward(self, state: State) -> State:
        gradient = state.gradient if self.clip is None else state.gradient.clamp(-self.clip, self.clip)
        self.report = {"slope": state.gradient_norm}
        u = torch.addcmul(state.u, gradient, self.step, value=-1)
        if self.noise:
            u.add_(torch.randn_like(u), alpha=self.noise)
        return State(state.function, u if self.bounds is None else u.clamp_(*self.bounds))


class MALA(Transition):
    def __init__(self, step: float, clip: float | None, bounds: Bounds | None) -> None:
        """`clip` is the largest component of the gradient that is used."""
        super().__init__(step)
        self.clip, self.bounds = clip, bounds
        self.max_step = max_step(bounds)

    def forward(self, state: State) -> State:
        u = self.drift(state)
        u = u + (2 * self.step).sqrt() * torch.randn_like(u)
        proposal = State(state.function, u if self.bounds is None else self.reflect(u))
        log_ratio = state.energy - proposal.energy + self.log_q(proposal, state) - self.log_q(state, proposal)
        return self.accept(log_ratio, proposal, state)

    def drift(self, state: State) -> Tensor:
        """u - s grad E(u), the mean of the proposal, (n, ...)."""
        gradient = state.gradient if self.clip is None else state.gradient.clamp(-self.clip, self.clip)
        u = state.u - self.step * gradient
        return u if self.bounds is None else u.clamp(*self.bounds)

    def log_q(self, start: State, end: State) -> Tensor:
        """log q(end|start) up to a constant, (n,)."""
        mean = self.drift(start)
        if self.bounds is None:
            return -(end.u - mean).square().flatten(1).sum(1) / (4 * self.step)
        low, high = self.bounds
        images = torch.stack(
            [end.u, 2 * low - end.u, 2 * high - end.u]
        )  # other images are farther away than high - low
        return torch.logsumexp(-(images - mean).square() / (4 * self.step), 0).flatten(1).sum(1)

    def reflect(self, u: Tensor) -> Tensor:
        """u with components beyond the bounds reflected into them."""
        assert self.bounds is not None
        low, high = self.bounds
        width = high - low
        return low + width - ((u - low).remainder(2 * width) - width).abs()


def max_step(bounds: Bounds | None) -> float:
    """Largest step size of MALA."""
    return math.inf if bounds is None else MAX_STEP * (bounds[1] - bounds[0]) ** 2


def unit_temperature_noise(step: float) -> float:
    """The noise n = sqrt(2 s) with which Langevin chains sample exp(-E)."""
    return math.sqrt(2 * step)


def energy_decrease(state: State) -> Tensor:
    """d, (n, D)."""
    return 2 * (state.u * state.gradient).flatten(1)


class SingleFlip(Transition):
    adapts = False

    def forward(self, state: State) -> State:
        log_q = torch.log_softmax(energy_decrease(state) / 2, 1)
        i = log_q.exp().multinomial(1)
        u = state.u.flatten(1)
        proposal = State(state.function, u.scatter(1, i, -u.gather(1, i)).view_as(state.u))
        log_q_reverse = torch.log_softmax(energy_decrease(proposal) / 2, 1)
        log_ratio = state.energy - proposal.energy + (log_q_reverse.gather(1, i) - log_q.gather(1, i)).squeeze(1)
        return self.accept(log_ratio, proposal, state)


class ManyFlips(Transition):
    max_step = 1e3  # 1/s is negligible there; where nearly all proposals are accepted, s would grow without end

    def forward(self, state: State) -> State:
        logits = energy_decrease(state) / 2 - 1 / self.step
        flipped = torch.rand_like(logits) < logits.sigmoid()
        proposal = State(state.function, torch.where(flipped.view_as(state.u), -state.u, state.u))
        logits_reverse = energy_decrease(proposal) / 2 - 1 / self.step
        # log q is the sum of log sigmoid(z) over the spins that flip and of log sigmoid(-z) over the others.
        sign = torch.where(flipped, 1.0, -1.0)
        log_q, log_q_reverse = logsigmoid(sign * logits), logsigmoid(sign * logits_reverse)
        log_ratio = state.energy - proposal.energy + (log_q_reverse - log_q).sum(1)
        return self.accept(log_ratio, proposal, state)
