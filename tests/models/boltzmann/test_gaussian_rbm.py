"""The Gaussian-binary restricted Boltzmann machine against the mixture of 2^N Gaussians that it is.

Means of draws are compared in standard errors; 4.5 of them are exceeded for one component in 150,000.
"""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.inference.partition import exact_log_z
from genlab.models.boltzmann.gaussian_rbm import GaussianRBM
from genlab.optimizers.recipe import set_rate
from tests.helpers.boltzmann_machines import (
    KEYS,
    assert_same,
    autograd_gradients,
    centred_gradients,
    gaussian,
    log_weights,
    written_gradients,
)
from tests.helpers.draws import deviation, p_value, states
from tests.helpers.support import adam_recipe

RARE, FAR = 1e-4, 4.5


def moments(x: Tensor) -> Tensor:
    """Components and products of two of them: (n, d + d^2)."""
    return torch.cat([x, (x[:, :, None] * x[:, None, :]).flatten(1)], 1)


def mixture(machine: GaussianRBM, log_w: Tensor) -> MixtureSameFamily:
    """p(x) in the units of the data: Gaussians about shift + scale (a + W h) with the standard deviations scale sigma."""
    d, h = machine.data.dim, states(machine.hidden)
    with torch.no_grad():
        means = machine.data.mean + machine.data.std * (machine.a[:d] + h @ machine.W[:d].T)
        spread = (machine.data.std * (machine.log_var / 2).exp()).expand_as(means)
    return MixtureSameFamily(Categorical(logits=log_w), Independent(Normal(means, spread), 1))


def weights_of_class(machine: GaussianRBM, y: int) -> Tensor:
    """log of p(h, y) up to a constant; log_weights sums over y."""
    log_w = log_weights(machine, states(machine.hidden))
    with torch.no_grad():
        logits = (machine.a + states(machine.hidden) @ machine.W.T)[:, machine.data.dim :]
    return log_w + logits.log_softmax(1)[:, y]


@pytest.mark.parametrize("classes", [0, 3])
def test_density_is_a_mixture_of_gaussians_in_the_units_of_the_data(classes: int) -> None:
    machine = gaussian(3, 4, classes)
    h, log_w = states(4), log_weights(machine, states(4))
    p = mixture(machine, log_w)
    torch.manual_seed(0)
    x = p.sample(torch.Size([40]))
    with torch.no_grad():
        log_z = exact_log_z(machine)
        assert log_z is not None
        assert log_z == pytest.approx(float(log_w.logsumexp(0)), abs=1e-12)
        torch.testing.assert_close(-machine.free_energy(x) - log_z, p.log_prob(x), atol=1e-10, rtol=0)
        assert float(machine.data.std.log().sum()) == pytest.approx(machine.log_volume, abs=1e-6)
        component = p.component_distribution.log_prob(x[:, None]) + log_w
        torch.testing.assert_close(machine.encode(x), component.softmax(1) @ h, atol=1e-10, rtol=0)
        if classes:
            of_class = [weights_of_class(machine, y) for y in range(3)]
            of = [mixture(machine, w).log_prob(x) + w.logsumexp(0) for w in of_class]
            torch.testing.assert_close(machine.classify(x), torch.stack(of, 1).log_softmax(1), atol=1e-10, rtol=0)


def test_the_partition_function_is_the_closed_form_for_one_sigma_and_the_integral() -> None:
    """Z = prod_i sqrt(2 pi s_i^2) sum_h exp(b.h + sum_i ((a_i + (W h)_i)^2 - a_i^2) / 2 s_i^2); and by summing over a grid."""
    machine = gaussian(2, 3)
    h = states(3)
    with torch.no_grad():
        s2, a = machine.log_var.exp(), machine.a
        inner = h @ machine.b + (((a + h @ machine.W.T).square() - a.square()) / (2 * s2)).sum(1)
        closed = 0.5 * (2 * math.pi * s2).log().sum() + inner.logsumexp(0)
        assert exact_log_z(machine) == pytest.approx(float(closed), abs=1e-12)
        axis = torch.arange(
            -12, 12, 0.1, dtype=torch.float64
        )  # sums of an analytic function over a fine grid are its integral
        integral = torch.logsumexp(-machine.free_energy_of(torch.cartesian_prod(axis, axis)), 0) + 2 * math.log(0.1)
        assert float(integral) == pytest.approx(float(closed), abs=1e-10)


