"""Chains that go on from one update to the next (Tieleman 2008; Du & Mordatch 2019): a buffer from which each batch takes some.

Slots are drawn without replacement, so that every one is written once and in no particular order. A share of the chains is begun
anew each time; the age of a chain is the number of batches that it has been in.
"""

import torch
from torch import Tensor, nn


class Replay(nn.Module):
    states: Tensor
    ages: Tensor

    def __init__(self, states: Tensor, restart: float) -> None:
        """`states` (slots, ...) of fresh chains."""
        super().__init__()
        self.restart = restart
        self.register_buffer("states", states)
        self.register_buffer("ages", torch.zeros(len(states), dtype=torch.int64, device=states.device))

    def __len__(self) -> int:
        return len(self.states)

    def take(self, fresh: Tensor) -> tuple[Tensor, Tensor]:
        """Slots (n,) and their states; in some of them `fresh` ones (n, ...) take the place of what was there."""
        slots = torch.randperm(len(self.states), device=self.states.device)[: len(fresh)]
        begun = torch.rand(len(fresh), device=fresh.device) < self.restart
        self.ages[slots] = torch.where(begun, 0, self.ages[slots])
        return slots, torch.where(begun.view(-1, *[1] * (fresh.ndim - 1)), fresh, self.states[slots])

    def put(self, slots: Tensor, states: Tensor) -> None:
        """Keep where the chains of `slots` have got to."""
        self.states[slots] = states
        self.ages[slots] += 1

    def older(self, n: int) -> Tensor:
        """States (n, ...) of chains drawn from the half that has run for longest; each at most once where there are enough."""
        half = self.ages.argsort(descending=True, stable=True)[: max(1, len(self.states) // 2)]
        drawn = torch.randperm(len(half), device=half.device)[:n]
        if len(half) < n:
            drawn = torch.randint(len(half), (n,), device=half.device)
        return self.states[half[drawn]]
