"""Markov chains of an energy E(u): their states, one transition of them, and its repetition.

A transition leaves the distribution exp(-E)/Z as it is, exactly with a Metropolis correction (`accept`), approximately without.
The transitions are in transitions.py.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor, nn

from genlab.numerics import shares

Energy = Callable[[Tensor], Tensor]
"""States (n, ...) -> energies (n,)."""

TARGET_ACCEPTANCE = 0.57  # best in many dimensions (Roberts & Rosenthal 1998)
ADAPTATION_RATE = 0.03  # change of log step for an acceptance rate that is off by 1


class State:
    """States u (n, ...) of n chains. Their energy and its gradient are computed once, when they are needed."""

    def __init__(self, function: Energy, u: Tensor, known: tuple[Tensor, Tensor] | None = None) -> None:
        """`known`: the energies of u and their gradients, where they are known already."""
        self.function, self.u = function, u.detach()
        if known is not None:
            self.energy_and_gradient = known

    @cached_property
    def energy_and_gradient(self) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = self.u.requires_grad_()
            energy = self.function(u)
            (gradient,) = torch.autograd.grad(energy.sum(), u)
        self.u = self.u.detach()
        return energy.detach(), gradient

    @property
    def energy(self) -> Tensor:
        """E(u), (n,)."""
        return self.energy_and_gradient[0]

    @property
    def gradient(self) -> Tensor:
        """grad E(u), (n, ...)."""
        return self.energy_and_gradient[1]

    @property
    def gradient_norm(self) -> Tensor:
        """|grad E(u)|, averaged over chains; a scalar."""
        norm: Tensor = self.gradient.flatten(1).norm(dim=1).mean()
        return norm


class Transition(nn.Module, ABC):
    """One step of every chain. `report` holds scalars of the last one."""

    step: Tensor
    adapts: ClassVar[bool] = True
    """Whether the step size follows the acceptance rate in training."""
    max_step = math.inf
    """Largest step size that the adaptation reaches."""
    couples = "chains move once an update"
    temperature = 1.0
    """T of the distribution exp(-E/T) that the chains sample."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.register_buffer("step", torch.tensor(float(step)))
        self.report: dict[str, Tensor] = {}

    @abstractmethod
    def forward(self, state: State) -> State: ...

    def accept(self, log_ratio: Tensor, proposal: State, state: State) -> State:
        """The Metropolis correction: `proposal` with probability min(1, exp(log_ratio)) for each chain, else `state`.

        `log_ratio` (n,) is E(u) - E(u') + log q(u|u') - log q(u'|u). In training the step size follows the acceptance rate.
        """
        accepted = torch.rand_like(log_ratio).log() < log_ratio
        acceptance = accepted.float().mean()
        self.report = {"acceptance": acceptance, "slope": state.gradient_norm}
        if self.training and self.adapts:
            rate = shares.whole_mean(acceptance)
            self.step.mul_(torch.exp(ADAPTATION_RATE * (rate - TARGET_ACCEPTANCE))).clamp_(max=self.max_step)

        def select(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(accepted.view(-1, *[1] * (new.ndim - 1)), new, old)

        known = select(proposal.energy, state.energy), select(proposal.gradient, state.gradient)
        return State(state.function, select(proposal.u, state.u), known)


@torch.no_grad()
def run(
    transition: Transition, energy_at: Callable[[float], Energy], betas: Iterable[float], u: Tensor
) -> Iterator[State]:
    """States of chains from u (n, ...) after one transition of E_beta = energy_at(beta) at each of `betas`."""
    state, previous = None, None
    for beta in betas:
        if state is None or beta != previous:  # where beta stays, energy and gradient are known
            state = State(energy_at(beta), u if state is None else state.u)
        state, previous = transition(state), beta
        yield state
