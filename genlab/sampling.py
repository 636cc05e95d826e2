"""Drawing n samples in blocks of fixed size, each with a seed of its own.

Sample i lies in block i // BLOCK at place i % BLOCK, and a block is always drawn whole: so sample i is a function of the
seed and of i, to the last bit, whatever n is. (Products of matrices of other heights may be rounded differently.)
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genlab import random
from genlab.models.base import GenerativeModel

BLOCK = 64


def draw(model: GenerativeModel, n: int, seed: int, **options: Any) -> Tensor:
    """n samples, shape (n, *shape), on the CPU."""
    parts = [states[-1] for states in _blocks(model, n, seed, options, keep=1)]
    return torch.cat(parts)[:n]


def film(model: GenerativeModel, n: int, seed: int, frames: int, **options: Any) -> Tensor:
    """At most `frames` evenly spaced states of the chains of the first n samples, shape (frames, n, *shape)."""
    states = next(_blocks(model, n, seed, options, keep=None))
    index = torch.linspace(0, len(states) - 1, min(frames, len(states))).round().long().tolist()
    return torch.stack([states[i][:n] for i in index])


def _blocks(
    model: GenerativeModel, n: int, seed: int, options: dict[str, Any], keep: int | None
) -> Iterator[list[Tensor]]:
    training = model.training
    model.eval()
    try:
        for block in range(-(-n // BLOCK)):
            with random.seeded(seed, "sample", block, device=model.device):
                states: list[Tensor] = []
                for state in model.sample_loop(BLOCK, **options):
                    if keep is not None:
                        states = states[-keep + 1 :] if keep > 1 else []
                    states.append(state)
                yield [state.detach().cpu() for state in states]
    finally:
        model.train(training)
