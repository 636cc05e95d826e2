"""The classifier: its probabilities, its networks, and comparisons with exact answers."""

import math

import pytest
import torch
import torch.nn.functional as F

from genlab.data.batches import Batch, in_order
from genlab.errors import GenlabError
from genlab.models.abilities import classifies
from genlab.models.base import GenerativeModel
from genlab.models.discriminative.classifier import Classifier, shifted
from tests.helpers.support import adam_recipe, configure, dataset_of, make_model, small_data, spec_of, start

CPU = torch.device("cpu")


def classifier(kind: str = "grey", **options: object) -> Classifier:
    overrides = [f"model.{key}={value}" for key, value in options.items()]
    model = make_model(configure("model=classifier", *overrides), small_data(kind).spec)
    assert isinstance(model, Classifier)
    return model.eval()


@pytest.mark.parametrize("network", ["ffnn", "cnn", "rnn"])
@pytest.mark.parametrize("kind", ["binary", "grey", "odd", "colour"])
def test_every_backbone_gives_probabilities_for_every_kind_of_image(network: str, kind: str) -> None:
    model, data = classifier(kind, network=network), small_data(kind)
    x = next(in_order(data.test, data.represent, batch_size=7, device=CPU)).x
    log_p = model.classify(x)
    assert log_p.shape == (7, 4)
    assert torch.allclose(log_p.exp().sum(1), torch.ones(7), atol=1e-6)
    assert model.features(x).shape == (7, model.backbone.width)
    assert torch.allclose(log_p, F.log_softmax(model.head(model.features(x)), 1), atol=1e-6)


def test_predicting_and_sampling_are_capabilities() -> None:
    model = classifier()
    assert classifies(model)
    assert not isinstance(model, GenerativeModel)


def test_evaluation_is_what_it_says() -> None:
    model, data = classifier(), small_data("grey")
    batch = next(in_order(data.test, data.represent, batch_size=9, device=CPU))
    assert batch.y is not None
    found, log_p = model.evaluate(batch), model.classify(batch.x)
    for i, y in enumerate(batch.y.tolist()):
        p = log_p[i].exp()
        assert float(found["nll"][i]) == pytest.approx(-float(log_p[i, y]), rel=1e-5)
        assert float(found["accuracy"][i]) == float(p.argmax() == y)
        brier = sum((float(p[k]) - (k == y)) ** 2 for k in range(4))
        assert float(found["brier"][i]) == pytest.approx(brier, rel=1e-4)
    assert torch.equal(found["loss"], found["nll"])


def test_a_linear_classifier_finds_the_posterior_of_two_gaussians() -> None:
    """x|y ~ N(+-m, 1) with equal classes: log p(1|x)/p(0|x) = 2 m x exactly, and the Bayes error is Phi(-m)."""
    m, n = 1.0, 20_000
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (n,), generator=generator)
    x = (2.0 * y[:, None] - 1) * m + torch.randn(n, 1, generator=generator)
    data = dataset_of(x, y=y, classes=2)
    model = Classifier(
        data.spec,
        adam_recipe(0.02),
        network="ffnn",
        hidden=[8],
        activation="tanh",
        dropout=0.0,
        label_smoothing=0.0,
        shift=0,
        start=None,
        reset=False,
        frozen=False,
        trunk=None,
    )
    chosen = torch.Generator().manual_seed(1)
    stream = (Batch(x[i], y[i], 0.0) for i in (torch.randint(n, (500,), generator=chosen) for _ in range(400)))
    for _ in model.train_loop(stream):
        pass
    grid = torch.linspace(-1.5, 1.5, 7)[:, None]
    log_p = model.eval().classify(grid)
    assert torch.allclose(log_p[:, 1] - log_p[:, 0], 2 * m * grid[:, 0], atol=0.25)
    accuracy = float(model.evaluate(Batch(x, y, 1.0))["accuracy"].mean())
    bayes = 0.5 * math.erfc(-m / math.sqrt(2))
    assert abs(accuracy - bayes) < 4 * math.sqrt(bayes * (1 - bayes) / n) + 0.003


def test_shifted_images_are_the_originals_moved_by_whole_pixels() -> None:
    x = torch.rand(50, 2, 6, 5)
    torch.manual_seed(0)
    moved, seen = shifted(x, 1), set()
    for before, after in zip(x, moved, strict=True):
        padded = F.pad(before, (1, 1, 1, 1))
        places = [(i, j) for i in range(3) for j in range(3) if torch.equal(padded[:, i : i + 6, j : j + 5], after)]
        assert len(places) == 1
        seen |= set(places)
    assert len(seen) == 9


def test_data_without_labels_and_unequal_recurrent_layers_are_refused() -> None:
    recipe = adam_recipe()
    options = {"activation": "relu", "dropout": 0.0, "label_smoothing": 0.0, "shift": 0}
    options |= {"start": None, "reset": False, "frozen": False, "trunk": None}
    with pytest.raises(
        GenlabError, match=r"model=classifier needs labels, and dataset=test has none; choose a data set"
    ):
        Classifier(spec_of(torch.randn(50, 3)), recipe, network="auto", hidden=None, **options)  # type: ignore[arg-type]
    with pytest.raises(GenlabError, match=r"model.network=cnn: .* vectors of 3 numbers; set model.network=ffnn"):
        classifier("vectors", network="cnn")
    with pytest.raises(GenlabError, match=r"model.hidden=\[8, 4\]: .*one width"):
        classifier("grey", network="rnn", hidden="[8,4]")


def test_training_shows_the_confusion_matrix_and_calibration(tmp_path: object) -> None:
    from pathlib import Path

    run = Path(str(tmp_path)) / "run"
    loop = start(
        run, configure("model=classifier", "train.examples=6000", "model.network=ffnn", "train.sample_every=6000")
    )
    results = loop.fit()
    assert results["test/accuracy"][0] > 0.9
    for name in ("confusion", "reliability"):
        assert (run / "samples" / f"{name}.png").stat().st_size > 1000
