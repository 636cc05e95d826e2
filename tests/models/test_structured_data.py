"""Every family on curves and on pictures of five bands: what is drawn and measured of it, without a word about images."""

from pathlib import Path

import pytest
import torch

from genlab.data.dataset import Dataset
from genlab.evaluation.evaluation import evaluate
from genlab.evaluation.evaluation_context import Settings
from genlab.evaluation.features import feature_network
from genlab.inference.chain_pictures import animation
from genlab.inference.portfolio import fixed_samples, portfolio, training_pictures
from genlab.models.abilities import Reconstructs
from genlab.models.base import GenerativeModel
from genlab.plots.captions import caption
from tests.helpers.structured import bands, curves, sines
from tests.helpers.support import BRISK, FEW_CHAINS, MODELS, configure, dataset_of, make_model

SETTINGS = Settings(n=40, seed=0, k=2, annealing=FEW_CHAINS, latent="pca", options={})
POINTS, SIDE = 24, 6


def of_kind(kind: str, *, binary: bool) -> Dataset:
    x = {"curves": curves(90, POINTS)[:, None], "channels": sines(90, 3, 9), "bands": bands(90, 5, SIDE)}[kind]
    values = torch.from_numpy(x)
    return dataset_of((values > values.mean()).float() if binary else values, y=torch.arange(90) % 3, classes=3)


FAST = ("vae", "gan", "autoregressive", "pca")
CASES = [pytest.param(name, "curves", marks=() if name in FAST else pytest.mark.slow) for name in MODELS] + [
    pytest.param(name, "bands", marks=() if name == "ae" else pytest.mark.slow)
    for name in ("ae", "flow_matching", "gaussian_rbm", "wgan")
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_everything_is_drawn_and_measured(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_network, "EXAMPLES", 200)
    monkeypatch.setenv("GENLAB_DATA", str(tmp_path / "data"))
    dataset = of_kind(kind, binary=name == "rbm")
    model = make_model(configure(f"model={name}", *BRISK.get(name, ())), dataset.spec).eval()
    pictures = training_pictures(model, dataset, 0, fixed_samples(model, 0, dataset, n=10))
    more, arrays = portfolio(model, dataset, n=12, seed=0)
    pictures |= more
    findings = evaluate(model, dataset, SETTINGS, {})
    pictures |= findings.pictures
    assert all(picture.ndim == 3 and caption(name) for name, picture in pictures.items())
    if isinstance(model, GenerativeModel):
        assert arrays["samples"].shape == (12, *dataset.spec.shape)
        assert {"fid", "mmd", "precision", "coverage"} <= findings.entries.keys()
        assert {"samples", "neighbours"} <= pictures.keys()
        assert all(len(frame) for frame in animation(model, 0, frames=3))
    if isinstance(model, Reconstructs):
        assert {"reconstructions", "denoising"} <= pictures.keys()
        assert "denoising_mse" in findings.entries


@pytest.mark.parametrize("name", MODELS)
def test_curves_of_several_channels_are_drawn(name: str) -> None:
    dataset = of_kind("channels", binary=name == "rbm")
    model = make_model(configure(f"model={name}", *BRISK.get(name, ())), dataset.spec).eval()
    assert training_pictures(model, dataset, 0, fixed_samples(model, 0, dataset, n=10))
