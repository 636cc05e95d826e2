"""Data of impossible size are refused, and columns of unlike units are named, before anything is trained."""

from pathlib import Path

import numpy as np
import pytest

from genlab.data.measure_spec import warnings_of
from genlab.data.sources.array import array
from genlab.data.spec import DataSpec
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from genlab.evaluation.given_samples import read_samples
from tests.helpers.processes import assert_refused, call


def spec_of(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]], folder: Path) -> DataSpec:
    np.save(folder / "x.npy", x)
    raw = array(path=str(folder / "x.npy"), labels=None, observables=None, temperature=None)
    return prepare(raw, binarize="none", dequantize=False, validation=0.1, test=0.1).spec


def normal(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("shape", [(100, 6), (100, 5, 5)])
@pytest.mark.parametrize(("size", "said"), [(1e30, "values reach "), (1e16, "values reach "), (1e-30, "vary by ")])
def test_values_whose_squares_are_infinite_or_vanish_are_refused(
    shape: tuple[int, ...], size: float, said: str, tmp_path: Path
) -> None:
    with pytest.raises(GenlabError, match=said) as refused:
        spec_of(size * normal(*shape), tmp_path)
    divisor = float(str(refused.value).rpartition("divided by ")[2])
    assert warnings_of(spec_of(size * normal(*shape) / divisor, tmp_path)) == [], "the remedy is one"


@pytest.mark.parametrize("size", [1e-12, 1, 1e12])
def test_values_of_other_sizes_are_taken(size: float, tmp_path: Path) -> None:
    assert warnings_of(spec_of(size * normal(100, 6), tmp_path)) == []
    assert warnings_of(spec_of(np.full((100, 6), size), tmp_path)) == [], "all alike"


def test_columns_of_unlike_units_are_named_with_the_remedy(tmp_path: Path) -> None:
    x = normal(200, 4) * [1e-9, 0, 1, 1e9]
    (line,) = warnings_of(spec_of(x, tmp_path))
    assert "(column 0)" in line
    assert "(column 3)" in line
    assert line.endswith("set dataset.standardise=true")
    assert warnings_of(spec_of(normal(200, 4) * [1, 10, 100, 500], tmp_path)) == []
    assert warnings_of(spec_of(normal(200, 4, 4) * np.logspace(-9, 9, 16).reshape(4, 4), tmp_path)) == [], "of pictures"


def test_a_column_far_from_zero_is_named(tmp_path: Path) -> None:
    """Seconds since 1970, in steps of 128 in single precision."""
    (line,) = warnings_of(spec_of(normal(200, 2) * [1, 300] + [0, 1.7e9], tmp_path))
    assert line.startswith("column 1 ")
    assert line.endswith("subtract a constant from it, or set dataset.standardise=true")


def test_samples_from_elsewhere_are_refused_too(tmp_path: Path) -> None:
    data = spec_of(normal(100, 6), tmp_path)
    np.save(tmp_path / "huge.npy", 1e30 * normal(50, 6))
    with pytest.raises(GenlabError, match=r"samples=.*huge.npy: values reach .* divided by 1e\+30"):
        read_samples(tmp_path / "huge.npy", data)


@pytest.mark.slow
def test_all_families_hear_of_it_before_they_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("huge.npy", 1e30 * normal(300, 6))
    np.save("units.npy", normal(300, 3) * [1e-9, 1, 1e9])
    for model in ("pca", "vae"):
        outcome = call(["train", "dataset=array", "dataset.path=huge.npy", f"model={model}"], capsys)
        assert_refused(outcome, "dataset.path=huge.npy: values reach", "divided by 1e+30")
        assert "optimizer" not in outcome.err
    assert not list(tmp_path.rglob("run.json"))
    words = ["dataset=array", "dataset.path=units.npy", "model=pca", "train.batch_size=50"]
    outcome = call(["train", *words], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert "each column of array is standardised, since the standard deviations reach from " in outcome.out
    outcome = call(["train", *words, "dataset.standardise=false"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.index("warning: the columns of dataset=array have unlike units") < outcome.out.index(
        "test split"
    )
