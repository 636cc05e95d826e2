"""Autoregressive models: normalisation by enumeration, causality by derivatives, sampling against the probabilities themselves.

Small networks with random parameters, in float64. p-values are of chi-squared tests of one fixed seed.
"""

import math
from collections import deque
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.abilities import Classifies, HasLogProb, Inpaints
from genlab.models.autoregressive.autoregressive import Autoregressive
from tests.helpers.draws import p_value, states
from tests.helpers.support import adam_recipe, configure

RARE = 1e-4
KEYS: dict[str, Any] = {
    key: value for key, value in configure("model=autoregressive")["model"].items() if key != "_target_"
}

CASES: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "made": ((12,), {"network": "made", "hidden": [20, 15]}),
    "made with a random order": ((12,), {"network": "made", "hidden": [30], "order": "random"}),
    "made with few units": ((1, 3, 4), {"network": "made", "hidden": [5, 3]}),
    "made with three connectivities": ((12,), {"network": "made", "hidden": [20, 20], "masks": 3}),
    "made with three orders": ((12,), {"network": "made", "hidden": [20], "masks": 3, "order": "random"}),
    "pixelcnn": ((1, 3, 4), {"network": "pixelcnn", "hidden": [4] * 3}),
    "pixelcnn of blocks": ((1, 2, 6), {"network": "pixelcnn", "hidden": [4] * 3, "patch": 2}),
    "pixelcnn of colours": ((3, 2, 2), {"network": "pixelcnn", "hidden": [4] * 2}),
    "transformer": ((12,), {"network": "transformer", "hidden": [8] * 2}),
    "transformer of blocks": ((1, 6, 2), {"network": "transformer", "hidden": [8] * 2, "patch": 2}),
    "transformer of curves": ((2, 6), {"network": "transformer", "hidden": [8], "patch": 3}),
}


def spec(support: str, *shape: int, levels: int | None = None, classes: int | None = None) -> DataSpec:
    low, high = (-4.0, 4.0) if support == "real" else (0.0, 1.0)
    mean = torch.linspace(0.3, 0.6, math.prod(shape)).view(shape)
    return DataSpec("test", shape, support, levels, classes, low, high, mean, torch.full(shape, 0.3))  # type: ignore[arg-type]


