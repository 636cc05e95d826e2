"""Likelihoods with their kind, against models whose log p(x) is known."""

import math

import pytest
import torch
from torch import Tensor

from genlab.data.batches import in_order
from genlab.evaluation.baseline import independent_components, independent_log_likelihood
from genlab.inference.likelihood import bits_per_dimension, describe, importance_weighted, log_likelihoods
from genlab.metrics.estimate import Estimate
from genlab.models.latent.vae import VAE
from tests.helpers.support import FEW_CHAINS, configure, dataset_of, make_model, small_data

CPU = torch.device("cpu")


class LinearGaussian:
    """h ~ N(0, 1), x|h ~ N(h, 1): p(x) = N(0, 2), p(h|x) = N(x/2, 1/2). q has its mean off by `error` and a factor `wide`."""

    discrete = False

    def __init__(self, error: float, wide: float = 1.0) -> None:
        self.error, self.wide = error, wide

    def log_prob_exact(self, x: Tensor) -> Tensor:
        exact: Tensor = torch.distributions.Normal(0.0, math.sqrt(2)).log_prob(x[:, 0])
        return exact

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        q = torch.distributions.Normal(x[:, 0] / 2 + self.error, self.wide * math.sqrt(0.5))
        h = q.sample((k,))
        joint = torch.distributions.Normal(0.0, 1.0).log_prob(h) + torch.distributions.Normal(h, 1.0).log_prob(x[:, 0])
        log_w: Tensor = joint - q.log_prob(h)
        return log_w


def test_the_bound_is_tight_for_an_exact_posterior_whatever_k() -> None:
    torch.manual_seed(0)
    x, model = torch.randn(50, 1), LinearGaussian(error=0.0)
    for k in (1, 7, 1000):
        elbo, bound = importance_weighted(model, x, k)
        assert torch.allclose(elbo, model.log_prob_exact(x).double(), atol=1e-5)
        assert torch.allclose(bound, model.log_prob_exact(x).double(), atol=1e-5)


def test_the_bound_rises_with_k_to_the_truth_and_starts_at_the_elbo() -> None:
    torch.manual_seed(0)
    x, model = torch.zeros(4000, 1), LinearGaussian(error=0.8)
    exact = float(model.log_prob_exact(x)[0])
    kl = 0.8**2 / (2 * 0.5)  # KL(q || p(h|x)) for equal variances
    means = []
    for k in (1, 5, 50, 2000):
        elbo, bound = importance_weighted(model, x, k)
        stderr = float(elbo.std()) / math.sqrt(len(x))
        assert abs(float(elbo.mean()) - (exact - kl)) < 5 * stderr
        means.append(float(bound.mean()))
    assert means[0] < means[1] < means[2] < means[3] < exact + 0.005
    assert means[3] == pytest.approx(exact, abs=0.02)


def test_blocks_of_draws_change_nothing() -> None:
    """The running log-sum-exp over blocks is that over all draws at once."""
    log_w = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)).double() * 10

    class Given(LinearGaussian):
        start = 0

        def log_weights(self, x: Tensor, k: int) -> Tensor:
            part = log_w[self.start : self.start + k]
            self.start += k
            return part

    elbo, bound = importance_weighted(Given(0.0), torch.zeros(3, 1), 1000)
    assert torch.allclose(elbo, log_w.mean(0))
    assert torch.allclose(bound, log_w.logsumexp(0) - math.log(1000))


def vae(kind: str) -> VAE:
    model = make_model(configure("model=vae"), small_data(kind).spec)
    assert isinstance(model, VAE)
    return model.eval()


@pytest.mark.parametrize("kind", ["binary", "grey", "dequantized", "vectors"])
def test_the_weights_of_a_vae_average_to_its_elbo(kind: str) -> None:
    model, data = vae(kind), small_data(kind)
    batch = next(in_order(data.test, data.represent, batch_size=10, device=CPU))
    torch.manual_seed(0)
    log_w = model.log_weights(batch.x, 4000)
    assert log_w.shape == (4000, 10)
    reconstruction, kls = (term.detach() for term in model.terms(batch.x, 4000))
    kl = kls.sum(-1)
    stderr = log_w.std(0) / math.sqrt(4000)
    assert bool(((log_w.mean(0) - (reconstruction - kl)).abs() < 6 * stderr + 1e-3).all())


