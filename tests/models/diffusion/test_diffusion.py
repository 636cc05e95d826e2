"""Diffusion against closed forms: schedules, the bound and its terms, the lecture's decomposition, likelihood."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from genlab.errors import GenlabError
from genlab.evaluation.held_out import family_measures, likelihoods
from genlab.inference.likelihood import bits_per_dimension
from genlab.metrics.estimate import Estimate
from genlab.models.diffusion.consistency import consistency_terms
from genlab.models.diffusion.diffusion import Diffusion
from genlab.models.diffusion.flow_matching import FlowMatching
from genlab.models.diffusion.forward_process import ForwardProcess
from genlab.models.diffusion.reconstruction import log_nearest_level
from genlab.models.diffusion.schedules import LearnedSchedule, TabulatedSchedule, alphas_bar, level, schedule_of
from genlab.networks.noise_embedding import fourier_features
from genlab.numerics import rng
from genlab.plots.charts import spreads
from tests.helpers.evaluations import taken
from tests.helpers.gaussians import COVARIANCE, exact_diffusion, log_gaussian
from tests.helpers.support import BRISK, configure, make_model, small_data

CPU = torch.device("cpu")


def mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / len(values) ** 0.5


# Schedules


def test_the_linear_schedule_is_that_of_the_paper() -> None:
    alpha_bar = alphas_bar("linear", 1000)
    assert float(alpha_bar[0]) == pytest.approx(1 - 1e-4, abs=1e-9)
    assert float(alpha_bar[-1]) == pytest.approx(4.0358e-5, rel=1e-4)


@pytest.mark.parametrize(("name", "mean"), [("linear", 0.2755), ("cosine", 0.4956)])
def test_mean_signal_of_fixed_schedules(name: str, mean: float) -> None:
    assert float(alphas_bar(name, 1000).mean()) == pytest.approx(mean, abs=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["linear", "cosine", "learned"])
def test_a_schedule_is_monotone_and_its_slope_is_its_derivative(name: str) -> None:
    found = schedule_of(name, None).double()  # type: ignore[arg-type]
    t = (torch.arange(999, dtype=torch.float64) + 0.4) / 999  # between the levels of a table
    gamma = found.gamma(t)
    assert (gamma.diff() > 0).all()
    step = 1e-5
    numeric = (found.gamma(t + step) - found.gamma(t - step)) / (2 * step)
    torch.testing.assert_close(found.slope(t), numeric, rtol=1e-5, atol=1e-5)


def test_a_table_meets_its_levels_from_times_in_single_precision() -> None:
    table = TabulatedSchedule(alphas_bar("cosine", 1000))
    t = torch.arange(1000) / 999
    assert torch.equal(table.gamma(t), table.gammas)


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("steps", [50, None])
def test_the_levels_of_one_example_lie_apart_and_estimate_the_sum_over_all_steps(steps: int | None, draws: int) -> None:
    process = ForwardProcess(TabulatedSchedule(alphas_bar("linear", steps or 1000)), steps)

    def error(t: Tensor) -> Tensor:
        return (-process.schedule.gamma(t)).sigmoid().square()

    every = torch.linspace(0, 1, steps or 200_001)
    exact = float((process.step_weights(every) * error(every)).mean())
    torch.manual_seed(0)
    t, weights = process.bound_levels(4000, draws)
    assert t.shape == weights.shape == (draws, 4000)
    each = (weights * error(t)).mean(0)
    assert float(each.mean()) == pytest.approx(exact, rel=0.02)
    if draws > 1:
        alone = (weights * error(t))[0]
        assert each.std() < 0.8 * alone.std() / draws**0.5, "no better than levels that are drawn apart from each other"


def test_levels_drawn_evenly_in_gamma_have_the_stated_density() -> None:
    table = TabulatedSchedule(alphas_bar("linear", 50))
    u = (torch.arange(200_000) + 0.5) / 200_000
    t, density = table.evenly_in_gamma(u, discrete=True)
    counts = torch.bincount((t * 49).round().long(), minlength=50)[1:] / len(u)
    expected = table.gammas.diff() / (table.gammas[-1] - table.gammas[0])
    torch.testing.assert_close(counts, expected, atol=2e-5, rtol=1e-3)
    levels = (t * 49).round().long()
    torch.testing.assert_close(density, 50 * expected[levels - 1])
    t, density = table.evenly_in_gamma(u, discrete=False)
    assert float((1 / density).mean()) == pytest.approx(1.0, abs=1e-3)  # int dt
    assert float((t / density).mean()) == pytest.approx(0.5, abs=1e-3)


# The bound


@pytest.mark.parametrize(("name", "mean"), [("linear", 0.2755), ("cosine", 0.4956)])
@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_best_noise_error_on_standard_normal_data(name: str, mean: float, prediction: str) -> None:
    model = exact_diffusion(torch.eye(3), f"model.schedule={name}", f"model.prediction={prediction}")
    x = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(0))
    with rng.seeded(1, "noise", device=CPU), torch.no_grad():
        t = model.process.times(len(x))
        error = model.noise_error(x, t, None, model.network) / 3
    value, stderr = mean_and_error(error)
    assert value == pytest.approx(mean, abs=4 * stderr)
    # Level by level it is alpha_bar.
    alpha_bar = torch.sigmoid(-model.schedule.gamma(t))
    low = alpha_bar < 0.3
    residue = (error - alpha_bar)[low]
    assert abs(float(residue.mean())) < 4 * float(residue.std()) / len(residue) ** 0.5


def test_the_prior_term_of_the_linear_schedule() -> None:
    model = exact_diffusion(torch.eye(2), "model.schedule=linear")
    bits = float(model.process.prior(torch.ones(1, 2))) / 2 / math.log(2)
    assert bits == pytest.approx(0.5 * 4.0358e-5 / math.log(2), rel=1e-2)  # 2.9e-5 bits/dim


def draws(n: int, covariance: Tensor = COVARIANCE) -> Tensor:
    normal = torch.randn(n, len(covariance), generator=torch.Generator().manual_seed(3))
    x: Tensor = normal @ torch.linalg.cholesky(covariance).T
    return x


@torch.no_grad()
def gap(model: Diffusion, n: int) -> tuple[float, float]:
    """log p(x) - bound, and its standard error."""
    x = draws(n)
    with rng.seeded(0, "bound", device=CPU):
        terms = model.bound_terms(x, None, draws=4)
    torch.testing.assert_close(
        terms["bound"], terms["reconstruction"] - terms["prior"] - terms["denoising"], rtol=0, atol=1e-4
    )
    return mean_and_error(log_gaussian(x, COVARIANCE) - terms["bound"])


def test_the_bound_tends_to_the_entropy_as_levels_grow_finer() -> None:
    fixed_ends = ("model.schedule=learned", "model.objective=elbo")
    gaps = [
        gap(exact_diffusion(COVARIANCE, *fixed_ends, f"model.steps={steps}"), 50_000) for steps in (50, 400, 20_000)
    ]
    for coarse, fine in pairwise(gaps):
        assert coarse[0] - fine[0] > 5 * math.hypot(coarse[1], fine[1])
    value, stderr = gaps[-1]
    assert abs(value) < 3 * stderr + 0.01, "a bound, and nearly tight"


def test_in_continuous_time_the_bound_does_not_depend_on_the_schedule_between_its_ends() -> None:
    model = exact_diffusion(COVARIANCE, "model.schedule=learned", "model.objective=elbo", "model.steps=null")
    monotone = model.schedule
    assert isinstance(monotone, LearnedSchedule)
    values = []
    for bend in (0.0, 1.5):
        with torch.no_grad():
            monotone.b.add_(bend)
            monotone.d.add_(bend)
        x = draws(60_000)
        with rng.seeded(0, "bound", device=CPU), torch.no_grad():
            values.append(mean_and_error(log_gaussian(x, COVARIANCE) - model.bound_terms(x, None, draws=4)["bound"]))
    middle = float(monotone.gamma(torch.tensor(0.5)).detach())
    with torch.no_grad():
        monotone.b.sub_(1.5)
        monotone.d.sub_(1.5)
    assert abs(float(monotone.gamma(torch.tensor(0.5)).detach()) - middle) > 0.3, "the schedules do differ"
    assert abs(values[0][0] - values[1][0]) < 4 * math.hypot(values[0][1], values[1][1])
    assert abs(values[0][0]) < 4 * values[0][1] + 0.01, "and it is tight"


def test_the_schedule_learns_to_make_the_loss_scatter_less() -> None:
    torch.manual_seed(0)
    model = exact_diffusion(
        torch.diag(torch.tensor([1.0, 1e-2])),
        "model.schedule=learned",
        "model.objective=elbo",
        "model.steps=null",
        "optimizer.lr=0.02",
    )

    @torch.no_grad()
    def spread() -> float:
        with rng.seeded(5, "spread", device=CPU):
            x = draws(20_000, torch.diag(torch.tensor([1.0, 1e-2])))
            t = model.process.times(len(x))
            return float(model.denoising(x, t, model.process.step_weights(t), None, model.network).std())

    before = spread()
    for seed in range(400):
        x = torch.randn(128, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 0.1])
        assert isinstance(model.schedule, LearnedSchedule)
        model.update_with_schedule(model.schedule, x, x, None)
    assert spread() < 0.92 * before  # what is left lies in eps, which no schedule removes


def test_the_lectures_decomposition_has_the_same_mean_and_a_larger_variance() -> None:
    model = exact_diffusion(COVARIANCE, "model.steps=200", "model.schedule=linear", "model.objective=consistency")
    x = draws(200_000)
    with rng.seeded(0, "both", device=CPU), torch.no_grad():
        usual = model.bound_terms(x, None)
        lecture = consistency_terms(
            model.process,
            model.scaling.inner(x),
            lambda x_t, gamma: model.x_hat(x_t, gamma, None, model.network),
            model.reconstruction(x, x),
        )
    torch.testing.assert_close(
        lecture["bound"], lecture["reconstruction"] - lecture["prior"] - lecture["consistency"], rtol=0, atol=1e-3
    )
    (a, a_error), (b, b_error) = mean_and_error(usual["bound"]), mean_and_error(lecture["bound"])
    assert abs(a - b) < 4 * math.hypot(a_error, b_error)
    assert float(lecture["bound"].var()) > 3 * float(usual["bound"].var())
    assert float(lecture["prior"].mean()) > 50 * float(usual["prior"].mean()), (
        "x_T is known from x_(T-1) but for the noise of one step"
    )


def test_both_forms_of_the_bound_are_shown_side_by_side() -> None:
    model = exact_diffusion(COVARIANCE, "model.steps=200", "model.schedule=linear")
    found = model.bound_estimates(draws(20_000))
    assert list(found) == ["noise form", "consistency form"]
    (a, a_error), (b, b_error) = (mean_and_error(values) for values in found.values())
    assert abs(a - b) < 4 * math.hypot(a_error, b_error)
    assert float(found["consistency form"].std()) > 1.5 * float(found["noise form"].std())
    assert exact_diffusion(COVARIANCE, "model.steps=null").bound_estimates(draws(10)) == {}
    constant, varying = torch.zeros(10, 50), torch.randn(10, 50, generator=torch.Generator().manual_seed(0))
    assert spreads({"one": constant, "other": varying}).std() > 5


def test_the_mass_of_grey_levels_sums_to_one() -> None:
    levels = 17
    x_1 = torch.linspace(-1.3, 1.3, 50).double()
    for width in (0.03, 0.2, 0.7):
        total = torch.zeros(50, dtype=torch.float64)
        for value in range(levels):
            x_0 = torch.full((50, 1), value / (levels - 1), dtype=torch.float64)
            eps = (x_1[:, None] - (2 * x_0 - 1)) / width
            total += log_nearest_level(eps, torch.tensor(width).double(), x_0, levels).exp()
        inside = x_1.abs() <= 1  # where all levels that matter are within reach of the true one
        torch.testing.assert_close(total[inside], torch.ones(int(inside.sum()), dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("gap", [0.01, 0.2, 0.69, 0.71, 3.0])
def test_levels_near_to_each_other_are_summed_as_those_far_apart(levels: int, gap: float) -> None:
    """Against the sum over all levels, term by term; a third of the examples at the lowest level, where the corrections are."""
    generator = torch.Generator().manual_seed(0)
    at = torch.randint(levels, (300, 4), generator=generator).double()
    at[:100] = 0
    eps = torch.randn(300, 4, generator=generator, dtype=torch.float64)
    exponents = -0.5 * ((torch.arange(levels) - at.unsqueeze(-1)) * gap - eps.unsqueeze(-1)).square()
    expected = (-0.5 * eps.square() - exponents.logsumexp(-1)).sum(1)
    width = torch.tensor(2 / (levels - 1) / gap).double()
    torch.testing.assert_close(log_nearest_level(eps, width, at / (levels - 1), levels), expected, rtol=0, atol=4e-5)


@pytest.mark.parametrize("kind", ["grey", "binary", "dequantized"])
def test_the_reconstruction_of_pictures_is_nearly_certain_at_the_least_noise(kind: str) -> None:
    dataset = small_data(kind)
    model = make_model(configure("model=diffusion", "model.schedule=learned", "model.objective=elbo"), dataset.spec)
    assert isinstance(model, Diffusion)
    with rng.seeded(0, "x", device=CPU), torch.no_grad():
        x = dataset.represent(dataset.test.take(torch.arange(20)))
        found = model.reconstruction(model.scaling.inner(x), x)
    if kind == "dequantized":
        # log N(eps; 0, 1) - D log(sigma/alpha) + D log 2, the last from [-1, 1] to [0, 1]
        at = level(model.schedule.ends()[0].detach())
        entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(float(at.sigma / at.alpha)) - math.log(2)
        assert float(found.mean()) == pytest.approx(
            -model.data.dim * entropy, abs=4 * math.sqrt(model.data.dim / 2 / 20)
        )
    else:
        assert -0.5 < float(found.mean()) <= 0  # sigma is a sixth of the distance of two levels


@pytest.mark.parametrize("steps", [5, 1000])
def test_the_likelihood_by_the_flow_is_that_of_the_gaussian_however_few_the_levels(steps: int) -> None:
    covariance = torch.diag(torch.tensor([0.04, 1.0]))
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * covariance.diag().sqrt()
    model = exact_diffusion(covariance, f"model.steps={steps}")
    found = model.flow_log_prob(x)
    assert found is not None
    noise = level(model.schedule.ends()[0])  # the density is that of data with the least noise
    least = float((noise.sigma / noise.alpha).square()) * torch.eye(2)
    assert float(found.mean()) == pytest.approx(float(log_gaussian(x, covariance + least).mean()), abs=0.03)


def test_few_held_out_examples_have_an_error_at_every_level() -> None:
    for name in ("diffusion", "flow_matching"):
        model = make_model(configure(f"model={name}"), small_data("vectors").spec).eval()
        assert isinstance(model, Diffusion | FlowMatching)
        found = model.monitor(torch.randn(9, 3), torch.randn(3, 3))
        assert all(math.isfinite(float(value)) for value in found.values()), found


# Likelihood by the ODE


@pytest.mark.parametrize("dim", [2, 12])  # the trace exactly, and by a probe
def test_log_p_by_the_flow_is_that_of_the_gaussian(dim: int) -> None:
    covariance = torch.diag(torch.linspace(0.5, 2.0, dim))
    model = exact_diffusion(covariance)
    x = draws(50, covariance)
    with rng.seeded(0, "flow", device=CPU):
        found = model.flow_log_prob(x)
    assert found is not None
    torch.testing.assert_close(found, log_gaussian(x, covariance), rtol=0, atol=0.02 * dim)


def test_grey_levels_are_cells_of_the_density() -> None:
    dataset = small_data("grey")
    model = make_model(configure("model=diffusion", "model.network=mlp", "model.hidden=[16]"), dataset.spec)
    assert isinstance(model, Diffusion)
    x = dataset.represent(dataset.test.take(torch.arange(4)))
    with rng.seeded(0, "flow", device=CPU), torch.no_grad():
        found = model.flow_log_prob(x)
    assert found is not None
    with rng.seeded(0, "flow", device=CPU), torch.no_grad():
        u = torch.rand_like(x)
        density = model.log_density(model.scaling.inner(x) + 2 / 255 * (u - 0.5))
    torch.testing.assert_close(found, density + 64 * math.log(2 / 255))
    binary = make_model(configure("model=diffusion"), small_data("binary").spec)
    assert isinstance(binary, Diffusion)
    assert binary.flow_log_prob(x) is None


# Mistakes


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [
        (["model.objective=consistency", "model.steps=null"], "model.steps=1000"),
        (["model.schedule=learned"], "model.objective=elbo"),
        (["model.hidden=[30]"], "multiples of 8"),
        (["model.network=transformer", "model.hidden=[100]"], "multiple of 32"),
        (["model.network=mlp", "model.hidden=[64,64]"], "model.depth"),
        (["model.network=mlp", "model.patch=2"], "model.patch=null"),
        (["model.hidden=[8,8,8,8,8]"], "name fewer"),
    ],
)
def test_what_does_not_fit_is_named(overrides: list[str], remedy: str) -> None:
    with pytest.raises(GenlabError, match=remedy.replace("[", r"\[")):
        make_model(configure("model=diffusion", *overrides), small_data("grey").spec)


def test_the_score_is_that_of_the_gaussian_with_a_little_noise() -> None:
    x = draws(50)
    found = exact_diffusion(COVARIANCE).score_field(x)
    noised = COVARIANCE + 0.01 * torch.eye(2)
    torch.testing.assert_close(found, -torch.linalg.solve(noised, x.T).T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("network", ["unet", "transformer"])
def test_fourier_features_distinguish_values_that_are_closer_than_grey_levels(network: str) -> None:
    """sin and cos of 2^k pi x have the period 2^(1 - k), two levels of 256 and one for k = 7 and 8."""
    data = small_data("grey").spec
    x = 2 * torch.rand(4, *data.shape) - 1
    features = fourier_features(x, [7, 8])
    assert features.shape == (4, 5 * data.shape[0], *data.shape[1:])
    torch.testing.assert_close(fourier_features(x + 2 / 128, [7, 8])[:, 1:], features[:, 1:], rtol=0, atol=1e-3)
    assert float((fourier_features(x + 1 / 512, [7, 8])[:, 1:] - features[:, 1:]).abs().mean()) > 0.3
    model = make_model(configure("model=diffusion", f"model.network={network}", "model.fourier=[7,8]"), data)
    plain = make_model(configure("model=diffusion", f"model.network={network}"), data)
    assert isinstance(model, Diffusion)
    assert model.network(x, torch.rand(4)).shape == x.shape
    assert model.size > plain.size


def test_vectors_have_no_fourier_features() -> None:
    with pytest.raises(GenlabError, match=r"model\.fourier=\[7, 8\]: .*set model\.fourier=null"):
        make_model(configure("model=diffusion", "model.fourier=[7,8]"), small_data("vectors").spec)


@pytest.mark.parametrize("kind", ["grey", "dequantized"])
def test_terms_of_the_bound_add_up_in_bits_and_the_flow_of_grey_levels_is_a_bound(kind: str) -> None:
    data = small_data(kind)
    model = make_model(configure("model=diffusion", *BRISK["diffusion"]), data.spec).eval()
    found = taken([family_measures, likelihoods], model, data).entries
    terms = {name: found[f"{name}_bits_per_dim"].value for name in ("prior", "denoising", "reconstruction")}
    bound = Estimate(found["bound"].value, 0.0)  # of the same draws
    total = terms["prior"] + terms["denoising"] - terms["reconstruction"]
    assert total == pytest.approx(bits_per_dimension(bound, data.spec, data.represent).value, rel=1e-5)
    levels = 8.0 if kind == "dequantized" else 0.0  # bits that a density of dequantised values lacks
    assert total == pytest.approx(-bound.value / 64 / math.log(2) + levels, rel=1e-5)
    assert found["log_likelihood_flow"].kind == ("lower bound" if kind == "grey" else "estimate")
