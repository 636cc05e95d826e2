"""What can be tested of captured updates (cuda_graphs.py) without a GPU; the rest is in test_gpu.py."""

import pytest
import torch
from torch import Tensor, nn

from genlab.data.batches import Batches
from genlab.optimizers.recipe import set_rate
from genlab.training.cuda_graphs import StaticBatches, can_replay, make_capturable, portable_state
from tests.helpers.support import adam_recipe, configure, experiment_of, small_data


def test_indices_of_whole_updates_are_claimed_in_the_order_of_the_batches() -> None:
    """Of five batches, in updates of two, two updates can be replayed. The last batch is left to the loop."""
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

    plain, stream = batches(), StaticBatches(batches())
    expected = [plain.claim() for _ in range(5)]
    stream.claimed = expected[:2]
    static = stream.allocate()
    for update in (0, 1):
        assert stream.fill(static)
        for memory, indices in zip(static, expected[2 * update : 2 * update + 2], strict=True):
            assert all(torch.equal(a, b) for a, b in zip(memory, indices, strict=True))
        assert [float(p) for p in stream.progress] == pytest.approx([2 * update * 16 / 70, (2 * update + 1) * 16 / 70])
    assert not stream.fill(static)
    (last,) = list(stream)
    assert torch.equal(last.x, plain.represent(plain.data.take(expected[4][0])))


def test_a_rate_in_memory_is_saved_as_a_number() -> None:
    layer = nn.Linear(2, 2)
    optimizer = adam_recipe(0.25)(layer.parameters())
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    before = optimizer.state_dict()["param_groups"]
    make_capturable(optimizer)
    assert isinstance(optimizer.param_groups[0]["lr"], Tensor)
    set_rate(optimizer, 0.5)
    state = portable_state(optimizer)
    assert state["param_groups"] == before
    fresh = adam_recipe(0.25)(nn.Linear(2, 2).parameters())
    fresh.load_state_dict(state)
    fresh.step()


def test_nothing_is_captured_on_a_cpu() -> None:
    config = configure("model=vae", "device=cpu")
    data = small_data("binary")
    experiment = experiment_of(config, data)
    batches = Batches(data.train, data.represent, batch_size=8, examples=16, seed=0, device=torch.device("cpu"))
    assert not can_replay(experiment.model, batches, experiment.device)