def model_of(data: DataSpec, **keys: Any) -> Autoregressive:
    """In float64, with parameters far from where a training starts."""
    torch.manual_seed(0)
    model = Autoregressive(data, adam_recipe(), **(KEYS | keys)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model


def binary(case: str, **keys: Any) -> Autoregressive:
    shape, own = CASES[case]
    return model_of(spec("binary", *shape, classes=3 if keys.get("conditional") else None), **(own | keys))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("conditional", [False, True])
def test_probabilities_of_all_configurations_add_up_to_one(case: str, conditional: bool) -> None:
    model = binary(case, conditional=conditional)
    x = states(12).view(-1, *model.data.shape)
    with torch.no_grad():
        log_p = model.log_prob(x)
        assert float(log_p.logsumexp(0)) == pytest.approx(0, abs=1e-12)
        assert float(log_p.std()) > 0.3, "p(x) is not uniform"
        for k in range(model.network.masks if not conditional else 0):
            assert float(model.log_factor_product(x, None, k).logsumexp(0)) == pytest.approx(0, abs=1e-12)
        if conditional:
            by_class = model.log_prob_by_class(x)
            assert by_class.logsumexp(0).abs().max() < 1e-12
            assert float(by_class.std(1).mean()) > 0.05, "classes differ"
            assert torch.equal(model.classify(x), by_class.log_softmax(1))


@pytest.mark.parametrize("case", CASES)
def test_outputs_depend_on_all_earlier_components_and_on_no_other(case: str) -> None:
    """The Jacobian, over a few inputs: exact zeros on and after the diagonal in the order, and no blind spot before it."""
    model = binary(case)
    network = model.network
    for which in range(network.masks):
        order = _order(model, which)
        depends = torch.zeros(12, 12, dtype=torch.bool)
        for _ in range(8):
            u = torch.randn(1, 12, dtype=torch.float64)

            def outputs(u: Tensor, which: int = which) -> Tensor:
                summed: Tensor = network(u, None, which)[0].sum(0)
                return summed

            jacobian = torch.autograd.functional.jacobian(outputs, u)
            depends |= jacobian[:, 0][order][:, order] != 0
        earlier = torch.ones(12, 12, dtype=torch.bool).tril(-1)
        assert not bool((depends & ~earlier).any()), "a component sees itself or a later one"
        if case != "made with few units":  # five units have five degrees: no unit sees all earlier components
            assert bool(depends[earlier].all()), "a component does not see an earlier one"


def _order(model: Autoregressive, which: int) -> Tensor:
    """The components in the order in which they are drawn."""
    seen: list[int] = []

    def draw(parameters: Tensor, i: int) -> Tensor:
        seen.append(i)
        return parameters[:, 0] * 0

    y = model.one_hot(torch.zeros(1, dtype=torch.int64))
    deque(model.network.walk(1, draw, y, which), maxlen=0)
    assert sorted(seen) == list(range(model.data.dim))
    return torch.tensor(seen)


@pytest.mark.parametrize("case", CASES)
def test_a_pass_and_component_by_component_give_the_same(case: str) -> None:
    """To the last digits; and a later component, even where it is no number, changes nothing before it."""
    model = binary(case, conditional=True)
    u = 2 * torch.randint(2, (7, 12)).double() - 1
    y = model.one_hot(torch.arange(7) % 3)
    for which in range(model.network.masks):
        with torch.no_grad():
            full = model.network(u, y, which)
        order = _order(model, which).tolist() if which == 0 else None
        found = torch.zeros_like(full)

        def draw(parameters: Tensor, i: int, found: Tensor = found) -> Tensor:
            found[:, :, i] = parameters
            return u[:, i]

        (state,) = deque(model.network.walk(7, draw, y, which), maxlen=1)
        assert torch.equal(state, u)
        assert float((found - full).abs().max()) < 1e-13
        if order is None:
            continue
        changed = u.clone()
        changed[:, order[8:]] = 1e6
        with torch.no_grad():
            assert torch.equal(model.network(changed, y, which)[..., order[:9]], full[..., order[:9]])
        until: dict[int, Tensor] = {}

        def broken(parameters: Tensor, i: int, until: dict[int, Tensor] = until) -> Tensor:
            until[i] = parameters.clone()
            return u[:, i] * math.nan if len(until) > 8 else u[:, i]

        deque(model.network.walk(7, broken, y, which), maxlen=0)
        for i in order[:9]:
            assert torch.equal(until[i], found[:, :, i])


@pytest.mark.parametrize("network", ["pixelcnn"])
def test_no_number_in_a_later_place_stays_there(network: str) -> None:
    model = binary(network)
    u = torch.randn(2, 12, dtype=torch.float64)
    broken = u.clone()
    broken[:, 7:] = math.nan
    with torch.no_grad():
        assert torch.equal(model.network(broken, None)[..., :8], model.network(u, None)[..., :8])


SMALL: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "made": ((6,), {"network": "made", "hidden": [12]}),
    "three orders": ((6,), {"network": "made", "hidden": [12], "masks": 3, "order": "random"}),
    "pixelcnn": ((1, 2, 3), {"network": "pixelcnn", "hidden": [4] * 2}),
    "blocks": ((1, 2, 4), {"network": "pixelcnn", "hidden": [4] * 2, "patch": 2}),
    "transformer": ((6,), {"network": "transformer", "hidden": [8]}),
}


def small(case: str) -> Autoregressive:
    shape, keys = SMALL[case]
    return model_of(spec("binary", *shape), **keys)


@pytest.mark.parametrize("case", SMALL)
def test_samples_have_the_probabilities_of_the_model(case: str) -> None:
    model = small(case)
    table = states(model.data.dim)
    with torch.no_grad():
        p = model.log_prob(table.view(-1, *model.data.shape)).exp()
    torch.manual_seed(1)
    drawn = model.sample(40_000, mean=False).flatten(1)
    likely = p > 6 / len(drawn)
    assert float(p[likely].sum()) > 0.98
    few = (drawn.double()[:, None] == table[likely]).all(2).any(1)
    assert p_value(drawn[few], table[likely], p[likely] / p[likely].sum()) > RARE
    assert isinstance(model, HasLogProb)


