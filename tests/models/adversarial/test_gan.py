"""The generative adversarial network against the lecture's exact answers, and what its two players may and may not do."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.inference.latent_pictures import interpolation_of_draws
from genlab.inference.sampling import BLOCK, draw, labels_of_samples
from genlab.models.adversarial.gan import EQUILIBRIUM, GAN
from genlab.models.adversarial.implicit_model import frozen_parameters
from genlab.networks.discriminators import discriminator
from genlab.networks.generators import generator
from genlab.optimizers.algorithms import adam, sgd
from genlab.optimizers.recipe import Recipe
from tests.helpers.processes import assert_refused, call
from tests.helpers.support import adam_recipe, small_data, spec_of


def line(dim: int = 1, classes: int | None = None) -> DataSpec:
    """Real vectors in units that the players see as they are."""
    zeros, ones = torch.zeros(dim), torch.ones(dim)
    return DataSpec("line", (dim,), "real", None, classes, -5.0, 5.0, zeros, ones)


def build(data: DataSpec, recipe: Recipe | None = None, **keys: object) -> GAN:
    defaults: dict[str, object] = {
        "latent_dim": 4,
        "latent": "normal",
        "network": "mlp",
        "hidden": [16],
        "critic_hidden": [16],
        "game": "nonsaturating",
        "critic_steps": 1,
        "label_smoothing": 0.0,
        "instance_noise": 0.0,
        "r1": 0.0,
        "spectral_norm": False,
        "average": 0.0,
        "conditional": False,
        "conditioning": "projection",
    }
    torch.manual_seed(0)
    return GAN(data, recipe or adam_recipe(1e-3), **(defaults | keys))  # type: ignore[arg-type]


class Given(nn.Module):
    """A generator that is never asked to learn: x = shift + scale h_1."""

    def __init__(self, shift: float, scale: float) -> None:
        super().__init__()
        self.shift, self.scale = shift, scale
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, h: Tensor) -> Tensor:
        return self.shift + self.scale * h[:, :1]


def normal_batches(n: int, size: int, mu: float = 0.0, sigma: float = 1.0, dim: int = 1) -> Iterator[Batch]:
    for i in range(n):
        yield Batch(mu + sigma * torch.randn(size, dim), None, i / n)


def trained_discriminator(shift: float, scale: float, hidden: list[int], steps: int, recipe: Recipe) -> GAN:
    """D trained against samples N(shift, scale^2), data being N(0, 1)."""
    gan = build(line(), recipe, critic_hidden=hidden, critic_steps=10**9)
    gan.generator = Given(shift, scale)
    for rate in (1.0, 0.1):
        gan.optimizers["discriminator"].param_groups[0]["lr"] *= rate
        assert list(gan.train_loop(normal_batches(steps // 2, 2000))) == []
    return gan


def adversarial(lr: float) -> Recipe:
    return Recipe(
        adam(lr=lr, betas=[0.5, 0.999], eps=1e-8, weight_decay=0.0), schedule="constant", warmup=0.0, clip=None
    )


def quadrature(shift: float, scale: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """x, p_r, p_g and D_JS(p_r || p_g) in nats."""
    x = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
    p_r = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    p_g = torch.exp(-(((x - shift) / scale) ** 2) / 2) / (scale * math.sqrt(2 * math.pi))
    m = (p_r + p_g) / 2
    kl = [torch.trapezoid(torch.xlogy(p, p) - torch.xlogy(p, m), x) for p in (p_r, p_g)]
    return x, p_r, p_g, float(sum(kl) / 2)


@pytest.mark.parametrize(("shift", "scale", "hidden"), [(1.0, 1.0, []), (0.5, 0.6, [32, 32])])
def test_discriminator_reaches_the_log_density_ratio_and_the_value_that_follows(
    shift: float, scale: float, hidden: list[int]
) -> None:
    gan = trained_discriminator(shift, scale, hidden, 1500, adversarial(1e-2))
    x, p_r, p_g, js = quadrature(shift, scale)
    with torch.no_grad():
        a = gan.logit(x[:, None].float()).double()
    mass = (p_r + p_g) / 2
    error = torch.trapezoid(mass * (a.sigmoid() - p_r / (p_r + p_g)).square(), x).sqrt()
    assert error < 0.02
    value = torch.trapezoid(-p_r * torch.nn.functional.softplus(-a) - p_g * torch.nn.functional.softplus(a), x)
    best = 2 * js + EQUILIBRIUM
    assert best - 0.01 < float(value) <= best + 1e-6, "no D does better than D*"
    if not hidden:  # then the logit is that of D* exactly: shift^2/2 - shift x
        assert isinstance(gan.discriminator.head, nn.Linear)
        assert gan.discriminator.head.weight.item() == pytest.approx(-shift, abs=0.05)
        assert gan.discriminator.head.bias.item() == pytest.approx(shift**2 / 2, abs=0.05)


def test_logged_value_and_js_are_those_of_the_discriminator_that_is_there() -> None:
    gan = trained_discriminator(1.0, 1.0, [], 1000, adversarial(2e-2))
    torch.manual_seed(1)
    found = gan.evaluate(Batch(torch.randn(200_000, 1), None, 1.0))
    _, _, _, js = quadrature(1.0, 1.0)
    stderr = float(found["value"].std()) / 200_000**0.5
    assert float(found["value"].mean()) == pytest.approx(2 * js + EQUILIBRIUM, abs=4 * stderr + 0.002)
    assert float(found["js"].mean()) == pytest.approx(js, abs=2 * stderr + 0.001)


def test_at_equal_densities_all_is_still_at_one_half() -> None:
    gan = trained_discriminator(0.0, 1.0, [32, 32], 1000, adversarial(1e-3))
    torch.manual_seed(1)
    found = gan.evaluate(Batch(torch.randn(100_000, 1), None, 1.0))
    assert float(found["value"].mean()) == pytest.approx(-2 * math.log(2), abs=0.01)
    assert float(found["d_real"].mean()) == pytest.approx(0.5, abs=0.02)


class Dirac(nn.Module):
    """G(h) = theta."""

    def __init__(self, theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([[theta]]))

    def forward(self, h: Tensor) -> Tensor:
        return self.theta.expand(len(h), 1)


class Slope(nn.Module):
    """a(x) = psi x."""

    def __init__(self, psi: float) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.psi * x


@pytest.mark.parametrize("game", ["nonsaturating", "minimax"])
@pytest.mark.parametrize("r1", [0.0, 1.0])
def test_dirac_gan_orbits_without_and_converges_with_r1(game: str, r1: float) -> None:
    recipe = Recipe(sgd(lr=0.05, weight_decay=0.0), schedule="constant", warmup=0.0, clip=None)
    gan = build(line(), recipe, game=game, r1=r1)
    gan.generator, gan.discriminator = Dirac(1.0), Slope(0.0)  # type: ignore[assignment]
    gan.optimizers = {
        "generator": recipe(gan.generator.parameters()),
        "discriminator": recipe(gan.discriminator.parameters()),
    }
    radii, signs = [], []
    for _ in gan.train_loop(Batch(torch.zeros(4, 1), None, 0.0) for _ in range(2000)):
        theta, psi = gan.generator.theta.item(), gan.discriminator.psi.item()  # type: ignore[operator]
        radii.append(math.hypot(theta, psi))
        signs.append(theta > 0)
    turns = sum(a != b for a, b in itertools.pairwise(signs))
    if r1:
        assert radii[-1] < 1e-3
    else:
        assert turns > 5, "it goes round and round"
        # The non-saturating game spirals inwards, slower than any exponential.
        assert (0.7 if game == "minimax" else 0.1) < radii[-1] < 2


def test_penalty_is_half_gamma_times_the_mean_squared_gradient() -> None:
    gan = build(line(3), r1=0.7)
    x, x_g = torch.randn(50, 3), torch.randn(50, 3)
    _, _, penalty = gan.logits_and_penalty(x.clone(), x_g, None)
    z = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(gan.logit(z).sum(), z)
    assert float(penalty) == pytest.approx(0.35 * float(gradient.square().sum(1).mean()), rel=1e-5)
    penalty.backward()  # it reaches the weights
    assert any(p.grad is not None and bool(p.grad.any()) for p in gan.discriminator.parameters())


def test_a_sure_discriminator_leaves_the_minimax_generator_without_a_slope() -> None:
    norms = {}
    for game in ("minimax", "nonsaturating"):
        gan = build(line(), game=game)
        gan.discriminator = Slope(30.0)  # type: ignore[assignment]
        gan.generator = Dirac(-1.0)
        recipe = Recipe(sgd(lr=1e-9, weight_decay=0.0), schedule="constant", warmup=0.0, clip=None)
        gan.optimizers = {
            "generator": recipe(gan.generator.parameters()),
            "discriminator": recipe(gan.discriminator.parameters()),
        }
        next(gan.train_loop(iter([Batch(torch.ones(4, 1), None, 0.0)])))
        norms[game] = float(gan.gradient_norm("generator"))
    assert norms["minimax"] < 1e-10
    assert norms["nonsaturating"] == pytest.approx(30.0, rel=1e-4)


@pytest.mark.parametrize("critic_steps", [1, 3])
def test_generator_moves_once_in_so_many_steps(critic_steps: int) -> None:
    gan = build(line(), critic_steps=critic_steps)
    moves, before = 0, gan.generator.state_dict()["layers.0.weight"].clone()
    yields = 0
    for _ in gan.train_loop(normal_batches(10, 8)):
        yields += 1
        now = gan.generator.state_dict()["layers.0.weight"]
        moves += not torch.equal(before, now)
        before = now.clone()
    assert yields == moves == 10 // critic_steps


def test_generator_step_leaves_no_gradient_in_the_discriminator() -> None:
    gan = build(line())
    with frozen_parameters(gan.discriminator):
        gan.logit(gan.generate(gan.noise(8))).sum().backward()
    assert all(p.grad is None for p in gan.discriminator.parameters())
    assert all(p.grad is not None for p in gan.generator.parameters())
    assert all(p.requires_grad for p in gan.discriminator.parameters()), "it may learn again"


def test_label_smoothing_moves_the_best_answer() -> None:
    # With p_g = p_r the loss (1 - s) softplus(-a) + s softplus(a) + softplus(a) is least at sigmoid(a) = (1 - s)/2.
    gan = build(line(), adversarial(1e-2), critic_hidden=[], critic_steps=10**9, label_smoothing=0.2)
    gan.generator = Given(0.0, 1.0)
    list(gan.train_loop(normal_batches(800, 500)))
    assert float(gan.discriminator.head.bias.sigmoid()) == pytest.approx(0.4, abs=0.02)  # type: ignore[operator]


def test_instance_noise_falls_to_nothing_along_a_line() -> None:
    gan = build(line(), instance_noise=2.0)
    seen: list[float] = []

    class Listener(Slope):
        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            seen.append(float(x.detach()[: len(x) // 2].std()))
            return super().forward(x, y)

    gan.discriminator = Listener(0.1)  # type: ignore[assignment]
    gan.optimizers["discriminator"] = adam_recipe()(gan.discriminator.parameters())
    list(gan.train_loop(Batch(torch.zeros(5000, 1), None, p) for p in (0.0, 0.5, 0.999)))
    for found, expected in zip(seen[::2], (2.0, 1.0, 0.002), strict=True):
        assert found == pytest.approx(expected, rel=0.05)


def test_spectral_norm_bounds_every_layer() -> None:
    gan = build(line(6), spectral_norm=True, critic_hidden=[12, 9])
    list(gan.train_loop(normal_batches(200, 32, dim=6)))
    gan.eval()
    for layer in [*gan.discriminator.features, gan.discriminator.head]:
        if isinstance(layer, nn.Linear):
            assert float(torch.linalg.matrix_norm(layer.weight, 2)) == pytest.approx(1.0, abs=0.02)


def test_average_weighs_all_alike_at_first_and_then_forgets() -> None:
    gan = build(line(), average=0.75)
    assert gan.ema is not None
    name = "layers.0.weight"
    states: list[Tensor] = []
    expected = torch.zeros(())
    for t, _ in enumerate(gan.train_loop(normal_batches(12, 8)), 1):
        states.append(gan.generator.state_dict()[name].clone())
        weight = max(1 / t, 0.25)
        expected = states[-1] if t == 1 else expected + weight * (states[-1] - expected)
        if t == 4:
            torch.testing.assert_close(gan.ema.network.state_dict()[name], torch.stack(states).mean(0))
    torch.testing.assert_close(gan.ema.network.state_dict()[name], expected)
    assert not any(p.requires_grad for p in gan.ema.parameters())


# The noise


def test_truncated_noise_is_that_of_the_truncated_normal_distribution() -> None:
    gan = build(line(), latent_dim=50)
    torch.manual_seed(0)
    c = 0.8
    h = gan.truncated_noise(20_000, c)
    assert float(h.abs().max()) <= c
    mass = math.erf(c / math.sqrt(2))
    variance = 1 - 2 * c * math.exp(-(c**2) / 2) / math.sqrt(2 * math.pi) / mass
    assert float(h.var()) == pytest.approx(variance, rel=0.005)
    assert float(h.mean()) == pytest.approx(0.0, abs=0.003)


def test_way_between_two_codes_stays_on_the_shell() -> None:
    gan = build(line(), latent_dim=100)
    torch.manual_seed(0)
    start, end = gan.draw_codes(50), gan.draw_codes(50)
    torch.testing.assert_close(gan.interpolate(start, end, 0.0), start, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gan.interpolate(start, end, 1.0), end, atol=1e-4, rtol=1e-4)
    middle = gan.interpolate(start, end, 0.5).norm(dim=1)
    torch.testing.assert_close(middle, (start.norm(dim=1) + end.norm(dim=1)) / 2, atol=1e-3, rtol=1e-4)
    uniform = build(line(), latent="uniform")
    h = uniform.draw_codes(1000)
    assert float(h.min()) >= -1
    assert float(h.max()) <= 1
    assert float(h.var()) == pytest.approx(1 / 3, rel=0.05)
    torch.testing.assert_close(uniform.interpolate(h[:5], h[5:10], 0.25), 0.75 * h[:5] + 0.25 * h[5:10])


# Supports


def test_binary_samples_are_what_the_discriminator_was_shown() -> None:
    gan = build(small_data("binary").spec)
    h = gan.noise(50)
    shown = (gan.generate(h) + 1) / 2
    torch.testing.assert_close(shown, (gan.decode(h) > 0.5).float())
    torch.manual_seed(0)
    drawn = gan.sample(50, mean=False)
    torch.manual_seed(0)
    assert torch.equal(drawn, (gan.sample(50, mean=True) > 0.5).float())


def test_spins_reach_the_discriminator_as_spins_with_the_slope_of_their_probability() -> None:
    gan = build(small_data("binary").spec)
    u = torch.linspace(-3, 3, 64).view(1, 1, 8, 8).requires_grad_()
    gan.generator = nn.Identity()
    x = gan.generate(u)
    assert set(x.unique().tolist()) == {-1.0, 1.0}
    (slope,) = torch.autograd.grad(x.sum(), u)
    p = u.sigmoid()
    torch.testing.assert_close(slope, (2 * p * (1 - p)).detach())


def test_a_line_of_spins_is_learned() -> None:
    # p(x): all four spins alike, up or down with equal probability.
    up = torch.randint(2, (4000, 1), generator=torch.Generator().manual_seed(0)).float().expand(-1, 4).contiguous()
    gan = build(spec_of(up), adversarial(2e-3), hidden=[32], critic_hidden=[32], average=0.9)
    assert gan.data.support == "binary"
    torch.manual_seed(0)
    list(gan.train_loop(Batch(up[torch.randint(4000, (64,))], None, i / 1500) for i in range(1500)))
    x = gan.eval().sample(2000)
    assert float((x.std(1) == 0).float().mean()) > 0.9
    assert 0.3 < float(x.mean()) < 0.7


# Classes


@pytest.mark.parametrize("conditioning", ["projection", "concat"])
def test_conditional_samples_are_of_their_class(conditioning: str) -> None:
    centres = torch.tensor([[-2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    gan = build(
        line(2, classes=3),
        adversarial(2e-3),
        conditional=True,
        conditioning=conditioning,
        hidden=[32, 32],
        critic_hidden=[32, 32],
        average=0.95,
    )
    torch.manual_seed(0)
    y = torch.randint(3, (1500, 64))
    list(gan.train_loop(Batch(centres[y[i]] + 0.3 * torch.randn(64, 2), y[i], i / 1500) for i in range(1500)))
    gan.eval()
    for k in range(3):
        x = gan.sample(500, labels=k)
        assert float((x - centres[k]).norm(dim=1).median()) < 0.8
    with pytest.raises(GenlabError, match="classes are 0 to 2"):
        gan.sample(5, labels=3)


class Echo(nn.Module):
    """x = the class y."""

    def forward(self, h: Tensor) -> Tensor:
        return h[:, -3:].argmax(1, keepdim=True).float()


def test_classes_come_in_turns_through_all_blocks() -> None:
    gan = build(line(1, classes=3), conditional=True)
    gan.generator = Echo()
    n = 2 * BLOCK + 9
    assert torch.equal(draw(gan, n, 0).x[:, 0], torch.arange(n) % 3.0)
    assert torch.equal(draw(gan, n, 0, labels=[2, 0]).x[:, 0], torch.tensor([2.0, 0.0]).repeat(n)[:n])
    assert torch.equal(draw(gan, n, 0, labels=1).x[:, 0], torch.ones(n))
    for labels in (None, [2, 0], 1):
        asked = labels_of_samples(gan, n, labels)
        assert asked is not None
        assert torch.equal(draw(gan, n, 0, labels=labels).x[:, 0], asked.float())
    assert labels_of_samples(build(line(1)), n, None) is None


def test_pictures_of_a_conditional_model_keep_the_class_of_where_they_start() -> None:
    gan = build(line(1, classes=3), conditional=True)
    gan.generator = Echo()
    lines = interpolation_of_draws(gan, 0, rows=6).view(6, -1)
    assert torch.equal(lines, (torch.arange(6) % 3.0)[:, None].expand_as(lines))


def test_a_projection_says_nothing_at_first() -> None:
    torch.manual_seed(0)
    projecting = discriminator(line(2, classes=3), "mlp", [8], num_classes=3)
    x, y = torch.randn(6, 2), torch.eye(3).repeat(2, 1)
    assert torch.equal(projecting(x, y), projecting(x))
    concatenating = discriminator(small_image(), "conv", [4], num_classes=3, conditioning="concat")
    planes = concatenating.concatenate(torch.zeros(6, 1, 16, 16), y)
    assert planes.shape == (6, 4, 16, 16)
    assert torch.equal(planes[:, 1:, 3, 5], y)


def small_image(height: int = 16, width: int = 16) -> DataSpec:
    mean = torch.full((1, height, width), 0.5)
    return DataSpec("image", (1, height, width), "unit", 256, None, 0.0, 1.0, mean, mean)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (28, 28), (17, 23), (32, 48)])
def test_convolutions_make_pictures_of_any_size(height: int, width: int) -> None:
    data = small_image(height, width)
    made = generator(data, "auto", None, 5)(torch.randn(3, 5))
    assert made.shape == (3, 1, height, width)
    assert discriminator(data, "auto", None)(made).shape == (3, 1)


@pytest.mark.parametrize("key", ["hidden", "critic_hidden"])
def test_too_many_halvings_are_refused(key: str) -> None:
    keys: dict[str, object] = {"hidden": [8], "critic_hidden": [8], key: [8] * 5}
    with pytest.raises(GenlabError, match=rf"model.{key}=\[8, 8, 8, 8, 8\].*; name 1 or a few"):
        build(small_image(), network="conv", **keys)  # type: ignore[arg-type]
    with pytest.raises(GenlabError, match=r"model\.network=conv.*vectors of 2 numbers"):
        build(line(2), network="conv")


def test_the_monitor_of_a_conditional_model_leaves_out_what_would_ask_for_classes() -> None:
    for conditional in (False, True):
        gan = build(line(1, classes=3), conditional=conditional).eval()
        found = gan.monitor(torch.randn(6, 1), torch.randn(6, 1))
        assert ("d_train" in found) is ("d_held_out" in found) is not conditional
        assert float(gan.monitor(torch.ones(1, 1), None)["diversity"]) == 0  # of one example there is none


def test_one_example_makes_no_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in ("gan", "wgan"):
        outcome = call(["train", f"model={model}", "train.batch_size=1", f"hydra.run.dir={tmp_path / model}"], capsys)
        assert_refused(outcome, "train.batch_size=1", "2 examples or more")
        assert not (tmp_path / model / "metrics.jsonl").exists()
