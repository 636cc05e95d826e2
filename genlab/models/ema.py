"""Running averages of the parameters of a network (Polyak & Juditsky 1992): theta <- d theta + (1 - d) theta_now.

Stochastic descent scatters about the minimum of a loss, players of a game circle about their equilibrium; an average lies nearer.
"""

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any, Self

import torch
from torch import Tensor, nn


class FrozenCopy(nn.Module):
    """Another state of a network that is trained elsewhere, with gradients of its input only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.train(False)

    def forward(self, *given: Any) -> Tensor:
        out: Tensor = self.network(*given)
        return out

    def train(self, mode: bool = True) -> Self:
        """It is never trained: no dropout, and the statistics that were gathered in the place of a batch's own."""
        return super().train(False)

    def take(self, now: nn.Module) -> None:
        """Become a copy of the network as it is now, or of a copy of it."""
        self.network.load_state_dict((now.network if isinstance(now, FrozenCopy) else now).state_dict())


class EMA(FrozenCopy):
    """`decay` is d. At first it reaches over a share `reach` of the updates so far: with 1 it weighs all of them alike."""

    updates: Tensor

    def __init__(self, network: nn.Module, decay: float, reach: float = 1.0) -> None:
        super().__init__(network)
        self.decay, self.reach = decay, reach
        self.register_buffer("updates", torch.zeros(()))

    @torch.no_grad()
    def follow(self, now: nn.Module) -> None:
        """Take in the new parameters of the network, and its statistics of batches."""
        weight = (1 / (1 + self.reach * self.updates)).clamp_min(1 - self.decay)
        self.updates += 1
        averages, values = [], []
        for (name, average), (_, value) in zip(_state_of(self.network), _state_of(now), strict=True):
            # Singular vectors, by which spectral norms are taken, have the length 1, and their average has not.
            if average.is_floating_point() and not name.endswith(("._u", "._v")):
                averages.append(average)
                values.append(value)
            else:
                average.copy_(value)
        if weight.is_cpu:
            for average, value in zip(averages, values, strict=True):
                average.lerp_(value, weight)
            return
        # The same in three launches: one for each tensor would take an accelerator longer than the update of the network.
        steps = torch._foreach_sub(values, averages)
        torch._foreach_mul_(steps, weight)
        torch._foreach_add_(averages, steps)


def _state_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(network.named_parameters(), network.named_buffers())
