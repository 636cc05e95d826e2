"""The examples that pictures show: of every class of the test split, always the same."""

import torch

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset
from genlab.data.subsets import batch_of
from genlab.numerics import rng

COLUMNS = 10  # pictures in a row
POINTS = 1024  # vectors in a scatter plot


def held_out(dataset: Dataset, n: int, seed: int, device: torch.device) -> Batch:
    """n test examples in the data's support, always the same ones, one of each class first."""
    with rng.seeded(seed, "held out", device=device):
        return batch_of(dataset.test, n, dataset.represent, device, each_class=True)
