"""The variational autoencoder against quantities known exactly."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.latent.normal import gaussian_kl
from genlab.models.latent.vae import VAE
from tests.helpers.support import adam_recipe, spec_of


def build(data: DataSpec, **keys: object) -> VAE:
    defaults: dict[str, object] = {
        "latent_dim": 2,
        "hidden": [],
        "network": "mlp",
        "activation": "relu",
        "likelihood": "auto",
        "mc_samples": 1,
        "beta": 1.0,
        "kl_warmup": 0.0,
        "prior": "normal",
        "components": 4,
        "conditional": False,
        "k": 1,
        "capacity": None,
        "free_bits": 0.0,
    }
    torch.manual_seed(0)
    return VAE(data, adam_recipe(), **(defaults | keys))  # type: ignore[arg-type]


def correlated(n: int, eigenvalues: list[float]) -> Tensor:
    """Gaussian data whose correlation matrix has the given eigenvalues about a random basis, each component of variance 1."""
    generator = torch.Generator().manual_seed(1)
    dim = len(eigenvalues)
    basis, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    spread = torch.tensor(eigenvalues).double().sqrt()
    x: Tensor = torch.randn(n, dim, generator=generator, dtype=torch.float64) * spread @ basis.T
    return ((x - x.mean(0)) / x.std(0, correction=0)).float()


def test_kl_in_closed_form_is_that_of_torch_and_of_monte_carlo() -> None:
    torch.manual_seed(0)
    mu, log_var = torch.randn(4, 3), torch.randn(4, 3)
    q, p = Normal(mu, torch.exp(0.5 * log_var)), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    exact = gaussian_kl(mu, log_var)
    torch.testing.assert_close(exact, kl_divergence(q, p).sum(-1))
    h = q.sample(torch.Size([200_000]))
    terms = (q.log_prob(h) - p.log_prob(h)).sum(-1)
    error = terms.std(0) / len(terms) ** 0.5
    assert ((terms.mean(0) - exact).abs() < 5 * error).all()
    assert gaussian_kl(torch.zeros(1, 3), torch.zeros(1, 3)).item() == 0.0


def elbo_terms(vae: VAE, x: Tensor, mc_samples: int) -> tuple[Tensor, Tensor]:
    """Reconstruction and KL term of the ELBO, each of shape (n,), in nats."""
    reconstruction, kls = vae.terms(x, mc_samples)
    return reconstruction, kls.sum(-1)


def linear_gaussian() -> tuple[VAE, Tensor, MultivariateNormal]:
    """A linear VAE with one latent variable whose encoder is the exact posterior, data, and the exact p(x)."""
    x = correlated(500, [2.0, 0.6, 0.4])
    vae = build(spec_of(x), latent_dim=1)
    w, b = torch.tensor([[0.8], [-0.5], [0.3]]), torch.tensor([0.1, -0.2, 0.4])
    sigma2 = 0.7**2
    precision = 1 + (w.T @ w).item() / sigma2
    with torch.no_grad():
        vae.decoder.last.weight.copy_(w)
        assert vae.decoder.last.bias is not None
        vae.decoder.last.bias.copy_(b)
        vae.observation.log_sigma.fill_(math.log(0.7))  # type: ignore[operator]
        gain = (w.T / sigma2) / precision  # E[h|x] = gain (u - b), Var[h|x] = 1/precision, u = (x - shift)/scale
        encoder = vae.encoder.last
        assert isinstance(encoder, torch.nn.Linear)
        encoder.weight.copy_(torch.cat([gain, torch.zeros(1, 3)]))
        encoder.bias.copy_(torch.cat([-(gain @ b), torch.tensor([-math.log(precision)])]))
    scale = torch.diag(vae.scaling.scale)
    covariance = scale @ (w @ w.T + sigma2 * torch.eye(3)) @ scale
    return vae, x, MultivariateNormal(vae.scaling.shift + vae.scaling.scale * b, covariance)


def test_elbo_with_the_exact_posterior_is_the_log_likelihood() -> None:
    vae, x, p = linear_gaussian()
    with torch.no_grad():
        reconstruction, kl = elbo_terms(vae, x[:50], mc_samples=20_000)
    exact = p.log_prob(x[:50])
    # Per example the estimate scatters by the spread of log p(x|h) over 20,000 draws, below 0.01 nats here.
    torch.testing.assert_close(reconstruction - kl, exact, atol=0.05, rtol=0)
    assert abs((reconstruction - kl - exact).mean().item()) < 0.005


def test_elbo_with_another_posterior_lies_below_by_the_kl_to_the_exact_one() -> None:
    vae, x, p = linear_gaussian()
    mu, log_var = (t.detach() for t in vae.posterior(x[:50]))
    encoder = vae.encoder.last
    assert isinstance(encoder, torch.nn.Linear)
    with torch.no_grad():
        encoder.bias.add_(torch.tensor([0.5, 0.8]))
        reconstruction, kl = elbo_terms(vae, x[:50], mc_samples=20_000)
        wrong_mu, wrong_log_var = vae.posterior(x[:50])
    gap = kl_divergence(Normal(wrong_mu, torch.exp(0.5 * wrong_log_var)), Normal(mu, torch.exp(0.5 * log_var))).sum(-1)
    assert gap.min() > 0.1
    torch.testing.assert_close(p.log_prob(x[:50]) - (reconstruction - kl), gap, atol=0.1, rtol=0)


def test_linear_vae_trains_to_the_optimum_of_probabilistic_pca() -> None:
    """Lucas et al. 2019: the ELBO of a linear VAE has no spurious optima, its maximum is the likelihood of pPCA."""
    x, q = correlated(4000, [3.0, 1.5, 0.3, 0.2, 0.1]), 2
    data = spec_of(x)
    vae = build(data, latent_dim=q)
    optimizer = vae.optimizers["vae"]
    u = (x - data.mean) / data.std
    eigenvalues = torch.linalg.eigvalsh(u.T.double() @ u.double() / len(u)).flip(0)
    s2 = eigenvalues[q:].mean()
    dim = len(eigenvalues)
    ppca = -0.5 * (dim * math.log(2 * math.pi) + eigenvalues[:q].log().sum() + (dim - q) * s2.log() + dim)
    exact = (ppca - data.std.double().log().sum()).item()
    for step in range(1500):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * (1 - step / 1500)
        reconstruction, kl = elbo_terms(vae, x, mc_samples=1)
        vae.descend(optimizer, (kl - reconstruction).mean())
    with torch.no_grad():
        reconstruction, kl = elbo_terms(vae, x, mc_samples=100)
    elbo = (reconstruction - kl).mean().item()
    assert elbo == pytest.approx(exact, abs=0.02)
    sigma2 = torch.exp(2 * vae.observation.log_sigma).item()  # type: ignore[operator, arg-type]
    assert sigma2 == pytest.approx(s2.item(), rel=0.05)


def test_more_monte_carlo_samples_leave_the_mean_and_lower_the_variance() -> None:
    vae, x, _ = linear_gaussian()
    with torch.no_grad():
        one = torch.stack([elbo_terms(vae, x[:1], 1)[0] for _ in range(3000)])
        ten = torch.stack([elbo_terms(vae, x[:1], 10)[0] for _ in range(3000)])
    error = (one.var() / 3000 + ten.var() / 3000).sqrt()
    assert (one.mean() - ten.mean()).abs() < 5 * error
    assert one.var() / ten.var() == pytest.approx(10, rel=0.25)  # the ratio of two variances scatters by about 5 %


@pytest.mark.parametrize(
    ("beta", "warmup", "progress", "weight"), [(4.0, 0.0, 0.3, 4.0), (2.0, 0.4, 0.1, 0.5), (2.0, 0.4, 0.6, 2.0)]
)
def test_loss_weighs_the_kl_term_by_beta_after_its_warm_up(
    beta: float, warmup: float, progress: float, weight: float
) -> None:
    x = correlated(500, [2.0, 0.6, 0.4])
    vae = build(spec_of(x), beta=beta, kl_warmup=warmup)
    metrics = next(iter(vae.train_loop([Batch(x, None, progress)])))
    torch.testing.assert_close(metrics["loss"], weight * metrics["kl"] - metrics["reconstruction"])
    torch.testing.assert_close(metrics["elbo"], metrics["reconstruction"] - metrics["kl"])


def test_gradient_of_the_elbo_is_that_of_its_exact_value() -> None:
    """The reparametrised gradient, averaged over draws, against autograd of the closed-form ELBO of a linear VAE."""
    vae, x, _ = linear_gaussian()
    x = x[:20]
    for parameter in vae.parameters():
        parameter.requires_grad_(True)
    reconstruction, kl = elbo_terms(vae, x, mc_samples=50_000)
    sampled = torch.autograd.grad((reconstruction - kl).mean(), vae.decoder.last.weight)[0]
    mu, log_var = vae.posterior(x)
    w, b = vae.decoder.last.weight, vae.decoder.last.bias
    assert b is not None
    sigma2 = torch.exp(2 * vae.observation.log_sigma)  # type: ignore[operator, arg-type]
    u = (x - vae.scaling.shift) / vae.scaling.scale
    square = (u - mu @ w.T - b).square().sum(1) + (log_var.exp() * w.square().sum(0)).sum(1)  # E_q |u - W h - b|^2
    exact = torch.autograd.grad((-0.5 * square / sigma2).mean(), w)[0]
    torch.testing.assert_close(sampled, exact, atol=0.02, rtol=0)


def test_untrained_decoder_starts_at_the_best_model_that_ignores_h() -> None:
    images = (torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(2)) * torch.rand(4, 4) * 255).byte()
    data = spec_of(images, levels=256, binarize="dynamic")
    vae = build(data)
    with torch.no_grad():
        vae.decoder.last.weight.zero_()
    torch.testing.assert_close(vae.sample(1)[0], data.mean.clamp(0.005, 0.995))


@pytest.mark.parametrize(("beta", "active"), [(1.0, 3), (3.2, 2), (6.0, 1), (12.0, 0)])
def test_a_linear_beta_vae_switches_off_the_units_that_cost_more_than_they_explain(beta: float, active: int) -> None:
    """With x = W h + noise of variance s2, only directions whose eigenvalue exceeds beta s2 are worth their KL (Lucas 2019)."""
    x = correlated(4000, [2.9, 1.4, 0.6, 0.06, 0.04])
    s2 = 0.3
    vae = build(spec_of(x), latent_dim=4, beta=beta)
    with torch.no_grad():
        vae.observation.log_sigma.fill_(0.5 * math.log(s2))  # type: ignore[operator]
    vae.observation.log_sigma.requires_grad_(False)
    u = (x - vae.data.mean) / vae.data.std
    eigenvalues = torch.linalg.eigvalsh(u.T @ u / len(u))
    assert int((eigenvalues > beta * s2).sum()) == active
    for step in range(800):
        for group in vae.optimizers["vae"].param_groups:
            group["lr"] = 0.02 * (1 - step / 800)
        reconstruction, kl = elbo_terms(vae, x, mc_samples=1)
        vae.descend(vae.optimizers["vae"], (beta * kl - reconstruction).mean())
    # Of a linear model any rotation of h is as good for the likelihood, so units are counted by the rank of the code.
    with torch.no_grad():
        codes = vae.posterior(x)[0]
    spread = torch.linalg.eigvalsh(codes.T.cov())
    expected = (1 - beta * s2 / eigenvalues.flip(0)).clamp_min(0)[:4]  # Var of E[h|x] along each axis at the optimum
    torch.testing.assert_close(spread.flip(0), expected, atol=0.05, rtol=0)
    assert int((spread > 0.05).sum()) == active


def test_importance_weighted_training_has_the_gradient_of_the_bound() -> None:
    """Against sum_i w_i/sum(w) d log w_i, the form of Burda et al. 2016, from the same draws."""
    vae, x, _ = linear_gaussian()
    vae.k = 5
    assert isinstance(vae.encoder.last, torch.nn.Linear)
    vae.encoder.last.bias.data += 0.5  # with the exact posterior all weights would be equal
    weight = vae.decoder.last.weight
    torch.manual_seed(3)
    log_w = vae.log_ratios(x[:20], 5)
    (mine,) = torch.autograd.grad((log_w.logsumexp(0) - math.log(5)).mean(), weight, retain_graph=True)
    weights = log_w.detach().softmax(0)
    (theirs,) = torch.autograd.grad((weights * log_w).sum(0).mean(), weight)
    torch.testing.assert_close(mine, theirs)
    before = weight.detach().clone()
    torch.manual_seed(3)
    metrics = next(iter(vae.train_loop([Batch(x[:20], None, 0.0)])))
    torch.testing.assert_close(metrics["iw_bound"], (log_w.logsumexp(0) - math.log(5)).mean().detach())
    assert metrics["elbo"] < metrics["iw_bound"]
    assert not torch.equal(before, weight)


def test_capacity_and_free_bits_price_the_kl_term() -> None:
    x = correlated(500, [2.0, 0.6, 0.4])
    kl = torch.tensor([[0.5, 0.05], [0.7, 0.01]])
    assert build(spec_of(x), free_bits=0.1).weighted_kl(kl, 1.0).item() == pytest.approx(0.6 + 0.1)
    tight = build(spec_of(x), capacity=2.0, beta=5.0)
    assert tight.weighted_kl(kl, 1.0).item() == pytest.approx(5 * (2 - 0.63))
    assert tight.weighted_kl(kl, 0.25).item() == pytest.approx(5 * (0.63 - 0.5))


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_a_mixture_prior_is_normalised_and_its_kl_is_that_of_monte_carlo(prior: str) -> None:
    x = correlated(500, [2.0, 0.6, 0.4])
    vae = build(spec_of(x), latent_dim=1, prior=prior, components=3)
    with torch.no_grad():
        vae.prior.sample(5)
        h = torch.linspace(-12, 12, 20_001).unsqueeze(1)
        total = vae.prior.log_prob(h).exp().sum() * 24 / 20_000
        draws = vae.prior.sample(200_000).squeeze(1)
        weights = vae.prior.log_prob(h).exp() * 24 / 20_000
        mean, second = (weights * h.squeeze(1)).sum(), (weights * h.squeeze(1).square()).sum()
    assert total.item() == pytest.approx(1, abs=1e-4)
    error = float((second - mean.square()).sqrt()) / 200_000**0.5
    assert abs(float(draws.mean() - mean)) < 5 * error
    assert float(draws.square().mean()) == pytest.approx(float(second), rel=0.03)
    # log w = log p(x|h) + log p(h) - log q(h|x) averages to the ELBO that the terms give, by other draws.
    with torch.no_grad():
        log_w = vae.log_weights(x[:10], 20_000)
        reconstruction, kl = elbo_terms(vae, x[:10], 20_000)
    stderr = log_w.std(0) / 20_000**0.5
    assert bool(((log_w.mean(0) - (reconstruction - kl)).abs() < 7 * stderr + 1e-3).all())


def test_a_conditional_vae_bounds_p_of_x_summed_over_classes() -> None:
    """Two linear-Gaussian decoders, one a class: log p(x) = log of the mean of two known densities."""
    torch.manual_seed(0)
    y = torch.randint(2, (400,))
    x = torch.randn(400, 2) * 0.3 + torch.where(y == 0, -1.0, 1.0).unsqueeze(1)
    vae = build(spec_of(x, classes=2, y=y), latent_dim=1, conditional=True)
    with torch.no_grad():  # x = shift + scale * (w h + b + c_y + noise)
        vae.decoder.last.weight.copy_(torch.tensor([[0.4, -0.8, 0.8], [0.2, -0.7, 0.7]]))
        vae.observation.log_sigma.fill_(math.log(0.5))  # type: ignore[operator]
        w, b = vae.decoder.last.weight, vae.decoder.last.bias
        assert b is not None
        scale = torch.diag(vae.scaling.scale)
        covariance = scale @ (w[:, :1] @ w[:, :1].T + 0.25 * torch.eye(2)) @ scale
        parts = [
            MultivariateNormal(vae.scaling.shift + vae.scaling.scale * (b + w[:, 1 + k]), covariance).log_prob(x[:50])
            for k in (0, 1)
        ]
        exact = torch.stack(parts).logsumexp(0) - math.log(2)
        torch.testing.assert_close(vae.classify(x[:50]).exp().sum(1), torch.ones(50))
        bound = vae.log_weights(x[:50], 20_000).logsumexp(0) - math.log(20_000)
    torch.testing.assert_close(bound, exact, atol=0.12, rtol=0)
    assert abs((bound - exact).mean().item()) < 0.02


def test_a_conditional_vae_learns_classes_and_samples_them() -> None:
    torch.manual_seed(0)
    y = torch.randint(2, (600,))
    x = torch.randn(600, 2) * 0.2 + torch.where(y == 0, -1.0, 1.0).unsqueeze(1)
    vae = build(spec_of(x, classes=2, y=y), latent_dim=1, hidden=[16], conditional=True)
    for group in vae.optimizers["vae"].param_groups:
        group["lr"] = 0.01
    list(vae.train_loop([Batch(x, y, 0.0)] * 300))
    assert (vae.classify(x).argmax(1) == y).float().mean() > 0.97
    assert vae.sample(50, labels=0).mean() < -0.5 < 0.5 < vae.sample(50, labels=[1]).mean()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"k": 5, "beta": 2.0}, r"model.beta=2.0: .*model.k=5.*set model.beta=1.0"),
        ({"k": 5, "capacity": 3.0}, r"model.capacity=3.0: .*set model.capacity=null"),
        ({"free_bits": 0.1, "capacity": 3.0}, r"set one of the two"),
        ({"free_bits": 0.1, "prior": "vamp"}, r"model.prior=vamp has no KL each"),
        ({"conditional": True}, r"model.conditional=true needs labels"),
    ],
)
def test_options_that_exclude_each_other_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(GenlabError, match=message):
        build(spec_of(correlated(100, [2.0, 0.6, 0.4])), **keys)