@pytest.mark.parametrize("case", ["made", "pixelcnn", "transformer"])
def test_the_rest_of_an_example_is_drawn_given_its_beginning(case: str) -> None:
    model = small(case)
    assert isinstance(model, Inpaints)
    known = torch.tensor([True] * 3 + [False] * 3).view(model.data.shape)
    x = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64).view(model.data.shape)
    ends = states(3)
    table = torch.cat([torch.tensor([1.0, 0.0, 1.0]).double().expand(8, 3), ends], 1)
    with torch.no_grad():
        p = model.log_prob(table.view(-1, *model.data.shape)).softmax(0)
    torch.manual_seed(1)
    (drawn,) = deque(model.inpaint_loop(x.expand(20_000, *model.data.shape), known), maxlen=1)
    assert p_value(drawn.flatten(1), table, p) > RARE


def test_the_states_of_a_sample_in_the_making_end_in_the_sample() -> None:
    model = model_of(spec("unit", 1, 4, 4, levels=256), network="pixelcnn", hidden=[4] * 2)
    seen = list(model.sample_loop(3))
    assert len(seen) == 4, "a state for each row"
    for row, state in enumerate(seen):
        assert torch.equal(state[:, :, : row + 1], seen[-1][:, :, : row + 1])
        assert torch.equal(state[:, :, row + 1 :], model.data.mean.double().expand_as(state)[:, :, row + 1 :])
    assert torch.equal((seen[-1] * 255).round() / 255, seen[-1])


def test_the_states_of_all_masks_go_on_side_by_side() -> None:
    model = small("three orders")
    states_seen = list(model.sample_loop(20))
    assert len(states_seen) == 6, "a state for each component"
    known = [(state == states_seen[-1]).double().sum(1) for state in states_seen]
    for k, count in enumerate(known, 1):
        assert float(count.min()) >= k, "after k states every example has k components"


def test_pictures_show_the_mean_of_each_pixel_given_the_draws_before_it() -> None:
    model = small("pixelcnn")
    torch.manual_seed(1)
    drawn = model.sample(50, mean=False)
    torch.manual_seed(1)
    shown = model.sample(50)
    with torch.no_grad():
        u = model.scaling.inner(drawn).flatten(1)
        expected = model.factors(u, None)[:, 0].sigmoid()
    assert torch.allclose(shown.flatten(1), expected, atol=1e-12)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}


def test_a_mixture_over_masks_averages_whole_probabilities() -> None:
    model = small("three orders")
    x = states(6)
    with torch.no_grad():
        each = torch.stack([model.log_factor_product(x, None, k) for k in range(3)])
        assert torch.allclose(model.log_prob(x).exp(), each.exp().mean(0), rtol=1e-12)
    assert float((each[0] - each[1]).abs().max()) > 0.1


def test_an_update_takes_the_masks_in_turns() -> None:
    model = model_of(spec("binary", 6), network="made", hidden=[12], masks=3).train()
    batches = [Batch(x=states(6)[:32], y=None, progress=0.0) for _ in range(4)]
    turns = []
    for _ in model.train_loop(batches):
        turns.append(int(model.turn))
    assert turns == [1, 2, 0, 1]
    assert "turn" in model.state_dict(), "a resumed run goes on with the next set"


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"network": "made", "patch": 2}, r"model\.patch=2 .*model\.network=pixelcnn"),
        ({"network": "made", "dropout": 0.1}, r"model\.dropout=0\.1 .*model\.network"),
        ({"network": "pixelcnn", "masks": 2}, r"model\.masks=2 .*model\.network=made"),
        ({"network": "transformer", "order": "random"}, r"model\.order=random .*model\.network=made"),
        ({"network": "pixelcnn", "hidden": [8, 4]}, r"model\.hidden=\[8, 4\].*model\.hidden=\[8, 8\]"),
        ({"network": "pixelcnn", "patch": 3}, r"model\.patch=3 does not divide .*4x6; set model\.patch to 1 or 2"),
        ({"likelihood": "categorical"}, r"model\.likelihood=categorical does not fit .*bernoulli"),
        ({"conditional": True}, r"model\.conditional=true needs labels"),
    ],
)
def test_what_does_not_fit_is_said_in_a_line(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(GenlabError, match=named):
        model_of(spec("binary", 1, 4, 6), **keys)


def test_pictures_are_what_a_pixelcnn_needs() -> None:
    with pytest.raises(GenlabError, match=r"model\.network=pixelcnn needs pictures.*made"):
        model_of(spec("binary", 6), network="pixelcnn")


def test_a_conditional_model_classifies() -> None:
    model = binary("made", conditional=True)
    assert isinstance(model, Classifies)
    assert model.classifies
    assert not binary("made").classifies
