"""Samplers of diffusion models against closed forms: single steps, orders of the solvers, what they draw."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from genlab.errors import GenlabError
from genlab.models.conditioning import classes_to_sample
from genlab.models.diffusion.diffusion import Diffusion
from genlab.models.diffusion.guidance import guided
from genlab.models.diffusion.samplers import ddim_step, dpm_solver_gammas, multistep, posterior_step, sample_steps
from genlab.models.diffusion.schedules import level
from genlab.numerics import rng
from tests.helpers.gaussians import COVARIANCE, exact_diffusion
from tests.helpers.support import configure, make_model, small_data

CPU = torch.device("cpu")


def test_ddim_with_all_its_noise_is_the_ancestral_step() -> None:
    x, x_hat = torch.randn(50, 3), torch.randn(50, 3)
    t, s = torch.tensor(1.3), torch.tensor(0.9)
    torch.manual_seed(0)
    ours = ddim_step(x, x_hat, t, s, eta=1.0)
    torch.manual_seed(0)
    torch.testing.assert_close(ours, posterior_step(x, x_hat, t, s), rtol=1e-5, atol=1e-5)


def end_error(sampler: str, steps: int) -> float:
    """Distance from the exact solution of the probability-flow ODE on N(0, 1.5^2), x/alpha ~ sqrt(s^2 + (sigma/alpha)^2)."""
    s2 = 2.25
    gammas = torch.linspace(4.0, -4.0, steps + 1, dtype=torch.float64)

    def denoise(x: Tensor, gamma: Tensor) -> Tensor:
        at = level(gamma)
        return at.alpha * s2 / (at.alpha**2 * s2 + at.sigma**2) * x

    start = torch.tensor([[1.0], [-0.7]], dtype=torch.float64)
    x = start
    for state, gamma in sample_steps(start, gammas, denoise, sampler, 0.0):  # type: ignore[arg-type]
        if gamma is not None:
            x = state
    first, last = level(gammas[0]), level(gammas[-1])
    noise = [at.sigma / at.alpha for at in (first, last)]
    exact = start / first.alpha * ((s2 + noise[1] ** 2) / (s2 + noise[0] ** 2)).sqrt() * last.alpha
    return float((x - exact).abs().max())


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("heun", 2), ("dpm_solver", 2)])
def test_order_of_the_solvers(sampler: str, order: int) -> None:
    errors = [end_error(sampler, steps) for steps in (40, 80, 160)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.25)


def test_the_first_step_of_the_multistep_solver_with_all_its_noise_is_the_ancestral_one() -> None:
    x, x_hat = torch.randn(50, 3), torch.randn(50, 3)
    t, s = torch.tensor(1.3), torch.tensor(0.2)
    torch.manual_seed(0)
    ours = multistep(x, x_hat, None, t, s, eta=1.0)
    torch.manual_seed(0)
    torch.testing.assert_close(ours, posterior_step(x, x_hat, t, s), rtol=1e-5, atol=1e-5)


def test_levels_of_the_multistep_solver_leap_to_where_data_are_heard() -> None:
    gammas = dpm_solver_gammas(20, -10.0, 20.0)
    sigmas = (gammas / 2).exp()
    assert len(gammas) == 20
    assert (gammas.diff() < 0).all()
    assert sigmas[[0, 1, -1]].tolist() == pytest.approx([80.0, 10.0, 0.01], rel=1e-5)
    quiet_at_most = dpm_solver_gammas(20, -10.0, 2.0)  # a schedule that ends before that
    assert float(quiet_at_most[0]) == pytest.approx(2.0, rel=1e-5)
    assert (quiet_at_most.diff() < 0).all()
    assert len(dpm_solver_gammas(2, -10.0, 20.0)) == 2


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_the_multistep_solver_keeps_the_marginals_whatever_its_noise(eta: float) -> None:
    """Where x_hat is x_0 it is exact: x_t ~ N(alpha_t x_0, sigma_t^2) at every level."""
    x_0, gammas = torch.full((20_000, 1), 0.7), torch.linspace(5.0, -5.0, 6)
    torch.manual_seed(0)
    first = level(gammas[0])
    start = first.alpha * x_0 + first.sigma * torch.randn_like(x_0)
    for state, gamma in sample_steps(start, gammas, lambda x, _: x_0, "dpm_solver", eta):
        if gamma is not None:
            at = level(gamma)
            z = (state - at.alpha * x_0) / at.sigma
            assert float(z.mean().abs()) < 4 / math.sqrt(len(z))
            assert float(z.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / len(z)))


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("ancestral", {"steps": 250}),
        ("ddim", {"steps": 100}),
        ("heun", {"steps": 20}),
        ("dpm_solver", {"steps": 20, "eta": 0.0}),
        ("dpm_solver", {"steps": 40, "eta": 0.5}),
        ("dpm_solver", {}),
    ],
)
def test_every_sampler_draws_from_the_data(sampler: str, options: dict[str, object]) -> None:
    model = exact_diffusion(COVARIANCE)
    with rng.seeded(0, sampler, device=CPU):
        x = model.sample(4000, sampler=sampler, **options)
    standard = x @ torch.linalg.inv(torch.linalg.cholesky(COVARIANCE)).T
    found = standard.T @ standard / len(x)
    assert torch.allclose(found, torch.eye(2), atol=4 * math.sqrt(2 / 4000) + 0.03)


def test_a_guided_sample_leans_away_from_what_is_told_of_no_class() -> None:
    dataset = small_data("vectors")
    model = make_model(configure("model=diffusion", "model.conditional=true"), dataset.spec)
    assert isinstance(model, Diffusion)
    model.eval()
    for parameter in model.ema_network.parameters():
        parameter.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    x, u = torch.randn(6, 3), torch.rand(6)
    y = classes_to_sample([0, 1], 6, model.num_classes, CPU)
    with torch.no_grad():
        conditional, unconditional = guided(model.ema_network, x, u, y), guided(model.ema_network, x, u)
        assert not torch.allclose(conditional, unconditional)
        for weight in (0.0, 1.0, 3.0):
            found = guided(model.ema_network, x, u, y, weight)
            torch.testing.assert_close(found, unconditional + weight * (conditional - unconditional))


def test_what_is_known_stays_and_the_rest_follows_from_it() -> None:
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]])
    model = exact_diffusion(covariance)
    x = torch.tensor([1.5, 0.0]).repeat(2000, 1)
    known = torch.tensor([True, False])
    with rng.seeded(0, "inpaint", device=CPU):
        states = list(model.inpaint_loop(x, known))
    for state in states:
        assert torch.equal(state[:, 0], x[:, 0])
    filled = states[-1][:, 1]
    # Replacing is no exact conditioning: it is known to be off by a fifth here.
    assert float(filled.mean()) == pytest.approx(0.9 * 1.5, abs=0.3)
    assert float(filled.std()) == pytest.approx(math.sqrt(1 - 0.81), abs=0.15)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sampler": "euler"}, "ancestral, ddim, heun, dpm_solver"),
        ({"sampler": "ancestral", "steps": 2000}, "1000 levels"),
        ({"eta": 0.5, "sampler": "heun"}, "only sampler=ddim and dpm_solver"),
        ({"guidance": 2.0}, "model.conditional=true"),
        ({"labels": [1]}, "model.conditional=true"),
        ({"steps": 1}, "2 levels"),
    ],
)
def test_what_a_sampler_cannot_do_is_named(options: dict[str, object], told: str) -> None:
    model = make_model(configure("model=diffusion"), small_data("grey").spec)
    assert isinstance(model, Diffusion)
    with pytest.raises(GenlabError, match=told):
        model.sample(2, **options)
