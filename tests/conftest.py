"""Fixtures that every test shares."""

import os

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """With busy cores small operations are faster on one thread."""
    torch.set_num_threads(1)
