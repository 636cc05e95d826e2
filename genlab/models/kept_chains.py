"""Markov chains that a model keeps from its training, and samples that go on from them."""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class KeepsChains(Protocol):
    """Samples may go on from kept chains. Its sample_loop then has an argument `chains`: the number of the chain of each."""

    def chains_continued(self, sampler: str | None = None, labels: list[int] | int | None = None) -> int:
        """How many chains there are from which samples with these options go on; 0 where every sample begins its own."""
        ...


def continued(states: Tensor, chains: list[int] | None, n: int) -> Tensor:
    """States (n, ...) of the kept ones (C, ...) from which n samples go on: of `chains`, or without it of random ones."""
    if chains is None:
        return states[torch.randint(len(states), (n,), device=states.device)]
    return states[torch.tensor(chains, device=states.device)]
