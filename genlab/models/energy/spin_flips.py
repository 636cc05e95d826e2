"""Transitions of Markov chains of spins u_i = +-1 along the gradient of an energy E(u) that is defined between them too.

To first order a flip of u_i lowers the energy by

    d_i = 2 u_i dE/du_i.

The proposals use this approximation, and the Metropolis correction makes the distribution exp(-E)/Z exact, however good it is.

    SingleFlip   flips one spin, i ~ softmax(d/2): Gibbs with gradients (Grathwohl et al. 2021)
    ManyFlips    flips each spin independently, with probability sigmoid(d_i/2 - 1/s): the discrete Langevin proposal (Zhang,
                 Liu & Liu 2022). In training s follows the acceptance rate
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.models.energy.chains import State, Transition


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
        log_q, log_q_reverse = F.logsigmoid(sign * logits), F.logsigmoid(sign * logits_reverse)
        log_ratio = state.energy - proposal.energy + (log_q_reverse - log_q).sum(1)
        return self.accept(log_ratio, proposal, state)
