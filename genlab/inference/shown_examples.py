"""The examples that pictures show: the first ones of the test split, always the same."""

import torch

from genlab.data.batches import Batch, in_order
from genlab.data.dataset import Dataset
from genlab.numerics import rng

COLUMNS = 10  # pictures in a row
POINTS = 1024  # vectors in a scatter plot


def held_out(dataset: Dataset, n: int, seed: int, device: torch.device) -> Batch:
    """The first n test examples in the data's support, always the same ones."""
    with rng.seeded(seed, "held out", device=device):
        return next(in_order(dataset.test, dataset.represent, batch_size=n, device=device, limit=n))
