"""Real components that repeat their values are named before a model of their density is trained."""

from pathlib import Path

import numpy as np
import pytest

from genlab.data.repeated_values import warning_of_repeated_values
from genlab.experiment.experiment import Experiment
from genlab.models.flows.flow import Flow
from genlab.models.latent.pca import PCA
from tests.helpers.processes import call
from tests.helpers.support import configure


def table(tmp_path: Path, **columns: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Path:
    path = tmp_path / "t.csv"
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def some(n: int = 1000) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    random = np.random.default_rng(0)
    return {
        "height": random.normal(size=n),
        "age": random.integers(18, 80, n).astype(float),
        "mass": random.normal(size=n),
    }


def test_whole_numbers_are_named_with_their_column(tmp_path: Path) -> None:
    path = table(tmp_path, **some())
    dataset = Experiment(configure("model=flow", "dataset=table", f"dataset.path={path}")).dataset
    line = warning_of_repeated_values(dataset)
    assert line is not None
    assert "age (62 different values), of 800 examples" in line or "age (62 different values), of 810 examples" in line
    assert "height" not in line
    assert line.endswith("leave them out with dataset.columns")


def test_numbers_that_differ_give_no_warning(tmp_path: Path) -> None:
    columns = some()
    del columns["age"]
    path = table(tmp_path, **columns)
    dataset = Experiment(configure("model=flow", "dataset=table", f"dataset.path={path}")).dataset
    assert warning_of_repeated_values(dataset) is None
    assert warning_of_repeated_values(Experiment(configure("model=flow", "dataset=digits")).dataset) is None


def test_a_training_of_a_family_that_learns_widths_begins_with_the_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = table(tmp_path, **some(600))
    monkeypatch.chdir(tmp_path)
    arguments = ["model=autoregressive", "dataset=table", f"dataset.path={path}", "train.examples=500", "device=cpu"]
    said = call(["train", *arguments], capsys)
    assert said.code == 0, said.err
    assert "repeats values in age" in " ".join(said.out.split())
    assert Flow.learns_widths
    assert not PCA.learns_widths, "one width for all components that it leaves out"
