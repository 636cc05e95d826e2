"""Every layer of a flow: its log-determinant against the Jacobian by autograd in float64, its inverse, its start."""

import math
from collections.abc import Callable
from math import prod
from typing import cast

import pytest
import torch
from torch import Tensor

from genlab.models.flows.activation_norm import ActivationNorm, start_from
from genlab.models.flows.autoregressive_layers import Autoregressive
from genlab.models.flows.couplings import Coupling, kept_of
from genlab.models.flows.elementwise import Affine, Elementwise, Spline
from genlab.models.flows.flow_layer import Flat, FlowLayer, Inverse, Stack
from genlab.models.flows.linear_maps import LULinear, Permutation, linear_map
from genlab.models.flows.multiscale import AsVectors, Multiscale, shapes_of, squeeze, squeezed, unsqueeze
from genlab.networks.conditioners import GridConditioner, VectorConditioner
from genlab.networks.masked_mlp import MaskedMLP

TRANSFORMS: dict[str, Callable[[], Elementwise]] = {"affine": Affine, "spline": lambda: Spline(4, 2.5)}
CLASSES = 3


def coupling(transform: Elementwise, shape: tuple[int, ...], num_classes: int) -> Coupling:
    kept, rest = kept_of(shape[0]), shape[0] - kept_of(shape[0])
    if len(shape) == 1:
        return Coupling(kept, transform, VectorConditioner(kept, rest, transform.count, [8], "tanh", num_classes))
    network = GridConditioner(kept, rest, transform.count, [6, 6], "tanh", num_classes, len(shape) - 1)
    return Coupling(kept, transform, network)


def masked(transform: Elementwise, dim: int, num_classes: int) -> Autoregressive:
    order = torch.arange(dim).roll(1)
    return Autoregressive(transform, MaskedMLP(order, [16, 16], transform.count, "tanh", num_classes, direct=False))


def multiscale(shape: tuple[int, ...], scales: int | None, num_classes: int, dense: int = 0) -> Multiscale:
    shapes = shapes_of(shape, scales)
    stacks = []
    for before in shapes:
        inner = squeezed(before)
        layers: list[FlowLayer] = [ActivationNorm(inner[0]), LULinear(inner[0])]
        stacks.append(Stack([*layers, coupling(Affine(), inner, num_classes)]))
    for _ in range(dense):
        stacks[-1].layers.append(as_vectors(squeezed(shapes[-1]), num_classes))
    return Multiscale(shapes, stacks)


def as_vectors(shape: tuple[int, ...], num_classes: int) -> AsVectors:
    dim = prod(shape)
    return AsVectors([Stack([ActivationNorm(dim), LULinear(dim), coupling(Affine(), (dim,), num_classes)])])


LAYERS: dict[str, tuple[tuple[int, ...], Callable[[int], FlowLayer]]] = {
    "norm": ((5,), lambda k: ActivationNorm(5)),
    "norm-grid": ((3, 2, 4), lambda k: ActivationNorm(3)),
    "permutation": ((5,), lambda k: Permutation(torch.randperm(5))),
    "lu": ((5,), lambda k: LULinear(5)),
    "lu-grid": ((3, 2, 4), lambda k: LULinear(3)),
    "lu-curve": ((2, 6), lambda k: LULinear(2)),
    "coupling-grid": ((3, 2, 4), lambda k: coupling(Spline(4, 2.5), (3, 2, 4), k)),
    "coupling-curve": ((2, 6), lambda k: coupling(Affine(), (2, 6), k)),
    "multiscale": ((1, 4, 8), lambda k: multiscale((1, 4, 8), 2, k)),
    "multiscale-odd": ((1, 9, 3), lambda k: multiscale((1, 9, 3), 2, k)),
    "multiscale-curve": ((2, 12), lambda k: multiscale((2, 12), None, k)),
    "multiscale-dense": ((1, 4, 8), lambda k: multiscale((1, 4, 8), 2, k, dense=2)),
    "as-vectors": ((3, 2, 4), lambda k: as_vectors((3, 2, 4), k)),
    "as-vectors-curve": ((2, 6), lambda k: as_vectors((2, 6), k)),
}
for name, make in TRANSFORMS.items():
    for dim in (1, 2, 5):
        LAYERS[f"coupling-{name}-{dim}"] = (dim,), lambda k, make=make, dim=dim: coupling(make(), (dim,), k)  # type: ignore[misc]
    LAYERS[f"maf-{name}"] = (5,), lambda k, make=make: masked(make(), 5, k)  # type: ignore[misc]
    LAYERS[f"iaf-{name}"] = (4,), lambda k, make=make: Inverse(masked(make(), 4, k))  # type: ignore[misc]
LAYERS["flat"] = (1, 2, 3), lambda k: Flat((1, 2, 3), [LULinear(6), coupling(Affine(), (6,), k)])


def built(name: str, num_classes: int = 0, moved: float = 0.4) -> tuple[FlowLayer, Tensor, Tensor | None]:
    """A layer in float64 with random parameters, states (3, *shape) and classes."""
    torch.manual_seed(len(name))
    shape, make = LAYERS[name]
    layer = make(num_classes).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(moved * torch.randn_like(parameter))
    x = 1.5 * torch.randn(3, *shape, dtype=torch.float64)
    return layer, x, torch.eye(num_classes, dtype=torch.float64) if num_classes else None


