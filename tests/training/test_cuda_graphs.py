"""What of recorded updates (replay.py) can be told without a GPU; the rest is in test_gpu.py."""

import pytest
import torch
from torch import Tensor, nn

from genlab.data.batches import Batches
from genlab.experiment.experiment import check_experiment, make_model
from genlab.optimizers.recipe import set_rate
from genlab.training.cuda_graphs import Stream, can_replay, keep_rate_in_memory, plain_state
from tests.helpers.support import adam_recipe, configure, small_data


def test_indices_of_whole_updates_are_claimed_in_the_order_of_the_batches() -> None:
    """Five batches are left, in updates of two: two updates can be replayed, and the last batch is the loop's own."""
    data = small_data("grey")

    def batches() -> Batches:
        return Batches(
            data.train,
            data.represent,
            batch_size=16,
            examples=70,
            seed=3,
            device=torch.device("cpu"),
            labelled_beside=True,
        )

    plain, stream = batches(), Stream(batches())
    expected = [plain.claim() for _ in range(5)]
    stream.claimed = expected[:2]
    slots = stream.slots()
    for update in (0, 1):
        assert stream.fill(slots)
        for slot, indices in zip(slots, expected[2 * update : 2 * update + 2], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(slot, indices, strict=True))
        assert [float(p) for p in stream.progress] == pytest.approx([2 * update * 16 / 70, (2 * update + 1) * 16 / 70])
    assert not stream.fill(slots)
    (last,) = list(stream)
    assert torch.equal(last.x, plain.represent(plain.data.take(expected[4][0])))


def test_a_rate_in_memory_is_saved_as_a_number() -> None:
    layer = nn.Linear(2, 2)
    optimizer = adam_recipe(0.25)(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    before = optimizer.state_dict()["param_groups"]
    keep_rate_in_memory(optimizer)
    assert isinstance(optimizer.param_groups[0]["lr"], Tensor)
    set_rate(optimizer, 0.5)
    state = plain_state(optimizer)
    assert state["param_groups"] == before
    fresh = adam_recipe(0.25)(nn.Linear(2, 2).parameters())
    fresh.load_state_dict(state)
    fresh.step()


def test_nothing_is_recorded_on_a_cpu() -> None:
    config = configure("model=vae", "device=cpu")
    parts, data = check_experiment(config), small_data("binary")
    model = make_model(configure("model=vae"), data.spec)
    batches = Batches(data.train, data.represent, batch_size=8, examples=16, seed=0, device=torch.device("cpu"))
    assert not can_replay(model, batches, parts.device)
