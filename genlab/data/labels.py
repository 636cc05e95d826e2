"""Which examples keep their labels where only a few are labelled: balanced by class, and nested.

The examples of each class are put into an order at random, and labels are given class by class in turns, one example of
each at a time. So any two classes differ by one label at most (but for classes that have no more examples), and the first
100 labels are among the first 1000. The order is a part of the data's definition and does not move with the run's seed.
"""

import torch
from torch import Tensor

from genlab.errors import GenlabError
from genlab.numerics.rng import derive

UNLABELLED = -1
"""The class of an example without a label."""

LABELS = {
    "array": "name labels with dataset.labels=FILE",
    "table": "name their column with dataset.label=COLUMN",
    "image_folder": "sort the pictures into a sub-folder for each class",
}
"""How one's own data get labels, for messages."""


def keep_labels(y: Tensor, n: int, seed: int, name: str) -> Tensor:
    """`y` (N,) int64 with all but `n` labels put to UNLABELLED. Raises GenlabError where `n` does not fit the data."""
    classes = y.unique()
    if n < len(classes):
        raise GenlabError(f"dataset.labelled={n}: {name} has {len(classes)} classes; keep one label of each at least")
    if n > len(y):
        raise GenlabError(
            f"dataset.labelled={n}: only {len(y)} training examples are at hand; keep fewer labels, or all with null"
        )
    generator = torch.Generator().manual_seed(derive(seed, "labels"))
    order = torch.randperm(len(y), generator=generator)
    turn = torch.empty_like(order)  # of each example: its rank among those of its class, then its class
    for k, number in enumerate(classes[torch.randperm(len(classes), generator=generator)]):
        members = order[y[order] == number]
        turn[members] = torch.arange(len(members)) * len(classes) + k
    kept = torch.full_like(y, UNLABELLED)
    chosen = turn.argsort()[:n]
    kept[chosen] = y[chosen]
    return kept
