"""Three ways to the negative phase <.>_model of a restricted Boltzmann machine: where its Gibbs chains start and what they are.

One sweep draws v ~ p(v|h), then h ~ p(h|v). The last h of a phase stays a probability, which has less variance than a draw.

    Contrastive   k sweeps from the data's own h: contrastive divergence, CD-k (Hinton 2002). Biased towards the data.
    Persistent    k sweeps on from where the chains of the last update stopped: PCD-k (Tieleman 2008). Exact for slow learning.
    Tempered      the same at inverse temperatures 0 = beta_1 < ... < beta_T = 1 at once, where neighbours exchange their
                  states with probability min(1, p_i(v_j) p_j(v_i) / p_i(v_i) p_j(v_j)) (Desjardins et al. 2010); those at
                  beta = 1 are the model's.

Chains are kept as h, so that a sweep of a persistent chain costs what one of contrastive divergence does.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genlab.numerics.rng import bernoulli
from genlab.numerics.softplus import softplus

if TYPE_CHECKING:
    from genlab.models.base import Metrics
    from genlab.models.boltzmann.machine import BoltzmannMachine


class Negative(nn.Module, ABC):
    chains: int | None = None
    """Number of chains at beta = 1; None for as many as there are examples in a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics: Metrics = {}
        """Scalars of the last phase."""

    @abstractmethod
    def forward(self, machine: "BoltzmannMachine", h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        """Run a phase; returns v (m, visible) and writes u(v) to `u` and p(h|v) to `h`. `h_data` is p(h|data)."""

    @abstractmethod
    def fantasies(self) -> Tensor | None:
        """Hidden units of the chains that persist, (chains, hidden)."""


def sweeps(machine: "BoltzmannMachine", k: int, h: Tensor, u: Tensor, p: Tensor) -> Tensor:
    """k sweeps from hidden units h, which are overwritten; as in `Negative.forward`."""
    v = u if machine.sees_units else machine.scratch("v", *u.shape)
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


class Contrastive(Negative):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, machine: "BoltzmannMachine", h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        start = bernoulli(h_data, out=machine.scratch("h_data", *h_data.shape))
        return sweeps(machine, self.k, start, u, h)

    def fantasies(self) -> None:
        return None


class Persistent(Negative):
    h: Tensor

    def __init__(self, machine: "BoltzmannMachine", k: int, chains: int) -> None:
        super().__init__()
        self.k, self.chains = k, chains
        self.register_buffer("h", bernoulli(torch.full((chains, machine.hidden), 0.5)))

    def forward(self, machine: "BoltzmannMachine", h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        v = sweeps(machine, self.k, self.h, u, h)
        bernoulli(h, out=self.h)
        return v

    def fantasies(self) -> Tensor:
        return self.h


class Tempered(Negative):
    h: Tensor
    beta: Tensor

    def __init__(self, machine: "BoltzmannMachine", k: int, chains: int, temperatures: int) -> None:
        super().__init__()
        self.k, self.chains, self.temperatures = k, chains, temperatures
        self.register_buffer("h", bernoulli(torch.full((temperatures * chains, machine.hidden), 0.5)))
        self.register_buffer("beta", torch.linspace(0, 1, temperatures).repeat_interleave(chains).unsqueeze(1))

    def forward(self, machine: "BoltzmannMachine", h_data: Tensor, u: Tensor, h: Tensor) -> Tensor:
        accepted = []
        for _ in range(self.k):
            v = machine.draw_visible(machine.visible_input(self.h), self.beta)
            z = machine.hidden_input(machine.inputs(v))
            order, share = self.exchange(machine, v, z)
            v, z = v[order], z[order]
            p = torch.sigmoid(self.beta * z)
            bernoulli(p, out=self.h)
            accepted.append(share)
        self.metrics = {"exchanges": torch.stack(accepted).mean()}
        assert self.chains is not None
        h.copy_(p[-self.chains :])
        machine.inputs(v[-self.chains :], out=u)
        return v[-self.chains :]

    def exchange(self, machine: "BoltzmannMachine", v: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Which row is to stand in each place after exchanges between every other pair of neighbours; share that exchanged."""
        assert self.chains is not None
        m, t = self.chains, self.temperatures
        energy, base = machine.visible_energy(v), machine.base_energy(v)
        rows = torch.arange(t * m, device=v.device).view(t, m)
        first = int(torch.randint(2, ()))
        cold = rows[first : t - 1 : 2].flatten()  # with their neighbours at the next higher beta
        warm = cold + m
        if len(cold) == 0:
            return rows.flatten(), torch.zeros((), device=v.device)

        def log_p(of: Tensor, at: Tensor) -> Tensor:
            beta = self.beta[at]
            visible = -(1 - beta[:, 0]) * base[of] - beta[:, 0] * energy[of]
            return visible + softplus(beta * z[of]).sum(1)

        log_ratio = log_p(cold, warm) + log_p(warm, cold) - log_p(cold, cold) - log_p(warm, warm)
        exchanged = torch.rand_like(log_ratio).log() < log_ratio
        order = rows.flatten().clone()
        order[cold], order[warm] = torch.where(exchanged, warm, cold), torch.where(exchanged, cold, warm)
        return order, exchanged.float().mean()

    def fantasies(self) -> Tensor:
        return self.h[-(self.chains or 0) :]
