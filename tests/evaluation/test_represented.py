"""The test split in a model's representation: kept where it fits, else drawn anew, and the same either way."""

import pytest
import torch

from genlab.evaluation import represented as module
from genlab.evaluation.represented import BATCH, represented
from tests.helpers.support import dataset_of

CPU = torch.device("cpu")


def test_every_pass_gives_the_same_draws_kept_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = (255 * torch.rand(3 * BATCH, 1, 4, 4, generator=torch.Generator().manual_seed(0))).byte()
    dataset = dataset_of(stored, levels=256, binarize="dynamic")
    before = torch.get_rng_state()
    kept = represented(dataset.train, dataset.represent, 0, CPU)
    assert isinstance(kept, list)
    monkeypatch.setattr(module, "MOST_KEPT", 1)
    streamed = represented(dataset.train, dataset.represent, 0, CPU)
    assert not isinstance(streamed, list)
    for _ in range(2):
        for a, b in zip(kept, streamed, strict=True):
            assert torch.equal(a.x, b.x)
    other = represented(dataset.train, dataset.represent, 1, CPU)
    assert not torch.equal(next(iter(other)).x, kept[0].x)
    assert torch.equal(torch.get_rng_state(), before), "the random stream of others is left alone"
    assert sum(len(batch.x) for batch in streamed) == len(dataset.train)
