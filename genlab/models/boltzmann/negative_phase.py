"""Three ways to the negative phase <.>_model of a restricted Boltzmann machine: where its Gibbs chains start.

One sweep draws v ~ p(v|h), then h ~ p(h|v). The last h of a phase stays a probability, which has less variance than a draw.

    ContrastiveDivergence   k sweeps from the h of the data, CD-k (Hinton 2002). It is biased towards the data.
    PersistentChains        k sweeps from where the chains of the last update stopped, PCD-k (Tieleman 2008). It is exact in the
                            limit of slow learning.
    TemperedChains          persistent chains at inverse temperatures 0 = beta_1 < ... < beta_T = 1. Neighbours exchange their
                            states with probability min(1, p_i(v_j) p_j(v_i) / p_i(v_i) p_j(v_j)) (Desjardins et al. 2010). The
                            chains at beta = 1 are those of the model.

Chains are kept as h, so that a sweep of a persistent chain costs what a sweep of contrastive divergence does.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genlab.models.base import Metrics
from genlab.models.boltzmann.layers import Layers
from genlab.numerics import shares
from genlab.numerics.rng import bernoulli
from genlab.numerics.softplus import softplus

Negative = Literal["cd", "pcd", "tempered"]


class NegativePhase(nn.Module, ABC):
    chains: int | None = None
    """Number of chains at beta = 1; None for as many as there are examples in a batch."""
    replayable: ClassVar[bool] = True
    """Whether every phase does the same operations."""
    dealt_rows: ClassVar[Sequence[str]] = ()
    """Buffers of chains, of which each process that shares the batches moves its own."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: Metrics = {}
        """Scalars of the last phase."""

    @abstractmethod
    def forward(self, machine: Layers, h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        """Run a phase: write u(v) to `u` (m, visible) and p(h|v) to `h` (m, hidden), and return v (m, visible).

        `h_data` (n, hidden) is p(h|data).
        """

    @property
    def own_chains(self) -> int | None:
        """How many chains at beta = 1 this process moves; None for as many as it has examples."""
        return None if self.chains is None else self.chains // shares.count()

    @abstractmethod
    def fantasies(self) -> Tensor | None:
        """Hidden units of the persistent chains, the fantasy particles: (chains, hidden). None where there are none."""


def gibbs_sweeps(machine: Layers, k: int, h: Tensor, u: Tensor, p: Tensor) -> Tensor:
    """k sweeps from hidden units h, which are overwritten. Writes u(v) to `u` and p(h|v) to `p`, and returns v."""
    v = u if machine.sees_units else machine.workspace("v", *u.shape)
    for i in range(k):
        machine.visible_input(h, out=v)
        if machine.mean_field:
            v.copy_(machine.mean_visible(v))
        else:
            machine.draw_visible(v)
        machine.hidden_input(machine.inputs(v, out=u), out=p).sigmoid_()
        if i + 1 < k:
            bernoulli(p, out=h)
    return v


class ContrastiveDivergence(NegativePhase):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, machine: Layers, h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        start = bernoulli(h_data, out=machine.workspace("h_data", *h_data.shape))
        return gibbs_sweeps(machine, self.k, start, u, h)

    def fantasies(self) -> None:
        return None


class PersistentChains(NegativePhase):
    h: Tensor
    dealt_rows = ("h",)

    def __init__(self, k: int, chains: int, hidden: int) -> None:
        super().__init__()
        self.k, self.chains = k, chains
        self.register_buffer("h", bernoulli(torch.full((chains, hidden), 0.5)))

    def forward(self, machine: Layers, h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        own = shares.mine(self.h)
        v = gibbs_sweeps(machine, self.k, own, u, h)
        bernoulli(h, out=own)
        return v

    def fantasies(self) -> Tensor:
        return shares.mine(self.h)


class TemperedChains(NegativePhase):
    h: Tensor
    beta: Tensor
    replayable = False  # which neighbours exchange is drawn in Python
    dealt_rows = ("h",)

    def __init__(self, k: int, chains: int, hidden: int, temperatures: int) -> None:
        super().__init__()
        self.k, self.chains, self.temperatures = k, chains, temperatures
        self.register_buffer("h", bernoulli(torch.full((temperatures * chains, hidden), 0.5)))
        self.register_buffer("beta", torch.linspace(0, 1, temperatures).repeat_interleave(chains).unsqueeze(1))

    def forward(self, machine: Layers, h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        rates, own, beta = [], shares.mine(self.h), shares.mine(self.beta)
        for _ in range(self.k):
            v = machine.draw_visible(machine.visible_input(own), beta)
            z = machine.hidden_input(machine.inputs(v))
            order, rate = self.exchange(machine, v, z)
            v, z = v[order], z[order]
            p = torch.sigmoid(beta * z)
            bernoulli(p, out=own)
            rates.append(rate)
        self.metrics = {"exchanges": torch.stack(rates).mean()}
        assert self.own_chains is not None
        h.copy_(p[-self.own_chains :])
        machine.inputs(v[-self.own_chains :], out=u)
        return v[-self.own_chains :]

    def exchange(self, machine: Layers, v: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """The row that goes to each place after exchanges between every other pair of neighbours, and the exchange rate."""
        assert self.own_chains is not None
        m, t = self.own_chains, self.temperatures
        energy, base = machine.visible_energy(v), machine.base_energy(v)
        rows = torch.arange(t * m, device=v.device).view(t, m)
        first = int(torch.randint(2, ()))
        hot = rows[first : t - 1 : 2].flatten()
        cold = hot + m  # the neighbours at the next higher beta
        if len(hot) == 0:
            return rows.flatten(), torch.zeros((), device=v.device)

        def log_p(of: Tensor, at: Tensor) -> Tensor:
            beta = shares.mine(self.beta)[at]
            visible = -(1 - beta[:, 0]) * base[of] - beta[:, 0] * energy[of]
            return visible + softplus(beta * z[of]).sum(1)

        log_ratio = log_p(hot, cold) + log_p(cold, hot) - log_p(hot, hot) - log_p(cold, cold)
        exchanged = torch.rand_like(log_ratio).log() < log_ratio
        order = rows.flatten().clone()
        order[hot], order[cold] = torch.where(exchanged, cold, hot), torch.where(exchanged, hot, cold)
        return order, exchanged.float().mean()

    def fantasies(self) -> Tensor:
        return shares.mine(self.h)[-(self.own_chains or 0) :]


def negative_phase_of(name: Negative, k: int, chains: int, hidden: int, temperatures: int) -> NegativePhase:
    """The negative phase that model.negative names."""
    if name == "cd":
        return ContrastiveDivergence(k)
    if name == "pcd":
        return PersistentChains(k, chains, hidden)
    return TemperedChains(k, chains, hidden, temperatures)