@pytest.mark.parametrize("sparsity", [0.0, 3.0])
@pytest.mark.parametrize(("n", "m", "classes"), [(4, 9, 0), (9, 4, 3)])
def test_gradients_are_those_of_free_energies_and_of_the_penalty(n: int, m: int, classes: int, sparsity: float) -> None:
    machine = gaussian(4, 3, classes, sparsity=sparsity, sparsity_target=0.2)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n + m, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(max(1, classes), (n + m,), generator=generator)
    v, v_model = machine.visible(x, y).split([n, m])
    h_mean = torch.sigmoid(machine.b + (v / machine.variance) @ machine.W).mean(0)
    loss = machine.free_energy_of(v).mean() - machine.free_energy_of(v_model).mean()
    expected = autograd_gradients(machine, loss + sparsity / 2 * (h_mean - 0.2).square().sum())
    assert_same(written_gradients(machine, v, v_model), expected)
    machine.centred = True
    machine.mu.uniform_(-1, 1, generator=generator)  # of standardised data it is 0
    assert_same(written_gradients(machine, v, v_model), centred_gradients(machine, expected))


def expected_gradients(machine: GaussianRBM, v: Tensor) -> dict[str, Tensor]:
    """The written gradients, averaged over joint states (v, h). They depend on the model by <u h>, <h>, <v> and <v^2> alone.

    Given h, the two points mean +- sigma have the moments of p(x|h); each class weighs as p(y|h).
    """
    d, k = machine.data.dim, machine.num_classes
    total: dict[str, Tensor] = {}
    for h, w in zip(states(machine.hidden), log_weights(machine, states(machine.hidden)).softmax(0), strict=True):
        mean, sigma = (machine.a + machine.W @ h).detach(), (machine.log_var / 2).exp().detach()
        for y in range(max(1, k)):
            share = w * (mean[d:].softmax(0)[y] if k else 1)
            for x in (mean[:d] + sigma, mean[:d] - sigma):
                state = torch.cat([x, torch.eye(k).double()[y] if k else x[:0]])
                part = written_gradients(machine, v, state[None], h[None])
                total = {name: total.get(name, 0) + share / 2 * value for name, value in part.items()}
    return total


@pytest.mark.parametrize("classes", [0, 2])
def test_gradients_are_those_of_the_exact_log_likelihood(classes: int) -> None:
    """log Z differentiated in closed form against the averages over the model, in both parametrisations; log_var included."""
    machine = gaussian(3, 3, classes)
    generator = torch.Generator().manual_seed(2)
    y = torch.randint(max(1, classes), (6,), generator=generator)
    v = machine.visible(torch.randn(6, 3, generator=generator).double(), y)
    h, s2 = states(3), machine.log_var.exp()
    mean, a = machine.a + h @ machine.W.T, machine.a[:3]
    inner = h @ machine.b + ((mean[:, :3].square() - a.square()) / (2 * s2)).sum(1)
    log_z = 0.5 * machine.log_var.sum() + (inner + (mean[:, 3:].logsumexp(1) if classes else 0)).logsumexp(0)
    exact = autograd_gradients(machine, machine.free_energy_of(v).mean() + log_z)
    assert set(exact) == {"W", "a", "b", "log_var"}
    assert_same(expected_gradients(machine, v), exact)
    machine.centred = True
    assert_same(expected_gradients(machine, v), centred_gradients(machine, exact))


