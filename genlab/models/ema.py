"""Running averages of the parameters of a network (Polyak & Juditsky 1992): theta <- d theta + (1 - d) theta_now.

Stochastic gradient descent fluctuates about the minimum of a loss, and the players of a game rotate about their equilibrium. The
average is closer to it.
"""

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn

from genlab.numerics import shares


class FrozenCopy(nn.Module):
    """A copy of a network that is trained elsewhere. Gradients flow to its input only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.train(False)

    def forward(self, *inputs: Any) -> Tensor:
        out: Tensor = self.network(*inputs)
        return out

    def train(self, mode: bool = True) -> Self:
        """Stays in evaluation mode: no dropout, and batch normalisation by its running statistics."""
        return super().train(False)

    def take(self, network: nn.Module) -> None:
        """Copy the present state of the network, or of a copy of it."""
        self.network.load_state_dict((network.network if isinstance(network, FrozenCopy) else network).state_dict())


class EMA(FrozenCopy):
    """`decay` is d. At first the average is over a share `reach` of the updates so far; with 1 all have the same weight."""

    updates: Tensor

    def __init__(self, network: nn.Module, decay: float, reach: float = 1.0) -> None:
        super().__init__(network)
        self.decay, self.reach = decay, reach
        self.register_buffer("updates", torch.zeros(()))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Include the present parameters of the network, and its running statistics, in the average."""
        if not shares.last_turn():  # of an update in parts: the parameters have not moved
            return
        weight = (1 / (1 + self.reach * self.updates)).clamp_min(1 - self.decay)
        self.updates += 1
        averages, values = [], []
        for (name, average), (_, value) in zip(_state_of(self.network), _state_of(network), strict=True):
            # Singular vectors of spectral norms have length 1, and their average would not.
            if average.is_floating_point() and not name.endswith(("._u", "._v")):
                averages.append(_own(average))
                values.append(_own(value))
            else:
                average.copy_(value)
        if weight.is_cpu:
            for average, value in zip(averages, values, strict=True):
                average.lerp_(value, weight)
            return
        # The same in three launches: one launch for each tensor takes an accelerator longer than the update of the network.
        steps = torch._foreach_sub(values, averages)
        torch._foreach_mul_(steps, weight)
        torch._foreach_add_(averages, steps)


def _own(value: Tensor) -> Tensor:
    """The part of a sharded parameter (training/sharding.py) that this process keeps; any other as it is."""
    part: Tensor = value.to_local() if hasattr(value, "to_local") else value
    return part


def _state_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(network.named_parameters(), network.named_buffers())
