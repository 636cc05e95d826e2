"""The rate of sampling, from the times of a few blocks of samples."""

import math

import pytest
import torch

from genlab.inference.sampling import rate_of


def test_the_rate_is_that_of_the_median_block_without_the_first() -> None:
    found = rate_of(64, [1.0, 0.02, 0.01, 0.01, 0.04, 0.01])
    assert found.value == pytest.approx(6400)


def test_one_block_that_waited_leaves_the_error_small() -> None:
    found = rate_of(64, [0.5, 0.010, 0.011, 0.012, 0.011, 3.0])
    assert found.value == pytest.approx(64 / 0.011)
    assert 0 < found.stderr < 0.2 * found.value


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_few_blocks_have_no_error_to_speak_of(blocks: int) -> None:
    found = rate_of(64, [0.1, 0.01, 0.02, 0.015][:blocks])
    assert found.value > 0
    assert math.isnan(found.stderr)


def test_the_error_is_never_larger_than_the_rate() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        seconds = torch.randn(7, generator=generator).mul(3).exp().tolist()
        found = rate_of(64, seconds)
        assert found.stderr < found.value


def test_the_error_is_that_of_a_median() -> None:
    generator = torch.Generator().manual_seed(0)
    found = [rate_of(1, (1 + 0.05 * torch.randn(41, generator=generator)).tolist()) for _ in range(300)]
    spread = torch.tensor([one.value for one in found]).std()
    assert float(torch.tensor([one.stderr for one in found]).mean()) == pytest.approx(float(spread), rel=0.15)
