"""Data whose density is known: normalised, with the entropy of other people's tables, and what their draws come from."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import ive
from torch import Tensor

from genlab.data.densities import Density, grid_over
from genlab.data.sources.gaussian import Normal, gaussian
from genlab.data.sources.toy2d import NOISE, density_of, toy2d
from genlab.data.subsets import places
from genlab.errors import GenlabError
from genlab.evaluation.evaluation import evaluate
from genlab.evaluation.evaluation_context import Settings
from genlab.inference.density_maps import density_and_score_maps, log_density, score, true_score
from genlab.inference.likelihood import log_likelihoods, most_integrated
from genlab.inference.partition import exact_log_z
from genlab.inference.plane_grid import box_of, grid_log_z
from genlab.inference.sampling import draw
from genlab.models.base import GenerativeModel
from genlab.models.boltzmann.gaussian_rbm import GaussianRBM
from tests.helpers.processes import assert_refused, call
from tests.helpers.support import FEW_CHAINS, MODELS, configure, make_dataset, make_model
from tests.models.test_contract import build_class

SHAPES = [(shape, noise) for shape in NOISE for noise in (None, 0.25)]
SMALL = ("dataset.size=600", "dataset.validation=100", "dataset.test=200")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def integrated(density: Density, values: Tensor, side: int) -> float:
    _, area = grid_over(density.box(), side, side)
    return float(values.sum()) * area


@pytest.mark.parametrize(("shape", "noise"), SHAPES)
def test_densities_of_the_plane_are_normalised_and_their_draws_have_them(shape: str, noise: float | None) -> None:
    density = density_of(shape, noise)  # type: ignore[arg-type]
    side = 256  # cells of the checkerboard begin and end between its points
    points, _ = grid_over(density.box(), side, side)
    p = density.log_prob(points).exp()
    assert integrated(density, p, side) == pytest.approx(1, abs=1e-6)
    x, _ = density.draw(20_000, generator())
    log_p = density.log_prob(x)
    assert float(-log_p.mean()) == pytest.approx(density.entropy(), abs=4 * float(log_p.std()) / len(x) ** 0.5 + 1e-12)
    # Shares of the draws in 8x8 boxes against the integral of p over each.
    (left, right), (low, high) = density.box()
    inside = p.view(8, side // 8, 8, side // 8).sum((1, 3)).flatten() * (right - left) * (high - low) / side**2
    column = ((x[:, 0] - left) / (right - left) * 8).long()
    row = ((x[:, 1] - low) / (high - low) * 8).long()
    counts = torch.bincount(row * 8 + column, minlength=64)
    likely = inside * len(x) > 10
    chi = ((counts - inside * len(x)).square() / (inside * len(x)))[likely].sum()
    degrees = int(likely.sum())
    assert float(chi) < degrees + 4 * (2 * degrees) ** 0.5


def test_entropies_agree_with_known_values() -> None:
    for noise, known in (
        (0.05, 0.287),
        (0.1, 1.011),
        (0.2, 1.676),
    ):  # by Monte Carlo, good to three or four thousandths
        assert density_of("moons", noise).entropy() == pytest.approx(known, abs=0.005)
    assert density_of("checkerboard", None).entropy() == pytest.approx(math.log(32))
    apart = math.log(2 * math.pi * math.e * 0.05**2)  # Gaussians that do not overlap
    assert density_of("eight_gaussians", 0.05).entropy() == pytest.approx(math.log(8) + apart, abs=1e-6)
    assert density_of("twenty_five_gaussians", 0.05).entropy() == pytest.approx(math.log(25) + apart, abs=1e-6)


def test_nodes_along_a_curve_give_the_density_of_its_integral() -> None:
    """A ring with noise has p(r) = exp(-(r - R)^2/2s^2) I_0e(r R/s^2)/(2 pi s^2)."""
    sigma, r = 0.1, np.linspace(0, 4, 81)
    exact = sum(np.exp(-((r - R) ** 2) / (2 * sigma**2)) * ive(0, r * R / sigma**2) for R in (1.0, 2.0, 3.0))
    exact = exact / (3 * 2 * math.pi * sigma**2)
    for angle in (0.0, 1.0, 2.0):
        x = torch.from_numpy(np.stack([r * math.cos(angle), r * math.sin(angle)], 1))
        np.testing.assert_allclose(density_of("rings", sigma).log_prob(x), np.log(exact), atol=1e-6)


def test_where_the_lattice_would_be_too_fine_the_entropy_is_that_of_draws() -> None:
    sigma = 0.002
    expected = math.log(25) + math.log(2 * math.pi * math.e * sigma**2)
    assert density_of("twenty_five_gaussians", sigma).entropy() == pytest.approx(expected, abs=4 / 200_000**0.5)


def test_a_curve_without_noise_has_no_density() -> None:
    with pytest.raises(GenlabError, match=r"dataset\.noise=0: moons without noise has no density; set a number"):
        density_of("moons", 0.0)


def test_classes_are_the_parts_of_a_shape_and_seeds_move_the_points() -> None:
    raw = toy2d(shape="eight_gaussians", size=1000, noise=0.05, seed=0)
    x, y = raw.train.x, raw.train.y
    assert isinstance(x, Tensor)
    assert y is not None
    angles = torch.atan2(x[:, 1], x[:, 0]) / (math.pi / 4)
    assert torch.equal(angles.round().long() % 8, y)
    again, other = (toy2d(shape="eight_gaussians", size=1000, noise=0.05, seed=seed).train.x for seed in (0, 1))
    assert isinstance(again, Tensor)
    assert isinstance(other, Tensor)
    assert torch.equal(again, x)
    assert not torch.equal(other, x)
    assert toy2d(shape="swiss_roll", size=1000, noise=None, seed=0).num_classes is None


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_normal_data_have_the_covariance_density_and_entropy_that_they_state(dim: int) -> None:
    spectrum = [2.0**-i for i in range(dim)]
    raw = gaussian(dim=dim, size=50_000, spectrum=spectrum, decay=0.0, seed=3)
    truth, x = raw.truth, raw.train.x
    assert isinstance(truth, Normal)
    assert isinstance(x, Tensor)
    covariance = truth.axes * truth.variances @ truth.axes.T
    assert torch.allclose(torch.linalg.eigvalsh(covariance), torch.tensor(spectrum).double().sort().values)
    scatter = 4 * torch.sqrt((covariance.square() + covariance.diagonal().outer(covariance.diagonal())) / len(x))
    assert bool(((x.double().T @ x.double() / len(x) - covariance).abs() < scatter).all())
    known = torch.distributions.MultivariateNormal(torch.zeros(dim).double(), covariance)
    assert torch.allclose(truth.log_prob(x[:50]), known.log_prob(x[:50].double()))
    assert truth.entropy() == pytest.approx(float(known.entropy()))


def test_a_spectrum_of_the_wrong_length_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["train", "dataset=gaussian", "dataset.dim=3", "dataset.spectrum=[1.0,2.0]"], capsys)
    assert_refused(outcome, "dataset.spectrum=[1.0, 2.0]: 2 variances for dataset.dim=3 components; give 3 of them")


def test_data_without_some_of_their_classes_no_longer_have_the_density_of_all() -> None:
    assert make_dataset(configure("dataset=toy2d", *SMALL)).truth is not None
    assert (
        make_dataset(configure("dataset=toy2d", "dataset.size=2000", *SMALL[1:], "dataset.exclude=[1]")).truth is None
    )


def trained_machine(hidden: int) -> tuple[GaussianRBM, dict[str, object]]:
    config = configure("model=gaussian_rbm", f"model.hidden={hidden}", "dataset=toy2d", *SMALL)
    model = make_model(config, make_dataset(config).spec)
    assert isinstance(model, GaussianRBM)
    with torch.no_grad():
        model.W.add_(0.7 * torch.randn(model.W.shape, generator=generator()))
    return model.eval(), config


def test_log_z_on_a_lattice_is_that_of_summing_over_hidden_units() -> None:
    model, _ = trained_machine(hidden=6)
    found, exact = grid_log_z(model), exact_log_z(model)
    assert exact is not None
    assert found.value == pytest.approx(exact, abs=2e-3)
    assert 0 < found.outside < 0.5


def test_a_component_that_never_varies_has_a_width_on_the_lattice_all_the_same() -> None:
    model, _ = trained_machine(hidden=2)
    model.data = replace(model.data, std=torch.tensor([1.0, 0.0]), low=-2.0, high=2.0)
    (left, right), (low, high) = box_of(model.data, 0.0)
    assert right > left
    assert high - low == 8


def test_an_energy_of_the_plane_is_normalised_on_a_lattice_where_it_cannot_be_summed() -> None:
    model, config = trained_machine(hidden=24)
    dataset = make_dataset(config)
    x = dataset.test.take(torch.arange(50))
    from genlab.data.batches import Batch

    found = log_likelihoods(model, [Batch(x, None, 1.0)], 1, FEW_CHAINS, x)
    assert [one.name for one in found] == ["grid"]
    assert found[0].kind == "estimate"
    points, area = grid_over(((-40.0, 40.0), (-40.0, 40.0)), 1500, 1500)
    z = sum(float((-model.free_energy(part.float()).double()).exp().sum()) for part in points.split(2**18)) * area
    assert found[0].facts["log_z"] == pytest.approx(math.log(z), abs=5e-3)


def test_scores_are_the_slopes_of_log_densities() -> None:
    raw = gaussian(dim=2, size=100, spectrum=[1.0, 0.2], decay=0.0, seed=0)
    truth = raw.truth
    assert isinstance(truth, Normal)
    points = torch.randn(20, 2, generator=generator(), dtype=torch.float64)
    precision = truth.axes / truth.variances @ truth.axes.T
    assert torch.allclose(true_score(truth, points), -points @ precision, atol=1e-6)
    model, _ = trained_machine(hidden=6)
    slopes, step = score(model, points), 1e-2
    assert slopes is not None
    for k, axis in enumerate(torch.eye(2, dtype=torch.float64)):
        ahead, behind = (model.free_energy((points + sign * step * axis).float()) for sign in (1, -1))
        assert torch.allclose(slopes[:, k], -((ahead - behind) / (2 * step)).double(), atol=0.03)


@pytest.mark.parametrize("name", MODELS)
def test_every_family_for_real_data_is_shown_beside_the_truth(name: str) -> None:
    config = configure(f"model={name}", "dataset=toy2d", *SMALL)
    dataset = make_dataset(config)
    if "real" not in build_class(name).supports:
        with pytest.raises(GenlabError, match="cannot model real data"):
            make_model(config, dataset.spec)
        return
    model = make_model(config, dataset.spec)
    samples = draw(model, 64, 0).x if isinstance(model, GenerativeModel) else None
    x = dataset.test.take(torch.arange(100))
    found = density_and_score_maps(model, dataset, 0, x, samples, side=24, draws=2)
    assert found["density"].std() > 5
    learned = log_density(model.eval(), torch.zeros(3, 2, dtype=torch.float64))
    assert learned is None or bool(learned[0].isfinite().all())


def test_evaluation_sets_likelihoods_beside_the_entropy_of_the_data() -> None:
    config = configure("model=pca", "model.latent_dim=1", "dataset=gaussian", "dataset.dim=3", "dataset.decay=2")
    config["dataset"] |= {"size": 5000, "validation": 100, "test": 1000}
    dataset = make_dataset(config)
    model = make_model(config, dataset.spec)
    from genlab.data.batches import Batches

    device = torch.device("cpu")
    for _ in model.train_loop(
        Batches(dataset.train, dataset.represent, batch_size=100, examples=3900, seed=0, device=device, cut_last=True)
    ):
        pass
    model.eval()
    settings = Settings(100, 0, 1, FEW_CHAINS, "pca", {}, noise=0.0)
    entries = evaluate(model, dataset, settings, {}).entries
    truth = dataset.truth
    assert isinstance(truth, Normal)
    # Two variances that the model takes for one: KL = 1/2 ln(mean^2 / product) = 1/2 ln(((a + b)/2)^2 / a b).
    a, b = truth.variances[1:].tolist()
    expected = 0.5 * math.log(((a + b) / 2) ** 2 / (a * b))
    found = entries["kl_divergence_exact"]
    assert found.stderr is not None
    assert abs(found.value - expected) < 4 * found.stderr + 3 / 4000  # + that of the estimated parameters
    assert found.stderr < 0.5 * (entries["log_likelihood_exact"].stderr or 0), "log p and log q are paired"
    assert entries["entropy"].value == pytest.approx(truth.entropy())
    real = entries["log_likelihood_exact"].real
    assert real is not None
    assert abs(real.value + truth.entropy()) < 4 * real.stderr


def test_a_flow_that_carries_a_part_of_the_test_split_is_compared_on_that_part() -> None:
    config = configure("model=flow_matching", "model.hidden=[32]", "dataset=gaussian", "dataset.dim=50")
    config["dataset"] |= {"size": 3200, "validation": 100, "test": 3000}
    dataset = make_dataset(config)
    model = make_model(config, dataset.spec).eval()
    entries = evaluate(model, dataset, Settings(100, 0, 1, FEW_CHAINS, "pca", {}, noise=0.0), {}).entries
    assert isinstance(dataset.truth, Normal)
    carried = dataset.truth.log_prob(dataset.test.take(places(3000, most_integrated(50))))
    real, found = entries["log_likelihood_flow"].real, entries["log_likelihood_flow"]
    assert most_integrated(50) < 3000
    assert real is not None
    assert real.value == pytest.approx(float(carried.double().mean()), rel=1e-6)
    assert entries["kl_divergence_flow"].value == pytest.approx(real.value - found.value, rel=1e-6)


def test_a_run_on_points_of_the_plane_leaves_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    arguments = [
        "train",
        "model=gan",
        "dataset=toy2d",
        "dataset.shape=rings",
        *SMALL,
        "train.examples=500",
        "train.sample_every=500",
    ]
    assert call([*arguments, "model.hidden=[8]", "model.critic_hidden=[8]", f"hydra.run.dir={run}"], capsys).code == 0
    assert (run / "samples" / "density.png").exists()
    assert not (run / "samples" / "score.png").exists(), "a GAN has no density whose slope could be drawn"