def test_score_matching_is_the_gradient_and_the_laplacian_of_log_p() -> None:
    machine = gaussian(3, 4)
    torch.manual_seed(0)
    v = torch.randn(10, 3, dtype=torch.float64)
    expected = []
    for row in v:
        log_p = lambda at: -machine.free_energy_of(at[None])[0]  # noqa: E731
        score, hessian = torch.autograd.functional.jacobian(log_p, row), torch.autograd.functional.hessian(log_p, row)
        expected.append(0.5 * score.square().sum() + hessian.diagonal().sum())
    with torch.no_grad():
        torch.testing.assert_close(machine.held_out_loss(v)["loss"], torch.stack(expected), atol=1e-10, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_visible_draws_have_the_moments_of_their_gaussian(beta: float) -> None:
    """p_beta(x|h): the precisions (1 - beta)/B and beta/sigma^2 add, and the mean is beta (a + W h)/sigma^2 over their sum."""
    machine = gaussian(3, 4)
    h = torch.tensor([1.0, 0, 1, 1]).double()
    torch.manual_seed(0)
    with torch.no_grad():
        y, s2 = machine.a + machine.W @ h, machine.log_var.exp()
        precision = (1 - beta) + beta / s2  # B = 1: each component is in units of its own standard deviation
        mean = beta * y / s2 / precision
        v = machine.draw_visible(machine.visible_input(h.repeat(20_000, 1)), beta)
        torch.testing.assert_close(machine.mean_visible(y[None])[0], y)
        torch.testing.assert_close(machine.decode(h[None])[0], machine.data.mean + machine.data.std * y)
        expected = torch.cat([mean, (torch.outer(mean, mean) + torch.diag(1 / precision)).flatten()])
        assert deviation(moments(v), expected) < FAR


@pytest.mark.parametrize(("negative", "classes"), [("pcd", 0), ("tempered", 0), ("tempered", 2)])
def test_chains_of_the_training_sample_the_model(negative: str, classes: int) -> None:
    machine = gaussian(3, 3, classes, negative=negative, chains=6000, temperatures=3)
    u, p, h = torch.zeros(6000, 3 + classes).double(), torch.zeros(6000, 3).double(), states(3)
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(60):
            v = machine.negative(machine, torch.zeros(1), u, p)
            torch.testing.assert_close(u, v / machine.variance)
            torch.testing.assert_close(p, torch.sigmoid(machine.b + u @ machine.W))
        assert (
            deviation(moments(v[:, :3] * machine.scaling.scale + machine.scaling.shift), exact_moments(machine)) < FAR
        )
    held = machine.negative.h
    assert isinstance(held, Tensor)
    betas = [1.0] if negative == "pcd" else [0.0, 0.5, 1.0]
    for rows, beta in zip(held.split(6000), betas, strict=True):
        assert p_value(rows, h, log_weights(machine, h, beta).softmax(0)) > RARE


def exact_moments(machine: GaussianRBM, log_w: Tensor | None = None) -> Tensor:
    p = mixture(machine, log_weights(machine, states(machine.hidden)) if log_w is None else log_w)
    means, w = p.component_distribution.mean, p.mixture_distribution.probs
    second = torch.einsum("h,hi,hj->ij", w, means, means) + torch.diag(p.component_distribution.variance[0])
    return torch.cat([w @ means, second.flatten()])


def test_samples_have_the_moments_of_the_mixture_and_of_a_class() -> None:
    machine = gaussian(3, 3, 2)
    torch.manual_seed(0)
    drawn = machine.sample(6000, steps=60, mean=False)
    assert deviation(moments(drawn), exact_moments(machine)) < FAR
    drawn = machine.sample(6000, steps=60, labels=1, mean=False)
    assert deviation(moments(drawn), exact_moments(machine, weights_of_class(machine, 1))) < FAR


def test_inpainting_draws_the_rest_given_what_is_known() -> None:
    """Given x_0, the mixture's weights change by N(x_0; its mean, sigma) and its other components stay as they are."""
    machine = gaussian(3, 3)
    x, known = torch.tensor([-0.5, 9.0, 9.0]).double(), torch.tensor([True, False, False])
    p = mixture(machine, log_weights(machine, states(3)))
    means, spread = p.component_distribution.mean, p.component_distribution.stddev
    w = (p.mixture_distribution.logits + Normal(means[:, 0], spread[:, 0]).log_prob(x[0])).softmax(0)
    torch.manual_seed(0)
    *_, filled = (state for state in machine.inpaint_loop(x.repeat(6000, 1), known, 60, mean=False))
    torch.testing.assert_close(filled[:, 0], x[0].expand(6000))
    assert deviation(filled[:, 1:], w @ means[:, 1:]) < FAR
    assert float((w @ means[:, 1:] - p.mean[1:]).abs().max()) > 0.1  # what is known matters


def test_pixels_share_one_unit_and_vectors_have_their_own() -> None:
    """A pixel that never varies has no scale; the reconstruction of an image stays in [0, 1]."""
    std = torch.tensor([[[0.0, 0.3], [0.1, 0.2]]])
    data = DataSpec("test", (1, 2, 2), "unit", None, None, 0.0, 1.0, torch.full((1, 2, 2), 0.9), std)
    image = GaussianRBM(
        data, adam_recipe(), hidden=4, sigma=0.5, learn_sigma=False, least_sigma=0.01, conditional=False, **KEYS
    )
    assert image.scaling.scale.tolist() == pytest.approx([std.square().mean().sqrt().item()] * 4)
    assert not [name for name, _ in image.named_parameters() if name == "log_var"]
    assert torch.allclose(image.variance, torch.tensor(0.25))
    assert float(image.restore(torch.full((1, 4), 9.0)).max()) == 1.0
    assert gaussian(3, 2).scaling.scale.tolist() == pytest.approx([0.5, 1.5, 2.5])


def test_training_finds_the_likelihood_of_a_mixture() -> None:
    """x_0 of two clusters, N(+-2, 0.5^2), x_1 ~ N(1, 2^2): the exact likelihood nears that of the truth, and sigma is found."""
    generator = torch.Generator().manual_seed(0)
    sign, noise = torch.randint(2, (2000,), generator=generator) * 2.0 - 1, torch.randn(2000, 2, generator=generator)
    x = torch.stack([2 * sign + 0.5 * noise[:, 0], 1 + 2 * noise[:, 1]], 1).double()
    clusters = torch.stack([Normal(2.0, 0.5).log_prob(x[:, 0]), Normal(-2.0, 0.5).log_prob(x[:, 0])])
    truth = clusters.logsumexp(0) - math.log(2) + Normal(1.0, 2.0).log_prob(x[:, 1])
    data = DataSpec("test", (2,), "real", None, None, -9.0, 9.0, x.mean(0).float(), x.std(0).float())
    torch.manual_seed(0)
    keys = KEYS | {"negative": "pcd", "centred": True, "average": 0.1}
    recipe = replace(adam_recipe(0.03), schedule="linear")
    machine = GaussianRBM(
        data, recipe, hidden=2, sigma=0.7, learn_sigma=True, least_sigma=0.01, conditional=False, **keys
    ).double()
    (optimizer,) = machine.optimizers.values()
    batches = (Batch(x[torch.randint(2000, (100,))], None, i / 800) for i in range(800))
    for i, _ in enumerate(machine.train_loop(batches)):
        set_rate(optimizer, i / 800)
    machine.eval()
    log_z = exact_log_z(machine)
    assert log_z is not None
    assert -float(machine.free_energy(x).detach().mean()) - log_z == pytest.approx(float(truth.mean()), abs=0.1)
    assert (machine.variance.detach().sqrt() * machine.scaling.scale).tolist() == pytest.approx([0.5, 2.0], rel=0.1)
    assert isinstance(machine.log_var, torch.nn.Parameter)
    with torch.no_grad():
        machine.log_var.fill_(-50.0)
        machine.limit_sigma()
    assert float(machine.log_var.detach().min()) == pytest.approx(2 * math.log(machine.least_sigma))
