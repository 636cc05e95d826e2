"""init=RUN: the parameters of another run as a start, where they fit; and nothing of that run after the first checkpoint."""

import shutil
from pathlib import Path

import pytest
import torch

from genlab.cli import main
from genlab.training import checkpoint
from tests.helpers.processes import Outcome, assert_refused, call, info, records, same

SHORT = ["train.examples=1000", "train.log_every=128", "model.hidden=[32]"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE that has learned something."""
    folder = tmp_path_factory.mktemp("source") / "wide"
    torch.set_num_threads(1)
    words = ["model=vae", "model.hidden=[32]", "train.examples=20000", f"hydra.run.dir={folder}"]
    assert main(["train", *words]) == 0
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(capsys: pytest.CaptureFixture[str], *words: str) -> Outcome:
    return call(["train", *words, "hydra.run.dir=run"], capsys)


def first_loss(run: Path) -> float:
    return float(next(line["train/loss"] for line in records(run) if "train/loss" in line))


def test_it_starts_where_the_other_run_ended(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = train(capsys, "model=vae", f"init={source}", *SHORT)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"starts from {source} at 20,096 examples: 8 of 8 parameters\n")
    assert info(Path("run"))["init"] == {"run": str(source), "examples": 20096, "parameters": 8, "not_taken": []}
    started = next(line["train/loss"] for line in reversed(records(source)) if "train/loss" in line)
    assert abs(first_loss(Path("run")) - started) < 0.1 * started
    assert call(["train", "model=vae", *SHORT, "hydra.run.dir=new"], capsys).code == 0
    assert first_loss(Path("new")) > first_loss(Path("run"))


def test_parameters_are_copied_and_the_optimizer_is_new(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At a rate of nearly nothing the parameters stay those of the other run."""
    assert train(capsys, "model=vae", f"init={source}", *SHORT, "optimizer=sgd", "optimizer.lr=1e-12").code == 0
    a, b = (checkpoint.load(run / "checkpoints" / "last.pt") for run in (Path("run"), source))
    for name, value in b["model"].items():
        torch.testing.assert_close(a["model"][name], value)


@pytest.mark.slow
def test_other_data_keep_their_own_scale(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=vae", "dataset=gaussian", *SHORT]
    assert call(["train", *words, "dataset.spectrum=[1,4,9]", "dataset.dim=3", "hydra.run.dir=a"], capsys).code == 0
    spectrum = "dataset.spectrum=[100,400,900]"
    outcome = train(capsys, *words, spectrum, "dataset.dim=3", "init=a", "optimizer=sgd", "optimizer.lr=1e-12")
    assert outcome.code == 0, outcome.err
    a, b = (checkpoint.load(Path(run) / "checkpoints" / "last.pt")["model"] for run in ("a", "run"))
    torch.testing.assert_close(a["encoder.layers.1.weight"], b["encoder.layers.1.weight"])
    torch.testing.assert_close(10 * a["scaling.scale"], b["scaling.scale"], rtol=0.1, atol=0)


def test_what_does_not_fit_is_named_and_the_rest_is_taken(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = train(capsys, "model=vae", f"init={source}", *SHORT, "model.latent_dim=5")
    assert outcome.code == 0, outcome.err
    line = outcome.out.splitlines()[0]
    assert "5 of 8 parameters; these do not fit, and start at random: " in line
    assert "encoder.layers.3.weight (40x32 there, 10x32 here)" in line
    assert info(Path("run"))["init"]["not_taken"] == [
        "encoder.layers.3.weight",
        "encoder.layers.3.bias",
        "decoder.mlp.layers.1.weight",
    ]


def test_nothing_of_the_other_run_is_needed_any_more(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(source, "other")
    assert train(capsys, "model=vae", "init=other", *SHORT).code == 0
    shutil.rmtree("other")
    assert call(["sample", "run=run", "n=4"], capsys).code == 0
    outcome = call(["resume", "run", "train.examples=2000"], capsys)
    assert outcome.code == 0, outcome.err


def test_a_run_that_ended_before_its_first_checkpoint_starts_from_it_again(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(capsys, "model=vae", f"init={source}", *SHORT).code == 0
    shutil.copytree("run", "again")
    shutil.rmtree("again/checkpoints")
    Path("again/checkpoints").mkdir()
    RUNNING = Path("again/run.json")
    RUNNING.write_text(RUNNING.read_text().replace('"state": "finished"', '"state": "interrupted"'))
    assert call(["resume", "again"], capsys).code == 0
    a, b = (checkpoint.load(Path(run) / "checkpoints" / "last.pt") for run in ("run", "again"))
    assert same(a["model"], b["model"])


def test_latest_is_none_that_starts_from_another(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "model=vae", *SHORT]
    assert main([*words, "name=first"]) == 0
    assert main([*words, "init=latest", "name=second"]) == 0
    outcome = call([*words, "init=latest", "name=third"], capsys)
    assert "_first" in outcome.out.splitlines()[0]
    assert call([*words, "init=first"], capsys).code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=rbm"], ["model=vae", "this model=rbm", "no parameter"]),
        (["model=vae", "dataset=gaussian"], ["no parameter", "data of the same shape"]),
        (["model=pca"], ["model=pca is fitted in closed form"]),
        (["model=vae", "init=nowhere"], ["init=nowhere", "no such folder"]),
        (["model=classifier", "model.start=SOURCE"], ["model.start", "set one of the two"]),
        (["model=vae", "init=[a]"], ["init"]),
    ],
)
def test_what_cannot_be_a_start_is_refused(
    source: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: list[str]
) -> None:
    own = [] if any(word.startswith("init=") for word in words) else [f"init={source}"]
    assert_refused(train(capsys, *own, *(word.replace("SOURCE", str(source)) for word in words)), *said)
    assert not Path("run/run.json").exists()
