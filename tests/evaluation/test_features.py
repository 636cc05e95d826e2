"""Feature networks: the same everywhere, made once for other data, and the data themselves for vectors."""

from pathlib import Path

import pytest
import torch

from genlab.data.dataset import Dataset
from genlab.errors import GenlabError
from genlab.evaluation.features import feature_network, feature_space, space
from genlab.evaluation.features.feature_network import grey, transformed
from tests.helpers.support import configure, dataset_of, make_dataset, small_data

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    monkeypatch.setattr(feature_network, "EXAMPLES", 2560)
    return tmp_path / "genlab" / "features"


@pytest.mark.parametrize("name", space.SHIPPED)
def test_weights_come_with_the_package_and_are_small(name: str) -> None:
    file = space.FOLDER / f"{name}.safetensors"
    assert 50_000 < file.stat().st_size < 150_000


def test_the_network_of_the_digits_knows_them_in_every_representation() -> None:
    for binarize in ("none", "dynamic", "threshold"):
        dataset = make_dataset(configure(f"dataset.binarize={binarize}"))
        found = feature_space(dataset, CPU)
        x = grey(dataset)(dataset.test.take(torch.arange(len(dataset.test))))
        assert dataset.test.y is not None
        assert float((found.classes(found.features(x)) == dataset.test.y).float().mean()) > 0.98
        features = found.features(x)
        assert features.shape == (len(x), 64)
        assert float(features.var(0).mean()) == pytest.approx(1, rel=0.2)
    assert found.describe() == {"name": "cnn-digits", "hash": found.hash, "dimensions": 64}
    assert len(found.hash) == 12


def test_features_do_not_depend_on_the_batch() -> None:
    dataset = make_dataset(configure())
    found = feature_space(dataset, CPU)
    x = grey(dataset)(dataset.test.take(torch.arange(40)))
    one_by_one = torch.cat([found.features(part) for part in x.split(1)])
    assert torch.allclose(found.features(x), one_by_one, atol=1e-4)


def test_other_images_get_a_network_of_their_own_once(cache: Path) -> None:
    dataset = small_data("grey")
    before = torch.get_rng_state()
    first = feature_space(dataset, CPU)
    assert torch.equal(before, torch.get_rng_state()), "the run's random stream is left alone"
    (file,) = cache.iterdir()
    written = file.stat().st_mtime_ns
    again = feature_space(dataset, CPU)
    assert again.hash == first.hash
    assert file.stat().st_mtime_ns == written
    x = torch.rand(5, 1, 8, 8)
    assert torch.equal(first.features(x), again.features(x))
    assert first.predicts_classes
    file.unlink()
    assert feature_space(dataset, CPU).hash == first.hash, "the recipe is fixed"
    other = feature_space(changed(dataset), CPU)
    assert other.hash != first.hash
    assert len(list(cache.iterdir())) == 2


def changed(dataset: Dataset) -> Dataset:
    assert isinstance(dataset.train.x, torch.Tensor)
    x = dataset.train.x.clone()
    x[0] += 1
    y = dataset.train.y
    return dataset_of(x, levels=256, y=y, classes=4)


def test_pictures_that_are_all_alike_have_finite_features(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their features do not vary, so that there is nothing to divide by."""
    monkeypatch.setattr(feature_network, "EXAMPLES", 128)
    found = feature_space(dataset_of(torch.full((100, 1, 8, 8), 7, dtype=torch.uint8), levels=256), CPU)
    assert found.scale == 1
    assert bool(found.features(torch.rand(3, 1, 8, 8)).isfinite().all())


def test_few_examples_are_seen_a_thousand_times_at_most() -> None:
    assert feature_network.length(60_000) == feature_network.length(600) == 600_000
    assert feature_network.length(80) == 80_000
    assert feature_network.recipe(80) != feature_network.recipe(60_000)


def test_a_damaged_file_is_named(cache: Path) -> None:
    dataset = small_data("grey")
    feature_space(dataset, CPU)
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(GenlabError, match=r"feature network of dataset=test cannot be read .*; remove its file under"):
        feature_space(dataset, CPU)


def test_images_without_labels_learn_a_pretext(cache: Path) -> None:
    images = small_data("odd").train.take(torch.arange(200))
    found = feature_space(dataset_of(images, levels=256), CPU)
    assert not found.predicts_classes
    assert found.features(torch.rand(3, 1, 9, 7)).shape == (3, 64)


@pytest.mark.parametrize("shape", [(6, 6), (6, 4)])
def test_pretexts_are_four_different_transformations(shape: tuple[int, int]) -> None:
    x = torch.rand(1, 2, *shape).repeat(4, 1, 1, 1)
    made = transformed(x, torch.arange(4))
    assert torch.equal(made[0], x[0])
    for i in range(4):
        assert torch.allclose(made[i].sum(), x[0].sum())
        for j in range(i):
            assert not torch.equal(made[i], made[j])


def test_vectors_are_their_own_features_in_units_of_their_spread() -> None:
    dataset = small_data("vectors")
    found = feature_space(dataset, CPU)
    x = dataset.train.take(torch.arange(len(dataset.train)))
    assert found.name == "components"
    assert torch.allclose(found.features(x).mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(found.features(x).std(0), torch.ones(3), atol=0.01)
