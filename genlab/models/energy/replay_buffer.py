"""Replay buffer of persistent chains (Tieleman 2008; Du & Mordatch 2019): the next updates continue from where chains stopped.

A batch takes random slots without replacement, so that each of them is written once. In a share of the slots new chains begin.
The age of a chain is the number of batches that have used it. Processes that share the batches have slots of their own.
"""

import torch
from torch import Tensor, nn

from genlab.numerics import shares


class ReplayBuffer(nn.Module):
    states: Tensor
    ages: Tensor
    dealt_rows = ("states", "ages")

    def __init__(self, states: Tensor, restart: float) -> None:
        """`states` (slots, ...) of new chains. `restart`: the share of chains that begin anew in each batch."""
        super().__init__()
        self.restart = restart
        self.register_buffer("states", states)
        self.register_buffer("ages", torch.zeros(len(states), dtype=torch.int64, device=states.device))

    def __len__(self) -> int:
        return len(self.states)

    def room(self, n: int) -> int:
        """How many of n examples of this process have a chain."""
        return min(n, len(shares.mine(self.ages)))

    def take(self, new: Tensor) -> tuple[Tensor, Tensor]:
        """Slots (n,) and the states of their chains; where a chain begins anew, its state is that of `new` (n, ...)."""
        slots = shares.places(len(shares.mine(self.ages)), self.ages.device)[: len(new)]
        restarted = torch.rand(len(new), device=new.device) < self.restart
        self.ages[slots] = torch.where(restarted, 0, self.ages[slots])
        return slots, torch.where(restarted.view(-1, *[1] * (new.ndim - 1)), new, self.states[slots])

    def put(self, slots: Tensor, states: Tensor) -> None:
        """Store the new states of the chains in `slots`."""
        self.states[slots] = states
        self.ages[slots] += 1

    def older_half(self) -> Tensor:
        """States (slots/2, ...) of the older half of the chains, the oldest first."""
        states, ages = shares.mine(self.states), shares.mine(self.ages)
        return states[ages.argsort(descending=True, stable=True)[: max(1, len(states) // 2)]]
