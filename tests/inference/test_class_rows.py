"""Names of classes where samples of classes are asked for, shown and diagnosed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from genlab.data.sources.cifar10 import NAMES
from genlab.data.sources.mnist import EMNIST_CLASSES, FASHION, KUZUSHIJI
from genlab.errors import GenlabError
from genlab.evaluation.diagnoses import missing_classes
from genlab.inference.class_rows import rows_by_class
from genlab.inference.sampling import check_options
from genlab.plots.charts import class_bars, confusion
from genlab.plots.images import latent_scatter
from tests.helpers.support import configure, make_model, spec_of

IMAGES = spec_of(torch.rand(40, 1, 4, 4), classes=3, y=torch.arange(40) % 3)
SKY = replace(IMAGES, class_names=("galaxy", "quasar", "star"))


def test_samples_stand_in_a_row_for_each_class() -> None:
    labels = torch.tensor([2, 0] * 9)
    x = torch.where(labels[:, None, None, None] == 0, 0.0, 1.0).expand(-1, 1, 4, 4)
    named, numbered = (rows_by_class(x, labels, 5, data) for data in (SKY, IMAGES))
    assert named is not None
    assert numbered is not None
    assert named.shape[0] == numbered.shape[0]
    assert named.shape[1] > numbered.shape[1], "the names need more room than the numbers"
    middle, right = named.shape[0] // 2, named[:, -60:-20, 0]
    assert right[: middle - 4].mean() < right[middle + 4 :].mean() - 100, "galaxies first"
    assert rows_by_class(x, None, 5, SKY) is None
    assert rows_by_class(x, torch.zeros(18, dtype=torch.int64), 5, SKY) is None
    assert rows_by_class(torch.rand(18, 3), labels, 5, spec_of(torch.rand(40, 3))) is None


def test_labels_of_samples_are_asked_for_by_name() -> None:
    data = spec_of(torch.rand(60, 1, 4, 4), classes=10, y=torch.arange(60) % 10)
    spec = replace(data, class_names=FASHION)
    model = make_model(configure("model=vae", "model.conditional=true", "model.hidden=[8]"), spec)
    assert check_options(model, {"labels": ["bag", "ankle boot", 0]})["labels"] == [8, 9, 0]
    assert check_options(model, {"labels": "bag"})["labels"] == 8
    with pytest.raises(GenlabError, match=r"labels=\[hat\]: .* has no class hat; .*T-shirt, trouser"):
        check_options(model, {"labels": ["hat"]})
    plain = make_model(configure("model=vae", "model.conditional=true", "model.hidden=[8]"), data)
    assert check_options(plain, {"labels": [3, "8"]})["labels"] == [3, 8]
    with pytest.raises(GenlabError, match="classes are 0 to 9"):
        check_options(plain, {"labels": [12]})


def test_diagnoses_and_charts_name_the_classes() -> None:
    generated, real = torch.tensor([0.5, 0.5, 0.0]), torch.full((3,), 1 / 3)
    assert "class star (0 instead" in str(missing_classes(generated, real, 300, SKY.names))
    assert "class 2 (0 instead" in str(missing_classes(generated, real, 300))
    counts = torch.eye(3, dtype=torch.int64) * 9
    for named, plain in (
        (confusion(counts, "test split", SKY.names), confusion(counts, "test split")),
        (class_bars(generated, real, 300, SKY.names), class_bars(generated, real, 300)),
        (
            latent_scatter(torch.randn(9, 2), torch.arange(9) % 3, classes=SKY.names),
            latent_scatter(torch.randn(9, 2), torch.arange(9) % 3),
        ),
    ):
        assert named.shape != plain.shape or not np.array_equal(named, plain)


def test_names_of_published_sets() -> None:
    assert [len(names) for names in (FASHION, KUZUSHIJI, NAMES)] == [10, 10, 10]
    lengths = {"balanced": 47, "byclass": 62, "bymerge": 47, "letters": 26, "digits": 10, "mnist": 10}
    assert {split: len(names) for split, names in EMNIST_CLASSES.items()} == lengths
