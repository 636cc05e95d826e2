"""Longer studies on real data, run by make test-slow: the figures that README states."""

import os
from pathlib import Path

import pytest
import torch

from genlab.data.batches import in_order
from genlab.evaluation.evaluation import evaluate
from genlab.evaluation.evaluation_context import Settings
from genlab.inference.likelihood import log_likelihoods
from genlab.inference.partition import Annealing
from tests.helpers.support import FEW_CHAINS, configure, records, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not any(Path(os.environ.get("GENLAB_DATA", "/nonexistent")).glob("[mM][nN][iI][sS][tT]")),
        reason="needs MNIST in the folder that GENLAB_DATA names",
    ),
]


def test_vae_on_mnist_reaches_the_elbo_that_readme_states(tmp_path: Path) -> None:
    """784-400-20, dynamic binarisation, 10 epochs. Seeds scatter by about 0.3 nats; -110 is what one should expect at least."""
    start(tmp_path, configure("experiment=vae_mnist")).fit()
    last = records(tmp_path)[-1]
    assert last["test/elbo"] > -102
    assert last["test/kl"] > 20, "the latent code is used"


@pytest.mark.parametrize(("experiment", "accuracy"), [("classifier_mnist", 0.992), ("classifier_fashion_mnist", 0.925)])
def test_classifiers_reach_the_accuracy_that_readme_states(experiment: str, accuracy: float, tmp_path: Path) -> None:
    start(tmp_path, configure(f"experiment={experiment}")).fit()
    assert records(tmp_path)[-1]["test/accuracy"] > accuracy


def test_longer_chains_and_persistent_ones_make_better_boltzmann_machines(tmp_path: Path) -> None:
    """The order of Salakhutdinov & Murray 2008 after 5 epochs; log Z from both sides, which agree where chains mix."""
    annealing = Annealing(chains=100, temperatures=3000, schedule="salakhutdinov", sweeps=300)
    found = {}
    for name in ("cd1", "cd3", "cd25", "best"):
        loop = start(tmp_path / name, configure(f"experiment=rbm_mnist_{name}", "train.epochs=5"))
        loop.fit()
        torch.manual_seed(0)
        test, train = (
            in_order(split, loop.dataset.represent, batch_size=500, device=loop.where)
            for split in (loop.dataset.test, loop.dataset.train)
        )
        ais, reverse = log_likelihoods(loop.model.eval(), test, 1, annealing, next(train).x)
        found[name] = ais.mean.value
        if name == "best":
            assert abs(ais.mean.value - reverse.mean.value) < 3
    assert found["cd1"] < found["cd3"] < found["cd25"]
    assert found["best"] > -105


def test_the_yardstick_orders_real_images_a_vae_and_independent_pixels(tmp_path: Path) -> None:
    """10,000 samples each; and the likelihood of independent pixels is the published -205.81 nats."""
    loop = start(tmp_path, configure("experiment=vae_mnist"))
    loop.fit()
    found = evaluate(loop.model.eval(), loop.dataset, Settings(None, 0, 100, FEW_CHAINS, "pca", {}), {})
    for name in ("fid", "kid", "mmd"):
        entry = found.entries[name]
        assert entry.real is not None
        assert entry.baseline is not None
        assert entry.real.value < entry.value < entry.baseline.value
    coverage = found.entries["coverage"]
    assert coverage.real is not None
    assert coverage.baseline is not None
    assert coverage.real.value > coverage.value > coverage.baseline.value
    bound = found.entries["log_likelihood_iw_100"]
    assert found.entries["log_likelihood_elbo"].value + 3 < bound.value < -90
    assert bound.baseline is not None
    assert abs(bound.baseline.value - -205.81) < 4 * bound.baseline.stderr
    assert found.diagnoses == []


@pytest.mark.parametrize("experiment", ["gan_mnist", "dcgan_mnist"])
def test_games_on_mnist_reach_all_classes_and_beat_the_vae(experiment: str, tmp_path: Path) -> None:
    """A third of the VAE's distance (14.8), and at least 95 % of the entropy of the classes of real images."""
    loop = start(tmp_path, configure(f"experiment={experiment}"))
    loop.fit()
    found = evaluate(loop.model.eval(), loop.dataset, Settings(10_000, 0, 1, FEW_CHAINS, "pca", {}), {})
    entropy = found.entries["class_entropy"]
    assert entropy.real is not None
    assert entropy.value > 0.95 * entropy.real.value
    assert found.entries["classes_reached"].value == 1
    assert found.entries["fid"].value < 14.8 / 3


def test_unlabelled_digits_are_worth_more_than_half_of_the_errors(tmp_path: Path) -> None:
    """100 labels; 10 epochs in the place of README's."""
    errors = {}
    for experiment in ("sgan_mnist_100", "sgan_mnist_100_alone"):
        start(tmp_path / experiment, configure(f"experiment={experiment}", "train.epochs=10")).fit()
        errors[experiment] = 1 - records(tmp_path / experiment)[-1]["test/accuracy"]
    assert errors["sgan_mnist_100_alone"] > 0.15
    assert errors["sgan_mnist_100"] < errors["sgan_mnist_100_alone"] / 2
