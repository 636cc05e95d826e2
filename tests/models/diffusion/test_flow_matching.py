"""Flow matching against closed forms, and the integrators that it shares with diffusion."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batches
from genlab.errors import GenlabError
from genlab.models.diffusion.flow_matching import FlowMatching, nearest_partners
from genlab.models.diffusion.ode import divergence, integrate, integrate_with_divergence
from genlab.numerics import rng, shares
from tests.helpers.gaussians import exact_flow, log_gaussian
from tests.helpers.support import configure, dataset_of, make_model, small_data

CPU = torch.device("cpu")


def test_the_least_loss_on_gaussian_data() -> None:
    s = torch.tensor([0.5, 1.0, 2.0])
    model = exact_flow(s)
    x = s * torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0))
    with rng.seeded(0, "loss", device=CPU), torch.no_grad():
        error = model.error(x, torch.randn_like(x), shares.even_times(len(x), x.device), None, model.network)
    stderr = float(error.std()) / len(x) ** 0.5
    assert float(error.mean()) == pytest.approx(math.pi / 2 * 3.5, abs=4 * stderr)


@pytest.mark.parametrize("sampler", ["euler", "midpoint", "heun"])
def test_samples_and_likelihood_of_the_exact_flow(sampler: str) -> None:
    s = torch.tensor([0.5, 1.5])
    model = exact_flow(s)
    with rng.seeded(0, "samples", device=CPU):
        x = model.sample(4000, sampler=sampler, steps=100)
    assert torch.allclose(x.std(0), s, rtol=4 / math.sqrt(8000) + 0.02)
    found = model.flow_log_prob(x[:100])
    assert found is not None
    torch.testing.assert_close(found, log_gaussian(x[:100], torch.diag(s.square())), rtol=0, atol=0.02)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2)])
def test_order_of_the_integrators(method: str, order: int) -> None:
    def velocity(x: Tensor, t: Tensor) -> Tensor:  # x(t) = exp(sin t)
        return x * torch.cos(t)

    errors = []
    for steps in (20, 40):
        times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        *_, x = integrate(velocity, torch.ones(1, 1, dtype=torch.float64), times, method)  # type: ignore[arg-type]
        errors.append(abs(float(x) - math.exp(math.sin(1))))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


def test_divergence_exactly_and_by_probes() -> None:
    matrix = torch.randn(12, 12, generator=torch.Generator().manual_seed(0))
    for dim in (4, 12):
        part = matrix[:dim, :dim]
        x = torch.randn(20_000, dim, generator=torch.Generator().manual_seed(1))
        probe = torch.randint(0, 2, x.shape, generator=torch.Generator().manual_seed(2)).float() * 2 - 1
        out, found = divergence(lambda z, m=part: z @ m.T, x, probe)  # type: ignore[misc]
        torch.testing.assert_close(out, x @ part.T)
        stderr = float(found.std()) / len(x) ** 0.5
        assert float(found.mean()) == pytest.approx(float(part.trace()), abs=4 * stderr + 1e-4)
        assert (float(found.std()) < 1e-4) == (dim == 4)


def test_a_density_carried_by_a_linear_flow() -> None:
    times = torch.linspace(0, 1, 101)
    x, integral = integrate_with_divergence(lambda z, t: -0.7 * z, torch.ones(3, 2), times)
    torch.testing.assert_close(x, torch.full((3, 2), math.exp(-0.7)), rtol=1e-4, atol=0)
    torch.testing.assert_close(integral, torch.full((3,), -1.4), rtol=1e-5, atol=0)


def test_partners_have_the_least_sum_of_distances() -> None:
    generator = torch.Generator().manual_seed(0)
    x, z = torch.randn(6, 2, generator=generator), torch.randn(6, 2, generator=generator)
    best = min(float((x - z[list(order)]).square().sum()) for order in itertools.permutations(range(6)))
    partners = nearest_partners(x, z)
    assert sorted(partners.tolist()) == list(range(6))
    assert float((x - z[partners]).square().sum()) == pytest.approx(best, rel=1e-5)


def trained(*overrides: str) -> FlowMatching:
    """On four distant points, from where straight lines from the noise cross."""
    centres = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    which = torch.randint(4, (2000,), generator=torch.Generator().manual_seed(0))
    x = centres[which] + 0.1 * torch.randn(2000, 2, generator=torch.Generator().manual_seed(1))
    dataset = dataset_of(x)
    torch.manual_seed(0)
    model = make_model(configure("model=flow_matching", "model.hidden=[64]", *overrides), dataset.spec)
    assert isinstance(model, FlowMatching)
    batches = Batches(dataset.train, dataset.represent, batch_size=128, examples=128 * 500, seed=0, device=CPU)
    for _ in model.train_loop(batches):
        pass
    return model.eval()


@pytest.mark.slow
def test_what_straightens_a_flow() -> None:
    plain, paired, reflowed = (
        float(trained(*overrides).curvature(2000).detach())
        for overrides in ((), ("model.coupling=ot",), ("model.reflow=0.5", "model.reflow_steps=8"))
    )
    assert paired < 0.5 * plain
    assert reflowed < 0.5 * plain


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [
        (["model.coupling=ot", "model.conditional=true"], "model.coupling=independent"),
        (["model.reflow=0.5", "model.conditional=true"], "model.conditional=false"),
    ],
)
def test_what_does_not_go_together_is_named(overrides: list[str], remedy: str) -> None:
    with pytest.raises(GenlabError, match=remedy):
        make_model(configure("model=flow_matching", *overrides), small_data("grey").spec)


def test_an_unknown_sampler_is_named() -> None:
    model = make_model(configure("model=flow_matching"), small_data("grey").spec)
    assert isinstance(model, FlowMatching)
    with pytest.raises(GenlabError, match="euler, midpoint, heun"):
        model.sample(2, sampler="ddim")


def test_known_pixels_stay() -> None:
    model = exact_flow(torch.ones(2))
    x, known = torch.randn(5, 2), torch.tensor([True, False])
    for state in model.inpaint_loop(x, known):
        assert torch.equal(state[:, 0], x[:, 0])


def test_the_score_is_that_of_the_gaussian_with_a_little_noise() -> None:
    s = torch.tensor([0.5, 2.0])
    x = s * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    noised = s.square() + (0.1 / 0.9) ** 2
    torch.testing.assert_close(exact_flow(s).score_field(x), -x / noised, rtol=1e-3, atol=1e-3)
