"""Files that people bring, from the training to samples that are judged: values, names and units are those of the file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.helpers.processes import Outcome, assert_refused, call

RNG = np.random.default_rng(0)
KINDS = np.array(["galaxy", "quasar", "star"])
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def done(words: Sequence[str], capsys: Captured) -> Outcome:
    outcome = call(words, capsys)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome


def newest(name: str) -> Any:
    return np.load(max(Path("outputs").rglob(name), key=lambda path: path.stat().st_mtime))


def results() -> dict[str, Any]:
    path = max(Path("outputs").rglob("metrics.json"), key=lambda path: path.stat().st_mtime)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_columns_of_unlike_units_come_back_with_their_own_spread(capsys: Captured) -> None:
    x = RNG.normal(size=(400, 3)) * [1e-9, 1, 1e9]
    np.save("units.npy", x)
    words = ["dataset=array", "dataset.path=units.npy", "dataset.validation=1", "dataset.test=2"]
    said = done(["train", "model=pca", "train.batch_size=397", *words], capsys).out
    assert "each column of array is standardised, since the standard deviations reach from " in said
    done(["sample", "n=4000"], capsys)
    arrays = newest("samples.npz")
    assert arrays["samples"].dtype == np.float64
    assert np.allclose(arrays["samples"].std(0) / x.std(0), 1, atol=0.1)
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(x.T))[::-1]
    assert np.allclose(arrays["variances"], eigenvalues[: len(arrays["variances"])], atol=0.02), "of the correlation"


def test_huge_values_are_refused_with_the_remedy_and_the_remedy_is_one(capsys: Captured) -> None:
    np.save("huge.npy", 1e30 * RNG.normal(size=(300, 6)))
    words = ["train", "model=pca", "train.batch_size=100", "dataset=array", "dataset.path=huge.npy"]
    assert_refused(call(words, capsys), "dataset.path=huge.npy: values reach", "set dataset.standardise=true")
    done([*words, "dataset.standardise=true"], capsys)
    done(["sample", "n=1000"], capsys)
    assert np.allclose(newest("samples.npz")["samples"].std(0) / 1e30, 1, atol=0.2)


def test_names_of_classes_are_taken_and_given_back(capsys: Captured) -> None:
    labels = np.repeat(KINDS, [39, 39, 42])
    x = RNG.integers(0, 256, (120, 8, 8)).astype(np.uint8)
    np.savez("sky.npz", x=x, y=labels)
    words = ["train", "model=vae", "model.conditional=true", "model.hidden=[16]", "train.examples=200", "dataset=array"]
    said = done([*words, "dataset.path=sky.npz"], capsys).out
    assert "classes: galaxy 39, quasar 39, star 42" in said
    done(["sample", "n=20", "labels=[star,galaxy]"], capsys)
    assert newest("samples.npz")["labels"].tolist()[:3] == ["star", "galaxy", "star"]
    assert_refused(
        call(["sample", "labels=[nova]"], capsys), "labels=[nova]: array has no class nova", "galaxy, quasar, star"
    )
    done(["evaluate", "n=40"], capsys)
    assert {f"accuracy_class_{kind}" for kind in KINDS} <= set(results())
    np.savez("numbers.npz", x=x, y=np.repeat([1, 2, 3], [39, 39, 42]))
    done([*words, "dataset.path=numbers.npz", "dataset.classes=[1,3]"], capsys)
    done(["sample", "n=20", "labels=3"], capsys)
    assert set(newest("samples.npz")["labels"].tolist()) == {3}
    assert_refused(call(["sample", "labels=[2]"], capsys), "labels=[2]", "its classes are 1, 3")


def test_counts_are_generated_as_counts(capsys: Captured) -> None:
    Path("counts").mkdir()
    counts = (50 + RNG.gamma(0.8, 500, size=(40, 8, 8))).clip(0, 4018).astype(np.uint16)
    for k, picture in enumerate(counts):
        Image.fromarray(picture).save(f"counts/{k:02}.png")
    words = [
        "train",
        "model=pca",
        "train.batch_size=20",
        "dataset=image_folder",
        "dataset.path=counts",
        "dataset.size=8",
        "dataset.test=12",
    ]
    said = done([*words, "dataset.channels=1"], capsys).out
    assert f"their values, {counts.min()} to {counts.max()}, are seen as 0 to 1" in said
    done(["sample", "n=500"], capsys)
    samples = newest("samples.npz")["samples"]
    assert samples.mean() == pytest.approx(counts.mean(), rel=0.2)
    assert samples.max() > 1000
    np.save("given.npy", counts)
    done(["evaluate", "samples=given.npy"], capsys)
    assert results()["fid"]["value"] < 10 * results()["fid"]["real"]["value"] + 1, "they are the data themselves"


def test_a_table_is_generated_as_a_table(capsys: Captured) -> None:
    kinds = np.arange(200) % 3
    mass, radius = 1e9 * (RNG.normal(size=200) + 3 * kinds), 1e-6 * RNG.normal(size=200)
    rows = zip(mass, radius, KINDS[kinds], strict=True)
    Path("stars.csv").write_text(
        "mass;radius;kind\n" + "\n".join(f"{m:.5e};{r:.5e};{k}".replace(".", ",") for m, r, k in rows)
    )
    words = ["dataset=table", "dataset.path=stars.csv", "dataset.label=kind", "train.batch_size=50"]
    said = done(["train", "model=pca", *words], capsys).out
    assert "columns are separated by ';', and 1,5 means 1.5" in said
    done(["sample", "n=500"], capsys)
    table = max(Path("outputs").rglob("samples.csv"), key=lambda path: path.stat().st_mtime).read_text().splitlines()
    assert table[0] == "mass,radius"
    values = np.array([line.split(",") for line in table[1:]], float)
    assert np.allclose(values.std(0) / [mass.std(), radius.std()], 1, atol=0.2)
    done(["evaluate", "n=100", "anomaly=stars.csv"], capsys)
    assert results()["auroc_likelihood"]["value"] == pytest.approx(0.5, abs=0.15), "they are like the data"
