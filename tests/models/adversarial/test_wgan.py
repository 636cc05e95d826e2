"""The Wasserstein GAN: its critic against distances known exactly, its penalty and its clipping."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from genlab.data.batches import Batch
from genlab.models.adversarial.wgan import WGAN
from genlab.optimizers.algorithms import adam, sgd
from genlab.optimizers.recipe import Recipe
from tests.helpers.support import adam_recipe
from tests.models.adversarial.test_gan import Given, line


def build(recipe: Recipe | None = None, dim: int = 1, **keys: object) -> WGAN:
    defaults: dict[str, object] = {
        "latent_dim": 2,
        "latent": "normal",
        "network": "mlp",
        "hidden": [16],
        "critic_hidden": [16],
        "critic_steps": 5,
        "penalty": "gradient",
        "penalty_weight": 10.0,
        "weight_clip": 0.01,
        "average": 0.0,
        "conditional": False,
        "conditioning": "projection",
    }
    torch.manual_seed(0)
    return WGAN(line(dim), recipe or adam_recipe(1e-3), **(defaults | keys))  # type: ignore[arg-type]


def batches(n: int, size: int, mu: float, sigma: float) -> Iterator[Batch]:
    for i in range(n):
        yield Batch(mu + sigma * torch.randn(size, 1), None, i / n)


@pytest.mark.parametrize(("shift", "weight"), [(0.5, 10.0), (2.0, 10.0), (2.0, 1.0)])
def test_a_linear_critic_settles_at_its_slope(shift: float, weight: float) -> None:
    # It ascends w shift - lambda (w - 1)^2. Data and samples are points, so that nothing scatters.
    recipe = Recipe(sgd(lr=0.02, weight_decay=0.0), schedule="constant", warmup=0.0, clip=None)
    wgan = build(recipe, critic_hidden=[], critic_steps=10**9, penalty_weight=weight)
    wgan.generator = Given(0.0, 0.0)
    assert isinstance(wgan.critic.head, nn.Linear)
    nn.init.constant_(wgan.critic.head.weight, 0.5)  # from below 0 it would settle at slope -1 + shift/(2 lambda)
    list(wgan.train_loop(batches(600, 4, shift, 0.0)))
    assert wgan.critic.head.weight.item() == pytest.approx(1 + shift / (2 * weight), abs=1e-5)
    # The difference of means is shift (1 + shift/2 lambda), and what is stated is the distance.
    x = torch.full((4, 1), shift)
    assert float(wgan.evaluate(Batch(x, None, 1.0))["wasserstein"].mean()) == pytest.approx(shift, abs=1e-5)
    assert float(wgan.monitor(x, None)["wasserstein_train"]) == pytest.approx(shift, abs=1e-5)


def distance(mu: float, sigma: float) -> float:
    """W_1 between N(mu, sigma^2) and N(0, 1): the integral of |F - G|."""
    x = torch.linspace(-15, 15, 60_001, dtype=torch.float64)
    f, g = torch.special.ndtr((x - mu) / sigma), torch.special.ndtr(x)
    return float(torch.trapezoid((f - g).abs(), x))


@pytest.mark.parametrize(("mu", "sigma"), [(2.0, 1.0), (1.5, 0.5)])
def test_critic_recovers_distances_on_the_line(mu: float, sigma: float) -> None:
    if sigma == 1.0:
        assert distance(mu, sigma) == pytest.approx(abs(mu), abs=1e-6), "of a shift it is the shift"
    wgan = build(adam_recipe(2e-3), critic_hidden=[64, 64], critic_steps=10**9, penalty_weight=20.0)
    wgan.generator = Given(0.0, 1.0)
    list(wgan.train_loop(batches(1200, 512, mu, sigma)))
    torch.manual_seed(1)
    found = wgan.evaluate(Batch(mu + sigma * torch.randn(50_000, 1), None, 1.0))["wasserstein"]
    stderr = float(found.std()) / 50_000**0.5
    assert float(found.mean()) == pytest.approx(distance(mu, sigma), rel=0.05, abs=4 * stderr)


def test_penalty_is_that_of_the_slopes_between_data_and_samples() -> None:
    wgan = build(dim=3)
    x, x_g = torch.randn(40, 3), torch.randn(40, 3)
    torch.manual_seed(5)
    penalty, slope = wgan.gradient_penalty(x, x_g, None)
    torch.manual_seed(5)
    u = torch.rand(40, 1)
    z = (u * x + (1 - u) * x_g).requires_grad_()
    (gradient,) = torch.autograd.grad(wgan.f(z).sum(), z)
    norms = gradient.norm(dim=1)
    assert float(penalty) == pytest.approx(float((norms - 1).square().mean()), rel=1e-5)
    assert float(slope) == pytest.approx(float(norms.mean()), rel=1e-5)
    penalty.backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in wgan.critic.parameters())


def test_clipping_keeps_every_weight_within_its_bounds() -> None:
    wgan = build(adam_recipe(1e-2), penalty="clipping", weight_clip=0.03)
    list(wgan.train_loop(batches(20, 16, 1.0, 1.0)))
    largest = max(float(p.abs().max()) for p in wgan.critic.parameters())
    assert 0.02 < largest <= 0.03 + 1e-7


@pytest.mark.parametrize("penalty", ["gradient", "clipping"])
def test_yields_once_for_several_batches_and_the_critic_alone_moves_between(penalty: str) -> None:
    wgan = build(penalty=penalty, critic_steps=4)
    assert len(list(wgan.train_loop(batches(11, 8, 0.0, 1.0)))) == 2
    before = [p.detach().clone() for p in wgan.generator.parameters()]
    assert len(list(wgan.train_loop(batches(3, 8, 0.0, 1.0)))) == 0
    assert all(torch.equal(a, b) for a, b in zip(before, wgan.generator.parameters(), strict=True))


@pytest.mark.slow
def test_generator_moves_to_the_data() -> None:
    # On a line a critic that starts with the wrong sign stays there (slope -1); in a plane it turns around. A linear generator
    # can reach these data, a critic that learns faster stays near its optimum, and rates that fall to 0 end the game's turns:
    # over seeds the mean comes out within 0.05 to 0.12, the spread within 0.06.
    recipe = Recipe(
        adam(lr=3e-3, betas=[0.0, 0.9], eps=1e-8, weight_decay=0.0), schedule="linear", warmup=0.0, clip=None
    )
    wgan = build(recipe, dim=2, hidden=[], critic_hidden=[32, 32], average=0.98)
    wgan.optimizers["critic"].param_groups[0]["base_lr"] = 6e-3
    centre, spread = torch.tensor([1.0, -1.0]), torch.tensor([0.5, 0.2])
    n = 3000
    list(wgan.train_loop(Batch(centre + spread * torch.randn(64, 2), None, i / n) for i in range(n)))
    x: Tensor = wgan.eval().sample(4000)
    assert float((x.mean(0) - centre).norm()) < 0.3, "it began 1.4 away"
    torch.testing.assert_close(x.std(0), spread, atol=0.15, rtol=0)
