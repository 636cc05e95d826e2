"""A part of a split in the place of all of it: drawn at random, and always the same examples.

A split may be sorted (a folder of pictures by class, lattices by temperature) or periodic. So nothing takes the first examples
of a split, nor every k-th. The draw depends on the number of examples alone: all runs are measured on, and show, the same ones.
"""

import torch
from torch import Tensor

from genlab.data.batches import Batch, in_order
from genlab.data.examples import Examples
from genlab.data.labels import UNLABELLED
from genlab.data.representation import Representation
from genlab.numerics.rng import derive

SEED = derive(0, "subset")


def places(of: int, n: int, *, seed: int = SEED) -> Tensor:
    """n different ones of 0, ..., of - 1 in random order (all of them, where there are no more), int64, on the CPU.

    The first k of n are those of k alone.
    """
    return torch.randperm(of, generator=torch.Generator().manual_seed(seed))[:n]


def belongs(of: int, n: int) -> Tensor:
    """Which ones `places` names, bool, (of,)."""
    found = torch.zeros(of, dtype=torch.bool)
    found[places(of, n)] = True
    return found


def chosen(examples: Examples, n: int, *, each_class: bool = False) -> Tensor:
    """Places of at most n of the examples in random order, so that the first ones of them are a random subset as well.

    With `each_class` one example of each class comes before all others, so that a row of pictures shows as many as it can.
    """
    order = places(len(examples), len(examples))
    if each_class and examples.y is not None:
        order = _each_class_first(order, examples.y.cpu())
    return order[:n]


def some(examples: Examples, n: int, *, each_class: bool = False) -> Examples:
    """The `chosen` ones of the examples."""
    return examples.subset(chosen(examples, n, each_class=each_class))


def at_most(examples: Examples, n: int) -> Examples:
    """The examples as they are, where there are no more than n, and else `some` of them."""
    return examples if len(examples) <= n else some(examples, n)


def batch_of(
    examples: Examples, n: int, represent: Representation, device: torch.device, *, each_class: bool = False
) -> Batch:
    """`some` of the examples in one batch, in the support of the data."""
    return next(in_order(some(examples, n, each_class=each_class), represent, batch_size=n, device=device))


def _each_class_first(order: Tensor, y: Tensor) -> Tensor:
    """`order` with the first example of each of the classes y (n,) moved to its front."""
    classes, by_class = y[order].sort(stable=True)
    first = torch.ones_like(classes, dtype=torch.bool)
    first[1:] = classes[1:] != classes[:-1]
    front = torch.zeros_like(first)
    front[by_class[first & (classes != UNLABELLED)]] = True
    return torch.cat([order[front], order[~front]])