def log_det_by_autograd(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    found = []
    for one in x:
        jacobian = cast(
            Tensor,
            torch.autograd.functional.jacobian(lambda v: function(v.unsqueeze(0)).flatten(), one),
        )
        found.append(torch.linalg.slogdet(jacobian.flatten(1)).logabsdet)
    return torch.stack(found)


@pytest.mark.parametrize("num_classes", [0, CLASSES])
@pytest.mark.parametrize("name", LAYERS)
def test_log_determinants_are_those_of_the_jacobian_by_autograd(name: str, num_classes: int) -> None:
    layer, x, y = built(name, num_classes)
    z, log_det = layer(x, y)
    for i in range(len(x)):
        y_i = None if y is None else y[i : i + 1]
        truth = log_det_by_autograd(lambda v, y_i=y_i: layer(v, y_i)[0], x[i : i + 1])  # type: ignore[misc]
        torch.testing.assert_close(log_det[i : i + 1], truth, rtol=1e-8, atol=1e-8)
        # The way back has the negative one.
        back = log_det_by_autograd(
            lambda v, y_i=y_i: layer.inverse(v, y_i),  # type: ignore[misc]
            z[i : i + 1].detach(),
        )
        torch.testing.assert_close(back, -truth, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", LAYERS)
def test_inverses_bring_the_states_back_to_1e_4_in_float32(name: str) -> None:
    layer, x, y = built(name, CLASSES, moved=0.2)
    layer, x = layer.float(), x.float()
    with torch.no_grad():
        torch.testing.assert_close(layer.inverse(layer(x, y)[0], y), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_start_with_a_log_determinant_of_0(name: str) -> None:
    layer, x, y = built(name, CLASSES, moved=0)
    torch.testing.assert_close(layer(x, y)[1], torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in LAYERS if name.startswith(("coupling", "maf", "iaf"))])
def test_couplings_and_autoregressive_layers_start_as_the_identity(name: str) -> None:
    layer, x, y = built(name, CLASSES, moved=0)
    torch.testing.assert_close(layer(x, y)[0], x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_an_autoregressive_layer_lets_no_component_see_itself_or_later_ones(transform: str) -> None:
    torch.manual_seed(0)
    layer = masked(TRANSFORMS[transform](), 6, 0).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter))
    x = torch.randn(6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda v: layer.conditioner(v.unsqueeze(0), None)[0], x)
    place = torch.arange(6).roll(1).argsort()
    for i in range(6):
        seen = jacobian[:, i].abs().sum(0)
        assert bool((seen[place >= place[i]] == 0).all())
        assert bool((seen[place < place[i]] > 0).all())


def test_a_squeeze_keeps_neighbours_together_and_is_undone() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert squeeze(x)[0, :, 0, 0].tolist() == [0, 4, 1, 5] or squeeze(x)[0, :, 0, 0].tolist() == [0, 1, 4, 5]
    for shape in ((1, 4, 4), (3, 9, 7), (2, 12), (1, 1, 5)):
        x = torch.randn(2, *shape)
        assert squeeze(x).shape[1:] == squeezed(shape)
        assert torch.equal(unsqueeze(squeeze(x), shape), x)


def test_normalisations_start_from_mean_0_and_deviation_1() -> None:
    torch.manual_seed(0)
    x = 3 * torch.randn(500, 4, 3) + torch.arange(4.0).view(4, 1)
    flow = Stack([ActivationNorm(4), LULinear(4), ActivationNorm(4)])
    start_from(flow, x, None)
    z = flow(x, None)[0].detach()
    assert torch.allclose(z.transpose(0, 1).flatten(1).mean(1), torch.zeros(4), atol=1e-5)
    assert torch.allclose(z.transpose(0, 1).flatten(1).std(1), torch.ones(4), atol=1e-3)
    before = {key: value.clone() for key, value in flow.state_dict().items()}
    flow(2 * x, None)  # from now on the batch decides on nothing
    assert all(torch.equal(value, before[key]) for key, value in flow.state_dict().items())


def test_no_sample_of_a_bounded_scale_is_infinite() -> None:
    affine = Affine()
    for extreme in (-1e6, 1e6):
        numbers = torch.stack([torch.zeros(1, 4), torch.full((1, 4), extreme)], 1)
        x = affine.inverse(torch.full((1, 4), 5.0), numbers)
        assert bool(x.isfinite().all())
        assert float(x.max()) <= 5 * math.exp(3) * 1.001


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("mixing", ["permutation", "reverse", "lu", "none"])
def test_mixing_moves_what_a_coupling_left(mixing: str, channels: int) -> None:
    torch.manual_seed(0)
    found = linear_map(mixing, channels)  # type: ignore[arg-type]
    assert len(found) == (mixing != "none" and channels > 1)
    if found and mixing != "lu":
        assert not torch.equal(found[0](torch.arange(float(channels)).view(1, -1), None)[0], torch.arange(channels))
