"""Data that lie elsewhere, and evaluations that were made before: both are found again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from genlab.cli import main
from genlab.report.read_runs import Run, read_run
from genlab.tracking.run_folder import RunFolder
from tests.helpers.processes import assert_refused, call, files, info, records, write_mnist


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with points.npy and the run that was trained on it under its relative name."""
    folder = tmp_path_factory.mktemp("places")
    torch.set_num_threads(1)
    points = np.random.default_rng(0).normal(size=(300, 2))
    np.save(folder / "points.npy", points)
    torch.save({"x": torch.tensor(points)}, folder / "points.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["dataset=array", "dataset.path=points.npy", "train.examples=300"]
        assert main(["train", *words, "model.hidden=[8]", "hydra.run.dir=run"]) == 0
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run in a folder without its data, which is where we are."""
    shutil.copytree(original / "run", tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path / "elsewhere"


def evaluation(run: Path) -> dict[str, object]:
    found = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert isinstance(found, dict)
    return found


def test_a_relative_path_is_stored_so_that_it_holds_everywhere(
    original: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert config["dataset"]["path"] == str(original / "points.npy")
    outcome = call(["evaluate", "run=run", "n=20"], capsys)
    assert (outcome.code, outcome.err) == (0, "")


def test_the_place_of_the_data_may_be_given_anew_and_nothing_else(
    original: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(original / "points.pt", folder / "moved.pt")
    for command in ("evaluate", "sample"):
        outcome = call([command, "run=run", "n=20", "dataset.path=moved.pt", f"hydra.run.dir={command}d"], capsys)
        assert (outcome.code, outcome.err) == (0, "")
        assert "without test data" not in outcome.out
        outcome = call([command, "run=run", "dataset.path=nowhere.npy"], capsys)
        assert_refused(outcome, f"dataset.path={folder}/nowhere.npy", "name a .npy, .npz, .pt, .h5 or .mat file")
        assert_refused(call([command, "run=run", "dataset.root=x"], capsys), "dataset.root=x", "set dataset.path")
        assert_refused(call([command, "run=run", "dataset.test=0.5"], capsys), "dataset.test", "dataset.path")
        assert_refused(call([command, "run=run", "dataset=digits"], capsys), "dataset", "its own dataset")
        np.save("other.npy", np.random.default_rng(0).normal(size=(50, 3)))
        outcome = call([command, "run=run", "dataset.path=other.npy"], capsys)
        assert_refused(outcome, "other.npy", "these data are 3, real", "trained on 2, real")


def test_a_run_goes_on_with_its_data_in_another_place(
    original: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = records(folder / "run", ("seconds", "throughput/images_per_second"))
    (folder / "run" / "checkpoints" / "last.pt").unlink()
    RunFolder(folder / "run").note(state="interrupted")
    shutil.copy(original / "points.npy", folder / "here.npy")
    assert_refused(call(["resume", "run", "dataset.test=0.3"], capsys), "dataset.test: None -> 0.3")
    outcome = call(["resume", "run", "dataset.path=here.npy"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert info(folder / "run")["state"] == "finished"
    assert records(folder / "run", ("seconds", "throughput/images_per_second")) == before
    config = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert config["dataset"]["path"] == str(folder / "here.npy"), "so that later commands find them"


def test_the_root_of_data_sets_may_be_given_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mnist(tmp_path / "data" / "mnist")
    words = ["dataset=mnist", "dataset.root=data", "dataset.validation=0.1", "train.examples=100", "model.hidden=[8]"]
    assert call(["train", *words, "train.batch_size=50", "hydra.run.dir=run"], capsys).code == 0
    assert yaml.safe_load(Path("run/config.yaml").read_text())["dataset"]["root"] == str(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "moved")
    outcome = call(["sample", "run=run", "n=3", "dataset.root=moved", "hydra.run.dir=s"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert "without test data" not in outcome.out
    assert_refused(call(["sample", "run=run", "dataset.path=moved"], capsys), "dataset.path=moved", "set dataset.root")


@pytest.mark.slow
def test_an_evaluation_with_other_settings_is_kept_and_a_repeat_is_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "run"
    assert call(["evaluate", "run=run", "n=20"], capsys).code == 0
    first, metrics = evaluation(run), (run / "metrics.json").read_bytes()
    assert call(["evaluate", "run=run", "n=20", "device=cpu"], capsys).code == 0
    assert not list(run.glob("evaluation_*")), "the same measures again take the place of the first"
    metrics = (run / "metrics.json").read_bytes()
    outcome = call(["evaluate", "run=run", "n=40"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    (kept,) = run.glob("evaluation_*")
    assert f"kept in run/{kept.name}/" in outcome.out
    assert (kept / "metrics.json").read_bytes() == metrics
    assert json.loads((kept / "evaluation.json").read_text())["n"] == first["n"] == 20
    assert list(kept.glob("*.png"))
    assert evaluation(run)["n"] == 40
    before = files(kept)
    read = read_run(run)
    assert isinstance(read, Run)
    assert read.evaluation["n"] == 40, "a comparison takes the newest"
    assert files(kept) == before


SAMPLES = {
    "tensor.pt": lambda path: torch.save(torch.randn(30, 2), path),
    "named.pt": lambda path: torch.save({"samples": torch.randn(30, 2), "labels": torch.zeros(30)}, path),
    "half.pth": lambda path: torch.save(torch.randn(30, 2).bfloat16(), path),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_of_torch_are_read(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SAMPLES[name](folder / name)
    outcome = call(["evaluate", "run=run", f"samples={name}", "hydra.run.dir=measured"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert (folder / "measured" / "metrics.json").exists()


def test_files_of_other_kinds_are_refused_with_the_formats(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.csv").write_text("1,2\n")
    (folder / "x.npz").write_bytes(b"nothing")
    for name in ("x.csv", "x.npz", "run/checkpoints/last.pt", "nowhere.pt"):
        outcome = call(["evaluate", "run=run", f"samples={name}"], capsys)
        assert_refused(outcome, f"samples={name}", ".npy, .npz, .pt, .h5 or .mat file")
