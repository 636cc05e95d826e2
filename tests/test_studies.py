"""Longer studies on real data, run by make test-slow: the figures that README states."""

import os
from pathlib import Path

import pytest

from tests.support import configure, records, start

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
