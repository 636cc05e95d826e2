"""A step along a gradient that is never written is the step along the one that is."""

import copy

import pytest
import torch

from genlab.models.boltzmann.rbm import RBM
from genlab.optimizers.product_gradient import ProductGradient
from tests.helpers.support import configure, experiment_of, small_data


def machine(*words: str) -> RBM:
    torch.manual_seed(0)
    model = experiment_of(configure("model=rbm", "model.hidden=20", *words), small_data("binary")).model.double()
    assert isinstance(model, RBM)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    return model


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_the_step_is_that_of_the_written_gradient(decay: float) -> None:
    ours = machine("optimizer=sgd", f"optimizer.weight_decay={decay}")
    theirs = copy.deepcopy(ours)
    ((name, optimizer),) = ours.optimizers.items()
    x, y = torch.randn(7, len(ours.W)).double(), torch.randn(7, 20).double()
    ours.update(optimizer, ProductGradient(ours.W, x, y, -0.25))

    other = torch.optim.SGD([theirs.W], optimizer.param_groups[0]["lr"], weight_decay=decay)
    theirs.W.grad = -0.25 * x.T @ y
    other.step()
    torch.testing.assert_close(ours.W, theirs.W, rtol=1e-12, atol=1e-12)
    biases = sum(len(ours.get_parameter(key)) for key in ("a", "b"))
    norm = (theirs.W.grad.square().sum() + biases).sqrt()
    torch.testing.assert_close(ours.gradient_norm(name), norm)
    before = ours.W.clone()
    ours.update(optimizer, ProductGradient(ours.W, 0 * x, y, 1.0))  # the norm has left nothing that moves W again
    torch.testing.assert_close(ours.W.detach(), before * (1 - decay * optimizer.param_groups[0]["lr"]))


@pytest.mark.parametrize("words", ["optimizer=momentum", "optimizer=adam", "optimizer.clip=0.01"])
def test_other_optimizers_get_the_written_gradient(words: str) -> None:
    ours, theirs = machine(words), machine(words)
    x, y = torch.randn(7, len(ours.W)).double(), torch.randn(7, 20).double()
    for model in (ours, theirs):
        ((_, optimizer),) = model.optimizers.items()
        product = ProductGradient(model.W, x, y, -0.25)
        if model is ours:
            model.update(optimizer, product)
        else:
            model.W.grad = -0.25 * x.T @ y
            model.update(optimizer)
    for name in ("W", "a", "b"):
        torch.testing.assert_close(ours.get_parameter(name), theirs.get_parameter(name), rtol=1e-12, atol=1e-12)
