"""The family of flows: densities that integrate to 1, entropies that are reached, bounds on grey levels, classes, codes."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batch, Batches, in_order
from genlab.data.dataset import Dataset
from genlab.data.densities import grid_over
from genlab.data.spec import DataSpec
from genlab.data.truth import KnowsLogProb
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.inference.density_maps import score
from genlab.inference.likelihood import bits_per_dimension, log_likelihoods
from genlab.inference.sampling import film
from genlab.metrics.estimate import Estimate
from genlab.models.abilities import Classifies, Conditional, Decodes, Dequantises, DrawsCodes, Encodes, HasLogProb
from genlab.models.flows.dequantisation import Levels
from genlab.models.flows.flow import Flow
from genlab.models.flows.flow_layer import Stack
from genlab.models.flows.multiscale import AsVectors, Multiscale
from genlab.models.flows.real_line import RealLine
from genlab.numerics import rng
from tests.helpers.support import (
    FEW_CHAINS,
    configure,
    make_dataset,
    make_model,
    small_data,
    spec_of,
    start,
    tensor,
)

CPU = torch.device("cpu")
SPLITS = ("dataset.validation=500", "dataset.test=500")
SMALL = ("model.hidden=[16]", "model.depth=2")


def flow(data: DataSpec, *overrides: str, moved: float = 0.2) -> Flow:
    """An untrained flow with random parameters."""
    torch.manual_seed(0)
    model = make_model(configure("model=flow", *SMALL, *overrides), data)
    assert isinstance(model, Flow)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(moved * torch.randn_like(parameter))
    return model.eval()


def first_batch(dataset: Dataset, n: int = 20) -> Batch:
    return next(in_order(dataset.test, dataset.represent, batch_size=n, device=CPU))


def plane(*overrides: str) -> Dataset:
    return make_dataset(configure("model=flow", "dataset=toy2d", "dataset.size=4000", *SPLITS, *overrides))


LAYERS = {
    "couplings": (),
    "affine": ("model.transform=affine", "model.mixing=permutation"),
    "maf": ("model.layers=autoregressive",),
    "maf-spline": ("model.layers=autoregressive", "model.transform=spline", "model.mixing=lu"),
    "iaf": ("model.layers=inverse_autoregressive", "model.activation_norm=false"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_density_of_the_plane_integrates_to_1(name: str) -> None:
    model = flow(plane().spec, *LAYERS[name], moved=0.1)
    side = 500
    lattice, area = grid_over(((-15.0, 15.0), (-15.0, 15.0)), side, side)
    with torch.no_grad():
        p = model.double().log_prob(lattice).exp()
    assert float(p.sum()) * area == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_codes_are_undone_and_the_log_density_is_that_of_the_jacobian(name: str) -> None:
    dataset = small_data("vectors")
    model = flow(dataset.spec, *LAYERS[name]).double()
    x = first_batch(dataset, 5).x.double()
    z = model.encode(x)
    torch.testing.assert_close(model.decode(z), x, rtol=1e-6, atol=1e-6)
    for i in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(
            lambda v: model.flow(model.real_line(v.unsqueeze(0))[0], None)[0][0], x[i]
        )
        expected = -0.5 * (z[i].square().sum() + 3 * math.log(2 * math.pi)) + torch.linalg.slogdet(jacobian).logabsdet
        torch.testing.assert_close(model.log_prob(x[i : i + 1])[0], expected, rtol=1e-8, atol=1e-8)


def test_one_affine_autoregressive_layer_reaches_the_entropy_of_a_gaussian(tmp_path: Path) -> None:
    overrides = ("dataset=gaussian", "dataset.dim=4", "dataset.size=20000", "train.sample_every=1000000", *SPLITS)
    one = ("model.layers=autoregressive", "model.depth=1", "model.hidden=[32]", "train.examples=60000")
    loop = start(tmp_path, configure("model=flow", *overrides, *one, "optimizer.lr=0.01", "train.batch_size=256"))
    loop.fit()
    x, truth = tensor(loop.dataset.test), loop.dataset.truth
    assert isinstance(truth, KnowsLogProb)
    assert isinstance(loop.model, Flow)
    with torch.no_grad():
        gap = truth.log_prob(x) - loop.model.log_prob(x).double()
    assert 0 - 4 * float(gap.std()) / len(x) ** 0.5 < float(gap.mean()) < 0.02


def test_training_starts_the_normalisations_once() -> None:
    dataset = small_data("vectors")
    model = make_model(configure("model=flow", *SMALL), dataset.spec)
    assert isinstance(model, Flow)
    assert not model.started
    stream = Batches(dataset.train, dataset.represent, batch_size=32, examples=32, seed=0, device=CPU)
    for _ in model.train_loop(stream):
        pass
    assert model.started
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for _ in model.train_loop([]):  # a resumed training that is over
        pass
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


# Data in [0, 1] and grey levels


@pytest.mark.parametrize("n", [1, 2])
def test_a_few_examples_say_too_little_to_start_from(n: int) -> None:
    dataset = plane()
    model = flow(dataset.spec, moved=0.0)
    x = dataset.test.take(torch.arange(n))
    for _ in model.train_loop([Batch(x=x, y=None, progress=0.0)]):
        pass
    with torch.no_grad():
        assert float(model.log_prob(first_batch(dataset).x).mean()) > -5


def test_a_logit_takes_the_volume_that_its_formula_says() -> None:
    data = small_data("dequantized").spec
    alpha = 0.05
    line = RealLine(data, alpha, None)
    x = torch.rand(3, *data.shape, dtype=torch.float64).requires_grad_()
    s, log_volume = line(x)
    (slope,) = torch.autograd.grad(s.sum(), x)
    torch.testing.assert_close(log_volume, slope.log().flatten(1).sum(1))
    sigma = s.sigmoid()
    stated = data.dim * math.log(1 - 2 * alpha) - (sigma * (1 - sigma)).log().flatten(1).sum(1)
    torch.testing.assert_close(log_volume, stated)
    torch.testing.assert_close(line.inverse(s), x)


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_logits_are_finite_at_both_ends_in_float32(alpha: float) -> None:
    line = RealLine(small_data("dequantized").spec, alpha, None)
    for end in (0.0, 1.0):
        s, log_volume = line(torch.full((1, 1, 8, 8), end))
        assert float(s.abs().max()) == pytest.approx(math.log((1 - alpha) / alpha), rel=1e-5)
        assert bool(log_volume.isfinite().all())


def test_bits_per_dimension_of_grey_levels_are_those_of_the_convention() -> None:
    """An even density of (v + u)/256 has log p = 0, and so log2 256 = 8 bits for each dimension."""
    dataset = small_data("grey")
    levels = Levels(256, None)
    x = first_batch(dataset).x
    inner, log_volume = levels(x)
    assert bool(((inner * 256).floor() == (x * 255).round()).all())
    assert torch.equal(levels.inverse(inner), x)
    torch.testing.assert_close(levels.inverse(levels.centre(x)), x)
    bits = bits_per_dimension(Estimate(float(log_volume.mean()), 0.0), dataset.spec, dataset.represent)
    assert bits.value == pytest.approx(8)


def test_the_likelihood_of_grey_levels_is_shown_as_a_lower_bound_and_that_of_real_data_as_exact() -> None:
    for kind, expected in (("grey", ("bound", "lower bound")), ("vectors", ("exact", "exact"))):
        dataset = small_data(kind)
        model = flow(dataset.spec)
        batches = list(in_order(dataset.test, dataset.represent, batch_size=40, device=CPU))
        (found,) = log_likelihoods(model, batches, 5, FEW_CHAINS, batches[0].x, len(dataset.test))
        assert (found.name, found.kind) == expected
        assert model.discrete == model.dequantises == (kind == "grey")


@pytest.mark.parametrize("dequantisation", ["uniform", "variational"])
def test_the_bound_on_grey_levels_lies_below_their_probability_by_the_variance_of_the_noise(
    dequantisation: str,
) -> None:
    """Three levels of one component: P of each is the integral of the density over its cell. No bound exceeds it."""
    data = replace(spec_of(torch.rand(300, 1)), support="unit", levels=3)
    model = flow(data, f"model.dequantisation={dequantisation}", "model.alpha=0.05", moved=0.1).double()
    cells = (torch.arange(6000, dtype=torch.float64) + 0.5) / 6000
    with torch.no_grad():
        s, log_slope = model.real_line.to_line(cells.unsqueeze(1))
        p = (model.log_density_of(s, None) + log_slope.flatten(1).sum(1)).exp()
        mass = p.view(3, 2000).mean(1) / 3
        tails = 1 - float(mass.sum())  # beyond [0, 1], which the logit with alpha reaches
        assert 0 <= tails < 0.9
        for level in range(3):
            draws = model.log_prob(torch.full((20_000, 1), level / 2, dtype=torch.float64))
            stderr = float(draws.std()) / len(draws) ** 0.5
            assert float(draws.mean()) < math.log(float(mass[level])) + 4 * stderr
            weights = draws.exp()  # unbiased for the probability itself
            assert float(weights.mean()) == pytest.approx(
                float(mass[level]), abs=5 * float(weights.std()) / len(draws) ** 0.5
            )


def test_variational_noise_starts_nearly_even() -> None:
    data = small_data("grey").spec
    model = flow(data, "model.dequantisation=variational", moved=0.0)
    levels = model.real_line.levels
    assert levels is not None
    x = torch.rand(200, 1, 8, 8)
    with torch.no_grad():
        u, log_q = levels.noise(x)
    assert 0 < float(log_q.mean()) / data.dim < 0.02  # the KL from even noise, in nats for each component
    assert float(u.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(u.var()) == pytest.approx(1 / 12, abs=0.004)


def test_samples_of_grey_levels_are_grey_levels() -> None:
    model = flow(small_data("grey").spec)
    with rng.seeded(0, "samples", device=CPU):
        x = model.sample(10) * 255
    assert torch.allclose(x, x.round(), atol=1e-4)


# Samples, codes, classes


def test_a_film_shows_the_state_after_each_layer_in_the_units_of_the_data() -> None:
    for kind in ("grey", "vectors", "curves"):
        data = small_data(kind).spec
        model = flow(data)
        scales = len(model.flow.shapes) if data.on_grid else 1  # type: ignore[arg-type]
        states = film(model, 4, 0, 100)
        assert states.shape == (1 + 2 * scales, 4, *data.shape)
        if data.support == "unit":
            assert float(states.min()) >= 0
            assert float(states.max()) <= 1


def test_temperature_scales_the_noise() -> None:
    model = flow(small_data("vectors").spec, moved=0.0)
    with rng.seeded(0, "samples", device=CPU):
        cold = model.sample(20_000, temperature=0.5)
    assert torch.allclose(cold.std(0) / model.data.std, torch.full((3,), 0.5), rtol=0.03)


def test_lines_between_codes_stay_on_the_shell_of_the_noise() -> None:
    model = flow(small_data("grey").spec)
    with rng.seeded(0, "codes", device=CPU):
        a, b = model.draw_codes(500), model.draw_codes(500)
    for weight in (0.0, 0.3, 0.5, 1.0):
        way = model.interpolate(a, b, weight)
        assert float(way.square().mean()) == pytest.approx(1, abs=0.03)
    assert torch.allclose(model.interpolate(a, b, 0.0), a, atol=1e-5)


def test_the_score_is_the_gradient_of_the_log_density() -> None:
    dataset = plane()
    model = flow(dataset.spec)
    x = torch.randn(5, 2, dtype=torch.float64)
    found, step = score(model, x), 1e-5
    assert found is not None
    model.double()
    for axis in range(2):
        shift = step * torch.eye(2, dtype=torch.float64)[axis]
        with torch.no_grad():
            slope = (model.log_prob(x + shift) - model.log_prob(x - shift)) / (2 * step)
        torch.testing.assert_close(found[:, axis], slope, rtol=1e-3, atol=1e-3)


def test_a_conditional_flow_is_a_mixture_and_classifies_by_bayes() -> None:
    dataset = small_data("vectors")
    model = flow(dataset.spec, "model.conditional=true").double()
    x = first_batch(dataset).x.double()
    with torch.no_grad():
        by_class = torch.stack([model.log_density(x, model.one_hot(torch.full((20,), k))) for k in range(4)], 1)
        torch.testing.assert_close(model.log_prob(x), by_class.logsumexp(1) - math.log(4))
        torch.testing.assert_close(model.classify(x), by_class.log_softmax(1))
    model.float()
    assert not torch.allclose(model.sample(40, labels=1).mean(0), model.sample(40, labels=2).mean(0))


def test_it_has_the_abilities_of_a_density_with_codes() -> None:
    model = flow(small_data("vectors").spec)
    for ability in (HasLogProb, Dequantises, Encodes, Decodes, DrawsCodes, Classifies, Conditional):
        assert isinstance(model, ability)
    assert model.replayable


@pytest.mark.parametrize(
    ("kind", "overrides", "words"),
    [
        ("binary", (), "cannot model binary data"),
        ("vectors", ("model.layers=multiscale",), "set model.layers=coupling"),
        ("vectors", ("model.scales=2",), "model.layers=multiscale; leave it out"),
        ("grey", ("model.scales=9",), "set model.scales=3"),
        ("colour", ("model.layers=inverse_autoregressive",), "set model.layers=autoregressive"),
        ("vectors", ("model.bins=1",), "set model.bins=8"),
        ("vectors", ("model.dropout=0.2",), "model.dropout=0.2 is for model.layers=multiscale"),
        ("vectors", ("model.dense=2",), "model.dense=2 is for model.layers=multiscale"),
        ("grey", ("model.dense=-1",), "model.dense=-1"),
        ("vectors", ("model.transform=affine", "model.bins=8"), "model.bins=8 is for model.transform=spline"),
        ("vectors", ("model.bound=1000",), "model.bound"),
    ],
)
def test_what_does_not_fit_is_said_before_training(kind: str, overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(GenlabError, match=words):
        make_model(configure("model=flow", *overrides), small_data(kind).spec)


@pytest.mark.parametrize(
    ("shape", "overrides", "dense", "depth"),
    [
        ((1, 20, 20), (), 8, 3),
        ((2, 200), (), 8, 3),
        ((1, 20, 20), ("model.dense=3", "model.depth=2"), 3, 2),
        ((1, 20, 20), ("~model.dense",), 0, 6),
        ((1, 16, 16), (), 0, 4),
        ((1, 16, 16), ("model.dense=1",), 1, 4),
        ((3, 128, 128), (), 0, 6),
    ],
)
def test_dense_layers_of_what_the_coarsest_scale_leaves(
    shape: tuple[int, ...], overrides: tuple[str, ...], dense: int, depth: int
) -> None:
    """Few components have none, nor very many; nor do runs from before there was a key for them."""
    config = configure("model=flow", "model.hidden=[4]", *(word for word in overrides if word[0] != "~"))
    for word in overrides:
        if word[0] == "~":
            del config["model"][word.rpartition(".")[2]]
    model = make_model(config, spec_of(torch.rand(20, *shape)))
    assert isinstance(model, Flow)
    assert sum(isinstance(layer, AsVectors) for layer in model.modules()) == dense
    assert isinstance(model.flow, Multiscale)
    scales = [scale for scale in model.flow.scales if isinstance(scale, Stack)]
    assert [len(scale.layers) for scale in scales[:-1]] == [depth] * (len(scales) - 1)
    assert len(scales[-1].layers) == depth + dense


@pytest.mark.parametrize("transform", ["affine", "spline"])
def test_the_same_weights_give_the_same_density_in_zuko(transform: str) -> None:
    """An autoregressive layer with the masks and weights of zuko's, whose numbers are put through its own maps."""
    zuko = pytest.importorskip("zuko")
    torch.manual_seed(0)
    dim = 5
    peer = zuko.flows.MAF(dim, transforms=1, hidden_features=(16,)).double()
    if transform == "spline":
        peer = zuko.flows.NSF(dim, transforms=1, hidden_features=(16,)).double()
    model = flow(
        spec_of(torch.randn(300, dim)),
        "model.layers=autoregressive",
        f"model.transform={transform}",
        "model.bound=5",
        *(["model.bins=8"] if transform == "spline" else []),
        "model.depth=1",
        "model.activation_norm=false",
        "model.mixing=none",
        moved=0,
    ).double()
    layer = model.flow.stack.layers[0].layers[0]  # type: ignore[union-attr, index]
    layer.conditioner = OfZuko(peer.transform.transforms[0].hyper, dim, transform)
    x = 1.5 * torch.randn(50, dim, dtype=torch.float64)
    torch.testing.assert_close(model.log_density_of(x, None), peer().log_prob(x), rtol=1e-9, atol=1e-9)


