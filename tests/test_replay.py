"""Updates that are recorded and replayed do what they would have done without: on a GPU, where there is one."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genlab.data.batches import Batches
from genlab.experiment import check_experiment, make_dataset, make_model
from genlab.models.base import Metrics, Model
from genlab.optimizers import set_rate
from genlab.replay import Stream, can_replay, keep_rate_in_memory, plain_state, updates_of
from tests.support import MODELS, adam_recipe, configure, small_data

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="only an NVIDIA GPU records updates")

VARIANTS = [
    *(f"model={name}" for name in MODELS),
    "model=ae model.noise=0.3",
    "model=vae model.kl_warmup=0.5 optimizer.schedule=cosine",
    "model=vae model.k=5",
    "model=gan model.instance_noise=0.5 model.critic_steps=2",
    "model=wgan dataset=toy2d",
    "model=ebm dataset=toy2d",
    "model=diffusion dataset=toy2d optimizer.clip=1",
    "model=diffusion model.conditional=true model.objective=min_snr",
    "model=diffusion model.objective=elbo model.schedule=learned model.steps=null",
    "model=vqvae optimizer=momentum",
    "model=classifier model.network=rnn",
]


def trained(words: str, updates: int, **device: Any) -> tuple[Model, list[Metrics], bool]:
    config = configure(*words.split(), *(f"device.{key}={value}" for key, value in device.items()))
    parts = check_experiment(config)
    where = parts.device.prepare()
    dataset = make_dataset(config).to(where)
    torch.manual_seed(0)
    model = make_model(config, dataset.spec)
    parts.device.place(model)
    model.train()
    size = parts.training.batch_size
    batches = Batches(
        dataset.train,
        dataset.represent,
        batch_size=size,
        examples=updates * size,
        seed=0,
        device=where,
        labelled_beside=model.labelled_beside,
    )
    torch.manual_seed(1)
    replays = can_replay(model, batches, parts.device)
    found: list[Metrics] = []
    loop: Iterator[Metrics] = updates_of(model, batches, parts.device)
    while True:
        for optimizer in model.optimizers.values():
            set_rate(optimizer, batches.progress)
        metrics = next(loop, None)
        if metrics is None:
            return model, found, replays
        found.append(metrics)


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


@GPU
@pytest.mark.parametrize("words", VARIANTS)
def test_replayed_updates_are_those_of_the_loop(words: str) -> None:
    """The first ones to the last digits; later the rounding of sums in another order grows in every descent."""
    loop, of_loop, _ = trained(words, 20, replay="false")
    model, found, replays = trained(words, 20)
    after = torch.rand(4, device=model.device)
    assert len(found) == len(of_loop)
    for one, other in zip(found[:8], of_loop[:8], strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            torch.testing.assert_close(
                value, other[name].float(), rtol=2e-3, atol=1e-4, msg=f"{name}: {value} {other[name]}"
            )
    trained(words, 20, replay="false")
    assert torch.equal(after, torch.rand(4, device=model.device)), "the stream of draws goes on in the same place"
    if replays:
        moved = [p for p, q in zip(model.parameters(), loop.parameters(), strict=True) if not torch.equal(p, q)]
        print(f"{words}: {len(moved)} of {len(list(model.parameters()))} parameters differ in a bit after 20 updates")
