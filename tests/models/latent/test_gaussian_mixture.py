"""Expectation-maximisation beside scikit-learn's, step by step, and what it must do whatever the data are."""

import warnings
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from genlab.models.latent.gaussian_mixture import GaussianMixture, fit_mixture, maximised


def clusters(n: int = 600) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = 6 * torch.randn(4, 3, generator=generator)
    return (centres[torch.arange(n) % 4] + torch.randn(n, 3, generator=generator)).double()


def log_likelihood(mixture: GaussianMixture, x: Tensor) -> float:
    return float(mixture.log_parts(x).logsumexp(1).mean())


def test_each_iteration_is_that_of_scikit_learn() -> None:
    from sklearn.mixture import GaussianMixture as Theirs

    x = clusters()
    mixture = maximised(x, torch.rand(600, 4, generator=torch.Generator().manual_seed(1)).double().softmax(1), 1e-5)
    precisions = torch.linalg.inv(mixture.factors @ mixture.factors.mT)
    theirs = Theirs(
        4,
        reg_covar=1e-5,
        max_iter=3,
        tol=0,
        weights_init=mixture.weights.numpy(),
        means_init=mixture.means.numpy(),
        precisions_init=precisions.numpy(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it could go on
        theirs.fit(x.numpy())
    for _ in range(3):
        mixture = maximised(x, mixture.log_parts(x).softmax(1), 1e-5)
    for ours, other in (
        (mixture.weights, theirs.weights_),
        (mixture.means, theirs.means_),
        (mixture.factors @ mixture.factors.mT, theirs.covariances_),
    ):
        torch.testing.assert_close(ours, torch.from_numpy(other), rtol=1e-7, atol=1e-9)
    assert log_likelihood(mixture, x) == pytest.approx(theirs.score(x.numpy()), rel=1e-9)


def test_no_iteration_lowers_the_likelihood() -> None:
    x = clusters()
    found = [log_likelihood(fit_mixture(x, 6, iterations, 0.0), x) for iterations in range(8)]
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(found))


def test_clusters_that_lie_apart_are_found() -> None:
    mixture, x = fit_mixture(clusters(), 4, 10, 1e-5), clusters()
    nearest = torch.cdist(mixture.means, torch.stack([x[i::4].mean(0) for i in range(4)])).min(1)
    assert sorted(nearest.indices.tolist()) == [0, 1, 2, 3]
    assert nearest.values.max() < 0.05
    torch.testing.assert_close(mixture.weights, torch.full((4,), 0.25).double(), atol=0.01, rtol=0)


@pytest.mark.parametrize("distinct", [1, 3])
def test_fewer_distinct_examples_than_components_are_a_mixture_all_the_same(distinct: int) -> None:
    x = torch.randn(distinct, 2, generator=torch.Generator().manual_seed(0))[torch.arange(60) % distinct]
    mixture = fit_mixture(x, 5, 10, 1e-5)
    assert float(mixture.weights.sum()) == pytest.approx(1)
    assert mixture.factors.isfinite().all()
    torch.manual_seed(0)
    assert (torch.cdist(mixture.sample(200), x).min(1).values < 0.05).all()
