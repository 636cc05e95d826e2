"""What can be tested of captured updates (cuda_graphs.py) without a GPU; the rest is in test_gpu.py."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genlab.composition.catalogue import names
from genlab.data.batches import Batches
from genlab.experiment.experiment import Experiment
from genlab.models.boltzmann.averages import ParameterAverages
from genlab.optimizers.product_gradient import ProductGradient, descend
from genlab.optimizers.recipe import reads_rate_from_memory, set_rate
from genlab.training.cuda_graphs import StaticBatches, can_replay, make_capturable, portable_state
from tests.helpers.support import configure, experiment_of, small_data


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


OPTIMIZERS = sorted(set(names("optimizer")) - {"lbfgs"})


def optimizer_of(name: str, layer: nn.Module) -> Optimizer:
    return Experiment(configure("model=classifier", f"optimizer={name}", "optimizer.weight_decay=0.1")).recipe(
        layer.parameters()
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_in_memory_makes_the_same_steps_and_is_saved_as_a_number(name: str) -> None:
    x, layers = torch.randn(5, 3), [nn.Linear(3, 2), nn.Linear(3, 2)]
    layers[1].load_state_dict(layers[0].state_dict())
    plain, other = (optimizer_of(name, layer) for layer in layers)
    assert reads_rate_from_memory(other)
    groups = plain.state_dict()["param_groups"]
    for update in range(6):
        if update == 2:  # after a warm-up
            make_capturable(other)
            assert isinstance(other.param_groups[0]["lr"], Tensor)
            if name == "rmsprop":
                other.param_groups[0]["capturable"] = False  # torch has this way of its step on GPUs only
        for layer, optimizer in zip(layers, (plain, other), strict=True):
            set_rate(optimizer, update / 6)
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(layers[1].weight, layers[0].weight)
    state = portable_state(other)
    set_rate(plain, 0.0)
    for group, before in zip(state["param_groups"], groups, strict=True):
        assert group | {"lr": 0} == before | {"lr": 0}
    fresh = optimizer_of(name, layers[0])
    fresh.load_state_dict(state)
    fresh.step()


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_plain_descent_reads_its_rate_from_memory(decay: float) -> None:
    found = []
    for in_memory in (False, True):
        torch.manual_seed(0)
        W, b = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(3))
        b.grad = torch.randn(3)
        optimizer = Experiment(configure("model=rbm", "optimizer=sgd", f"optimizer.weight_decay={decay}")).recipe(
            [W, b]
        )
        if in_memory:
            make_capturable(optimizer)
        assert descend(optimizer, ProductGradient(W, torch.randn(5, 4), torch.randn(5, 3), 0.3))
        found.append((W.detach(), b.detach()))
    torch.testing.assert_close(found[1], found[0])


def test_averages_that_are_counted_on_the_device_are_the_same() -> None:
    """Also after a checkpoint, and where the training was made longer, so that its progress falls back."""
    models = [nn.Linear(3, 2), nn.Linear(3, 2)]
    models[1].load_state_dict(models[0].state_dict())
    host, device = (ParameterAverages(model, 0.2) for model in models)
    moves = 0
    for step, progress in enumerate([k / 1000 for k in range(600)] + [k / 2000 for k in range(600, 900)]):
        before = host.state()[0]
        for model in models:
            with torch.no_grad():
                model.weight.add_(0.01 * step)
        host.update(progress)
        device.update_in_memory(progress if step < 100 else torch.tensor(progress), torch.device("cpu"))
        moves += int(host.state()[0] != before)
        torch.testing.assert_close(models[1].average_weight, models[0].average_weight, rtol=1e-4, atol=1e-5)
        if step % 70 == 0:
            torch.testing.assert_close(device.state(), host.state(), rtol=1e-6, atol=1e-6)
            device.load(device.state())
    assert 100 < moves < 400
    for averages in (host, device):  # which now goes on without a GPU
        averages.update(0.9)
    torch.testing.assert_close(device.state(), host.state(), rtol=1e-6, atol=1e-6)
    assert not torch.equal(models[0].get_buffer("average_weight"), models[0].weight)


def test_nothing_is_captured_on_a_cpu() -> None:
    config = configure("model=vae", "device=cpu")
    data = small_data("binary")
    experiment = experiment_of(config, data)
    batches = Batches(data.train, data.represent, batch_size=8, examples=16, seed=0, device=torch.device("cpu"))
    assert not can_replay(experiment.model, batches, experiment.device)