class OfZuko(torch.nn.Module):
    """Numbers of zuko's network as those of genlab's maps: scale and shift, or the knots of a spline, parametrised anew."""

    def __init__(self, network: torch.nn.Module, dim: int, transform: str) -> None:
        super().__init__()
        self.network, self.dim, self.transform = network, dim, transform

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        numbers = self.network(x).unflatten(-1, (self.dim, -1)).movedim(-1, 1)  # (n, count, D)
        soft = 1e-3
        if self.transform == "affine":  # z = x e^s + t there, (x - m) e^-a here
            shift, raw = numbers.unbind(1)
            log_scale = raw / (1 + (raw / math.log(soft)).abs())
            a = -log_scale
            return torch.stack([-shift * a.exp(), 3 * torch.atanh(a / 3)], 1)
        widths, heights, slopes = numbers.split([8, 8, 7], 1)
        shares = [(v / (1 + (2 * v / math.log(soft)).abs())).softmax(1) for v in (widths, heights)]
        logits = [((s - 1e-3) / (1 - 8e-3)).log() for s in shares]
        slope = (slopes / (1 + (slopes / math.log(soft)).abs())).exp()
        zero = math.log(math.expm1(1 - 1e-3))
        return torch.cat([*logits, torch.log(torch.expm1(slope - 1e-3)) - zero], 1)


@pytest.mark.parametrize(
    ("override", "said"), [("model.alpha=0.1", "real numbers"), ("model.dequantisation=uniform", "grey levels")]
)
def test_keys_that_do_nothing_for_real_data_are_refused(override: str, said: str) -> None:
    with pytest.raises(GenlabError, match=f"{override}.*{said}.*leave it out"):
        _ = Experiment(configure("model=flow", "dataset=toy2d", override)).model
