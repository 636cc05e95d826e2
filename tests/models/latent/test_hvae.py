"""The hierarchical variational autoencoder against quantities known exactly."""

import math

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.errors import GenlabError
from genlab.models.latent.hvae import HVAE
from genlab.models.latent.normal import log_normal, product
from tests.helpers.support import adam_recipe, spec_of


def points(n: int = 400) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, generator=generator) @ torch.tensor([[1.0, 0.6, 0.0], [0.0, 0.7, 0.4], [0.0, 0.0, 0.5]])


def build(**keys: object) -> HVAE:
    defaults: dict[str, object] = {
        "levels": [3, 2],
        "hidden": None,
        "inference": "ladder",
        "activation": "tanh",
        "likelihood": "auto",
        "k": 1,
        "kl_warmup": 0.0,
    }
    torch.manual_seed(0)
    return HVAE(spec_of(points()), adam_recipe(), **(defaults | keys))  # type: ignore[arg-type]


@pytest.mark.parametrize("inference", ["ladder", "bottom_up"])
@pytest.mark.parametrize("levels", [[3], [3, 2], [4, 3, 2]])
def test_reconstruction_and_the_kl_of_each_level_add_up_to_the_bound(inference: str, levels: list[int]) -> None:
    model, x = build(inference=inference, levels=levels), points()[:50]
    torch.manual_seed(1)
    (metrics,) = model.train_loop([Batch(x, None, 0.5)])
    kls = sum(metrics[f"kl_{t}"] for t in range(1, len(levels) + 1))
    torch.testing.assert_close(metrics["elbo"], metrics["reconstruction"] - kls)
    torch.testing.assert_close(metrics["loss"], -metrics["elbo"])
    found = model.evaluate(Batch(x, None, 1.0))
    torch.testing.assert_close(found["elbo"], found["reconstruction"] - found["kl"])
    torch.testing.assert_close(found["kl"], sum(found[f"kl_{t}"] for t in range(1, len(levels) + 1)))


def test_the_kl_of_every_level_is_zero_where_q_is_p() -> None:
    """A ladder that learns nothing from below (a flat likelihood seen by every level) draws from p itself."""
    model, x = build(levels=[4, 3, 2]), points()[:50]
    with torch.no_grad():
        for t, head in enumerate(model.heads):
            assert isinstance(head, torch.nn.Linear)
            head.weight.zero_()
            level = len(head.bias) // 2
            head.bias[:level].zero_()
            # The top has no opinion from above, so it is N(0, I) itself; below, a variance of e^12 says nothing.
            head.bias[level:].fill_(0.0 if t == 2 else 12.0)
        _, kls = model.terms(x, 20)
    assert kls.shape == (3, 20, 50)
    assert kls[2].abs().max() == 0
    assert kls.mean((1, 2)).abs().max() < 1e-3


def test_the_product_of_two_normals_is_their_normalised_product() -> None:
    a = (torch.tensor([[0.3]]), torch.tensor([[-0.5]]))
    b = (torch.tensor([[-1.0]]), torch.tensor([[0.8]]))
    grid = torch.linspace(-15, 15, 30_001).unsqueeze(1)
    mine = log_normal(grid, *product(a, b)).exp()
    unnormalised = (log_normal(grid, *a) + log_normal(grid, *b)).exp()
    torch.testing.assert_close(mine, unnormalised / (unnormalised.sum() * 1e-3), atol=1e-4, rtol=1e-3)


def linear_levels(inference: str) -> tuple[HVAE, torch.distributions.MultivariateNormal]:
    """Networks replaced by affine maps: p(x) is then normal, with a covariance that the chain of maps gives."""
    model = build(levels=[2, 1], inference=inference)
    torch.manual_seed(2)
    down = torch.nn.Linear(1, 4)
    decoder = torch.nn.Linear(2, 3)
    with torch.no_grad():
        down.weight[2:].zero_()  # the variance of h_1 does not depend on h_2
        model.observation.log_sigma.fill_(math.log(0.6))  # type: ignore[operator]
    model.down[0] = down
    model.decoder = decoder  # type: ignore[assignment]
    with torch.no_grad():
        a, b = down.weight[:2], down.bias[:2]
        h1 = a @ a.T + torch.diag(down.bias[2:].exp())
        w = torch.diag(model.scaling.scale) @ decoder.weight
        covariance = w @ h1 @ w.T + torch.diag((0.6 * model.scaling.scale).square())
        mean = model.scaling.shift + model.scaling.scale * (decoder.weight @ b + decoder.bias)
    return model, torch.distributions.MultivariateNormal(mean, covariance)


@pytest.mark.parametrize("inference", ["ladder", "bottom_up"])
def test_the_importance_weighted_bound_rises_to_the_exact_likelihood(inference: str) -> None:
    model, p = linear_levels(inference)
    x = points()[:100]
    torch.manual_seed(0)
    means = [(model.log_weights(x, k).logsumexp(0) - math.log(k)).mean().item() for k in (1, 10, 100, 4000)]
    exact = p.log_prob(x).mean().item()
    assert means[0] < means[1] < means[2] < exact + 0.02
    assert means[3] == pytest.approx(exact, abs=0.06)


def test_samples_have_the_covariance_of_the_chain() -> None:
    model, p = linear_levels("ladder")
    x = model.sample(40_000)
    error = (torch.outer(p.variance, p.variance) + p.covariance_matrix.square()).div(40_000).sqrt()
    assert bool(((x.T.cov() - p.covariance_matrix).abs() < 5 * error).all())
    assert bool(((x.mean(0) - p.mean).abs() < 5 * (p.variance / 40_000).sqrt()).all())


def test_training_with_k_draws_ascends_the_importance_weighted_bound() -> None:
    model, x = build(k=5), points()[:64]
    (metrics,) = model.train_loop([Batch(x, None, 0.0)])
    assert -metrics["loss"] > metrics["elbo"]
    found = model.evaluate(Batch(x, None, 1.0))
    assert found["iw_bound"].mean() > found["elbo"].mean()


def test_the_hierarchy_keeps_what_it_says() -> None:
    model = build(levels=[4, 3, 2])
    torch.manual_seed(0)
    kept_all_but_the_top = model.hierarchy(6, 2, below=True)
    kept_the_top = model.hierarchy(6, 2, below=False)
    for x in (kept_all_but_the_top, kept_the_top):
        assert x.shape == (6, 3)
        assert not torch.equal(x[0], x[1])
    assert torch.equal(*model.hierarchy(2, 0, below=False)), "no noise is drawn independently"


def test_a_mistake_in_the_widths_is_named() -> None:
    with pytest.raises(GenlabError, match=r"model.hidden=\[\[5\]\]: one list of widths for each of the 2 model.levels"):
        build(hidden=[[5]])


@pytest.mark.parametrize(("k", "progress", "weight"), [(1, 0.1, 0.2), (1, 0.7, 1.0), (5, 0.1, 0.2)])
def test_the_warm_up_weighs_the_kl_terms(k: int, progress: float, weight: float) -> None:
    model, x = build(k=k, kl_warmup=0.5), points()[:64]
    (metrics,) = model.train_loop([Batch(x, None, progress)])
    torch.testing.assert_close(
        metrics["loss"], weight * (metrics["kl_1"] + metrics["kl_2"]) - metrics["reconstruction"]
    )
