"""Optimizers do what their names say, and schedules run from where to where they should."""

import copy
import inspect

import pytest
import torch
from torch import nn

from genlab.composition.catalogue import names
from genlab.errors import GenlabError
from genlab.models.latent.ae import AE
from genlab.optimizers.recipe import Recipe, schedule_factor, set_rate
from tests.helpers.support import configure, make_recipe, small_data
from tests.models.latent.test_ae import build

OPTIMIZERS = sorted(names("optimizer"))


def quadratic(parameter: nn.Parameter) -> torch.Tensor:
    return 0.5 * (torch.tensor([1.0, 10.0]) * parameter.square()).sum()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill(name: str) -> None:
    recipe = make_recipe(configure(f"optimizer={name}", "model=ae"))
    parameter = nn.Parameter(torch.tensor([1.0, -1.0]))
    optimizer = recipe([parameter])
    before = quadratic(parameter).item()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = quadratic(parameter)
        value.backward()
        return value

    for _ in range(200):
        optimizer.step(closure)  # type: ignore[arg-type]
    assert quadratic(parameter).item() < 0.75 * before


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "lbfgs"])
def test_every_optimizer_is_the_one_of_torch(name: str) -> None:
    """To the last bit, with its state, after a state of torch's own was loaded."""
    recipe = make_recipe(configure(f"optimizer={name}", "optimizer.weight_decay=0.1", "model=ae"))
    parameters = [nn.Parameter(torch.tensor([1.0, -1.0])) for _ in range(2)]
    ours = recipe(parameters[:1])
    theirs_of = next(base for base in type(ours).__mro__ if base.__module__.startswith("torch.optim"))
    ours.param_groups[0]["lr"] = 0.1
    kept = {
        key: value
        for key, value in ours.param_groups[0].items()
        if key in inspect.signature(theirs_of).parameters and key != "params"
    }
    theirs = theirs_of(parameters[1:], **kept)
    for step in range(10):
        for parameter, optimizer in zip(parameters, (ours, theirs), strict=True):
            optimizer.zero_grad()
            quadratic(parameter).backward()
            optimizer.step()
        assert torch.equal(*parameters)
        if step == 4:
            groups = ours.state_dict()["param_groups"]
            ours.load_state_dict({"state": copy.deepcopy(theirs.state_dict()["state"]), "param_groups": groups})


def test_momentum_and_nesterov_follow_their_recursions() -> None:
    for name in ("momentum", "nesterov"):
        recipe = make_recipe(
            configure(
                f"optimizer={name}",
                "optimizer.lr=0.02",
                "optimizer.momentum=0.8",
                "model=ae",
                "preferred.schedule=constant",
            )
        )
        parameter = nn.Parameter(torch.tensor([1.0, -1.0]))
        optimizer = recipe([parameter])
        theta, v = parameter.detach().clone(), torch.zeros(2)
        for _ in range(5):
            optimizer.zero_grad()
            quadratic(parameter).backward()
            optimizer.step()
            g = torch.tensor([1.0, 10.0]) * theta
            v = 0.8 * v + g
            theta = theta - 0.02 * (g + 0.8 * v if name == "nesterov" else v)
        torch.testing.assert_close(parameter.detach(), theta)


def test_schedules_run_from_one_to_zero() -> None:
    assert [schedule_factor("constant", 0.0, p) for p in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]
    assert [schedule_factor("linear", 0.0, p) for p in (0.0, 0.25, 1.0)] == [1.0, 0.75, 0.0]
    assert [schedule_factor("cosine", 0.0, p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    assert schedule_factor("linear", 0.2, 0.1) == pytest.approx(0.5)
    assert schedule_factor("linear", 0.2, 0.2) == 1.0
    assert schedule_factor("linear", 0.2, 0.6) == pytest.approx(0.5)
    assert 0 < schedule_factor("cosine", 0.2, 0.0) < 0.01


def test_rate_and_clipping_travel_in_the_optimizers_state() -> None:
    recipe = make_recipe(
        configure("optimizer=adam", "optimizer.lr=0.5", "optimizer.schedule=linear", "optimizer.clip=2.0")
    )
    first, second = recipe([nn.Parameter(torch.zeros(1))]), recipe([nn.Parameter(torch.zeros(1))])
    set_rate(first, 0.5)
    assert first.param_groups[0]["lr"] == 0.25
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == 0.25
    assert second.param_groups[0]["clip"] == 2.0


def test_clipping_bounds_the_step_and_reports_the_norm_before_it() -> None:
    recipe = make_recipe(
        configure("optimizer=sgd", "optimizer.lr=1.0", "optimizer.clip=0.1", "model=ae", "preferred.schedule=constant")
    )
    model: AE = build(small_data("grey").spec, recipe)
    before = [p.detach().clone() for p in model.parameters()]
    model.descend(model.optimizers["ae"], sum((p.square().sum() for p in model.parameters()), torch.zeros(())) * 100)
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.1, rel=1e-3)
    norm = 200 * torch.cat([b.flatten() for b in before]).norm()
    torch.testing.assert_close(model.gradient_norm("ae"), norm)


def test_lbfgs_refuses_clipping_and_models_whose_loss_has_noise() -> None:
    with pytest.raises(GenlabError, match=r"optimizer\.clip=1"):
        make_recipe(configure("optimizer=lbfgs", "optimizer.clip=1.0", "model=ae"))
    recipe = make_recipe(configure("optimizer=lbfgs", "model=ae"))
    assert isinstance(recipe, Recipe)
    assert recipe.needs_closure