def test_kinds_and_names() -> None:
    model, data = vae("binary"), small_data("binary")
    found = log_likelihoods(
        model, in_order(data.test, data.represent, batch_size=50, device=CPU), 3, FEW_CHAINS, data.spec.mean
    )
    assert [(f.name, f.kind) for f in found] == [("elbo", "lower bound"), ("iw_3", "lower bound")]
    assert all(len(f.values) == len(data.test) for f in found)
    assert found[0].mean.value < found[1].mean.value
    shared = type(found[0])("ais", "estimate", "AIS", found[0].values, common_stderr=3.0)
    assert shared.mean.stderr == pytest.approx(math.hypot(found[0].mean.stderr, 3.0))


def test_what_a_likelihood_is_of() -> None:
    expected = {
        "binary": "probability of binary pixels, drawn from the grey values",
        "grey": "probability of pixels of 256 grey levels",
        "dequantized": "density of grey values of 256 levels, dequantised",
        "vectors": "density of continuous components",
        "spins": "probability of binary components, as they are stored",
    }
    for kind, text in expected.items():
        data = small_data(kind)
        assert describe(data.spec, data.represent, vae(kind)).startswith(text)
    data = small_data("grey")
    classifier = make_model(configure("model=classifier"), data.spec)
    assert describe(data.spec, data.represent, classifier).startswith("none; the model saw pixels of 256 grey levels")


def test_bits_per_dimension_of_uniform_data_are_the_bits_of_a_level() -> None:
    """A uniform density over [0, 1] gives every one of 256 levels the probability 1/256: 8 bits."""
    data = small_data("dequantized")
    assert bits_per_dimension(Estimate(0.0, 0.0), data.spec, data.represent).value == pytest.approx(8)
    binary = small_data("binary")
    nats = Estimate(-binary.spec.dim * math.log(2), 1.0)
    found = bits_per_dimension(nats, binary.spec, binary.represent)
    assert found.value == pytest.approx(1)
    assert found.stderr == pytest.approx(1 / (binary.spec.dim * math.log(2)))


def test_independent_components_keep_marginals_and_forget_the_rest() -> None:
    torch.manual_seed(0)
    x = torch.randn(5000, 1)
    stored = torch.cat([x, x, x.square()], dim=1)
    made = independent_components(stored, 4000)
    assert made.shape == (4000, 3)
    assert set(made[:, 2].tolist()) <= set(stored[:, 2].tolist())
    assert torch.allclose(made.mean(0), stored.mean(0), atol=0.1)
    assert abs(float(torch.corrcoef(made.T)[0, 1])) < 0.06


def test_the_likelihood_of_independent_components() -> None:
    bits = (torch.rand(4000, 3, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.1, 0.5, 0.9])).float()
    data = dataset_of(bits)
    entropy = -sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in (0.1, 0.5, 0.9))
    x = data.represent(data.test.take(torch.arange(len(data.test))))
    found = independent_log_likelihood(data, x, discrete=True)
    assert found is not None
    assert float(found.mean()) == pytest.approx(-entropy, abs=0.1)
    normal = dataset_of(torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 5.0]))
    x = normal.represent(normal.test.take(torch.arange(len(normal.test))))
    found = independent_log_likelihood(normal, x, discrete=False)
    assert found is not None
    assert float(found.mean()) == pytest.approx(-math.log(2 * math.pi * math.e) - math.log(5), abs=0.15)


def test_the_likelihood_of_independent_grey_levels_sums_to_one() -> None:
    """Over all 5 levels of one pixel; and the density of the dequantised levels is 5 times their probability."""
    stored = torch.randint(5, (300, 1, 1, 1), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    levels = torch.arange(5).reshape(5, 1, 1, 1)
    data = dataset_of(stored, levels=5)
    found = independent_log_likelihood(data, levels / 4, discrete=True)
    assert found is not None
    assert float(found.exp().sum()) == pytest.approx(1)
    assert independent_log_likelihood(data, levels / 4, discrete=False) is None
    noisy = dataset_of(stored, levels=5, dequantize=True)
    density = independent_log_likelihood(noisy, (levels + 0.3) / 5, discrete=False)
    assert density is not None
    assert torch.allclose(density.exp(), 5 * found.exp())
