"""genlab train --estimate: what a training will cost, without a run folder; and that the training costs that."""

import json
from pathlib import Path

import pytest

from genlab.benchmark.training_cost import Span, training_cost
from genlab.experiment.experiment import Experiment
from tests.helpers.processes import assert_refused, call, info, trained
from tests.helpers.support import CPU, configure

SMALL = ["train.examples=4000", "model.hidden=[8]", "model.latent_dim=2"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_leaves_nothing_and_says_what_the_training_costs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["train", "--estimate", *SMALL], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert list(here.iterdir()) == []
    assert "parameters on digits: 4,000 examples in 32 updates on cpu" in outcome.out
    assert [line.split()[0] for line in outcome.out.splitlines()[1:]] == ["time", "memory", "disk", "measured"]
    assert call(["train", *SMALL], capsys).code == 0  # the same process takes the flag no longer
    assert len(trained(here)) == 1


@pytest.mark.parametrize(
    "words", [["model=vae", "train.examples=12800"], ["model=rbm", "train.examples=3000"], ["model=pca"]]
)
def test_the_training_has_that_many_updates_and_takes_that_much_disk(
    words: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = Experiment(configure(*words), CPU)
    experiment.build()
    cost = training_cost(experiment, seconds=0.3)
    assert call(["train", "device=cpu", *words], capsys).code == 0
    (run,) = trained(here)
    true = info(run)["cost"]
    assert cost.parameters == true["parameters"]
    assert cost.examples == true["examples"] or cost.updates == -(-cost.examples // 128)
    kept = sum(path.stat().st_size for path in (run / "checkpoints").iterdir())
    assert 0.4 * cost.disk["checkpoints"] <= kept <= cost.disk["checkpoints"]
    pictures = len(list((run / "samples").glob("*_0*.png")))
    kinds = len({path.name.rpartition("_")[0] for path in (run / "samples").glob("*_0*.png")})
    assert pictures <= cost.sets * max(1, kinds)
    whole = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    assert whole / 3 <= sum(cost.disk.values()) <= 3 * whole
    assert cost.time.low <= cost.time.typical <= cost.time.high
    assert true["seconds"] / 10 <= cost.time.typical <= 10 * true["seconds"] + 1  # a machine that does other work, too


def test_a_sweep_is_summed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["train", "--estimate", "-m", "seed=0,1,2", "optimizer.lr=0.01,0.02", *SMALL], capsys)
    assert outcome.code == 0
    assert list(here.iterdir()) == []
    assert outcome.out.count("parameters on digits") == 2  # another seed costs the same
    assert "a sweep of 6 jobs" in outcome.out
    assert "for all of them, one after the other" in outcome.out
    assert "state" not in outcome.out  # the table of a sweep that was trained


def test_spans_add_up() -> None:
    assert Span(1.0, 2.0, 3.0) + Span(0.5, 0.5, 1.0) == Span(1.5, 2.5, 4.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--estimate=yes"], ["--estimate takes no value"]),
        (["--estimat"], ["did you mean '--estimate'"]),
        (["--estimate", "model=vea"], ["did you mean 'model=vae'"]),
        (["--estimate", "lr=0.1"], ["optimizer.lr=0.1"]),
        (["--estimate", "dataset=array", "dataset.path=nowhere.npy"], ["dataset.path=nowhere.npy"]),
        (["--estimate", "train.examples=5"], ["train.batch_size=128"]),
        (["--estimate", "-m", "seed=0,1", "hydra/launcher=joblib"], ["hydra/launcher"]),
    ],
    ids=" ".join,
)
def test_mistakes_end_in_one_line(
    words: list[str], said: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call(["train", *words], capsys), *said)
    assert list(here.iterdir()) == []


def test_a_tracker_is_not_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["train", "--estimate", "tracker=mlflow", *SMALL], capsys)
    assert outcome.code == 0
    assert "mlflow" not in outcome.out
    assert not json.dumps(outcome.err).count("mlflow")
