"""Drawing n samples in blocks of fixed size, each with a seed of its own.

Sample i lies in block i // size at place i % size, and a block is always drawn whole: so on one kind of device sample i is a
function of the seed and of i, to the last bit, whatever n is. (Products of matrices of other heights may be rounded
differently.)
"""

import inspect
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.truth import HasObservables
from genlab.models.abilities import Conditional
from genlab.models.base import GenerativeModel, evaluation_mode
from genlab.numerics import rng

BLOCK = 64
BLOCK_NUMBERS = 2**20  # in a block on an accelerator, which 64 examples leave idle


def block_size(model: GenerativeModel) -> int:
    """Samples in a block: 64 on a CPU; on an accelerator up to 1024, fewer where an example is large."""
    if model.device.type == "cpu":
        return BLOCK
    return max(BLOCK, min(16 * BLOCK, BLOCK_NUMBERS // model.data.dim // BLOCK * BLOCK))


def draw(
    model: GenerativeModel, n: int, seed: int, *, after_block: Callable[[], None] | None = None, **options: Any
) -> Tensor:
    """n samples, shape (n, *shape), on the CPU; `after_block` is called after each block of them."""
    last = []
    for block in range(-(-n // block_size(model))):
        (sample,) = deque(_chain(model, block, seed, options), maxlen=1)
        last.append(sample.cpu())
        if after_block is not None:
            after_block()
    return torch.cat(last)[:n]


def sampling_options(model: GenerativeModel, dataset: Dataset, options: dict[str, Any]) -> dict[str, Any]:
    """`options`, and draws of x rather than its mean where the data themselves are binary, as spins are.

    Grey images are judged by E[x|h], which is what a model of binarised images is shown by. Configurations of a lattice are
    drawn at all temperatures in turns by a model that is told the temperature.
    """
    found, takes = dict(options), inspect.signature(model.sample_loop).parameters
    if dataset.spec.support == "binary" and dataset.represent.binarize == "none" and "mean" in takes:
        found["mean"] = False
    if isinstance(dataset.truth, HasObservables) and "labels" in takes and "labels" not in options:
        told = getattr(model, "num_classes", 0)
        if told == len(dataset.truth.temperatures) > 1:
            found["labels"] = list(range(told))
    return found


def in_turns(model: GenerativeModel, block: int, labels: list[int] | int | None) -> dict[str, list[int]]:
    """The classes that samples take in turns (all, where a model is told and nobody says which), as they go on in a block."""
    turns = _turns(model, labels)
    first = block * block_size(model) % max(len(turns), 1)
    return {"labels": turns[first:] + turns[:first]} if turns else {}


def classes_asked(model: GenerativeModel, n: int, labels: list[int] | int | None) -> Tensor | None:
    """Class that each of n samples was asked to have, int64, (n,); None where the model was told none."""
    turns = _turns(model, labels)
    return torch.tensor(turns)[torch.arange(n) % len(turns)] if turns else None


def _turns(model: GenerativeModel, labels: list[int] | int | None) -> list[int]:
    if labels is None:
        return list(range(model.num_classes)) if isinstance(model, Conditional) else []
    return [labels] if isinstance(labels, int) else list(labels)


def film(model: GenerativeModel, n: int, seed: int, frames: int, **options: Any) -> Tensor:
    """At most `frames` evenly spaced states of the chains of the first n <= BLOCK samples, shape (frames, n, *shape)."""
    states = [state[:n].clone() for state in _chain(model, 0, seed, options)]  # of the block only what is shown
    index = torch.linspace(0, len(states) - 1, min(frames, len(states))).round().long()
    return torch.stack([states[i] for i in index.tolist()]).cpu()


def _chain(model: GenerativeModel, block: int, seed: int, options: dict[str, Any]) -> Iterator[Tensor]:
    """States of the chains of one block. To be drained: the training's random stream is put back at the end."""
    options = options | in_turns(model, block, options.get("labels"))
    with evaluation_mode(model), rng.seeded(seed, "sample", block, device=model.device):
        for state in model.sample_loop(block_size(model), **options):
            yield state.detach().float()  # of whatever precision the networks are
