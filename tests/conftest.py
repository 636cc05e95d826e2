"""Fixtures that every test shares."""

import os
import sys
from collections.abc import Iterator

import pytest
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
if os.environ.get("GENLAB_TEST_GPU") != "1":  # of make test-gpu; all other tests are of the processor
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="run by make test-gpu, on a machine with an NVIDIA GPU"))


@pytest.fixture(autouse=True)
def _own_code_is_gone() -> Iterator[None]:
    """A command that was called in this process has left the folder of a model of one's own, and the model."""
    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.modules.pop("mine", None)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """With busy cores small operations are faster on one thread."""
    torch.set_num_threads(1)
