"""A search by Optuna: trials are trainings, the study outlives its process, a trial that falls behind is pruned."""

import csv
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from genlab.sweeping.objective import Objective, evaluations, value_of
from genlab.tracking.run_folder import RunFolder
from tests.helpers.processes import assert_refused, call, end, info, start, succeed, trained, wait_for

optuna = pytest.importorskip("optuna")

SMALL = ["train.examples=2600", "model.hidden=[16]", "model.latent_dim=2"]
RATE = "optimizer.lr=tag(log,interval(1e-4,1e-2))"


def words(*more: str, trials: int = 3, name: str | None = "s") -> list[str]:
    named = [] if name is None else [f"hydra.sweeper.study_name={name}"]
    return ["train", "-m", "hydra/sweeper=optuna", *named, f"hydra.sweeper.n_trials={trials}", *SMALL, RATE, *more]


def study_in(folder: Path, name: str = "s") -> Any:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}")


def states(folder: Path) -> list[str]:
    return [trial.state.name for trial in study_in(folder).get_trials(deepcopy=False)]


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path


@pytest.fixture
def folder(here: Path) -> Path:
    """Where the study s lies."""
    return here / "outputs" / "train" / "search" / "s"


def test_a_search_begins_with_the_default_and_ends_with_a_command(
    here: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(words("hydra.sweeper.metric=elbo"), capsys)
    assert (outcome.code, outcome.err) == (0, "")
    rows = table(folder)
    assert [row["state"] for row in rows] == ["finished"] * 3
    runs = [RunFolder(folder / row["run"]) for row in rows]
    default = yaml.safe_load((runs[0].path / "config.yaml").read_text())
    assert default["optimizer"]["lr"] == 0.002  # of the family: the first trial has no override of its own
    assert "optimizer.lr" not in " ".join(info(runs[0].path)["overrides"])
    for row, run in zip(rows, runs, strict=True):
        values = list(evaluations(run.metrics, "eval/elbo").values())
        assert float(row["elbo"]) == values[-1] == value_of(run, Objective("elbo", "maximize"))
        assert max(values) == value_of(run, Objective("elbo", "maximize", "best"))
        config = yaml.safe_load((run.path / "config.yaml").read_text())
        assert float(row["optimizer.lr"]) == config["optimizer"]["lr"]
        assert int(row["evaluations"]) == len(values)
        assert not any(word.startswith("hydra") for word in info(run.path)["overrides"])
    best = max(rows, key=lambda row: float(row["elbo"]))
    assert f"trial {best['trial']}: elbo" in outcome.out
    tested = info(folder / best["run"])["results"]["test/elbo"]
    assert f"{tested['value']:.2f}" in outcome.out[outcome.out.rindex("test split") :]
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("  next") and "train" in line][-1:]
    assert "hydra" not in line
    assert all(word.partition("=")[0] in line for word in SMALL)
    assert "search of 3 trials for the highest eval/elbo" in outcome.out

    outcome = call(words("hydra.sweeper.metric=elbo"), capsys)  # again: nothing is missing
    assert (outcome.code, len(trained(here))) == (0, 3)
    outcome = call(words("hydra.sweeper.metric=elbo", trials=4), capsys)  # and one more
    assert (outcome.code, len(trained(here)), len(table(folder))) == (0, 4, 4)
    outcome = call(words("hydra.sweeper.metric=elbo", "model.beta=2.0"), capsys)
    assert_refused(outcome, "study_name=s", "nothing -> model.beta=2.0", "name another study")
    assert len(trained(here)) == 4


def test_the_search_of_a_family_needs_no_flag(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["train.examples=1300", "hydra.sweeper.n_trials=2", "hydra.sweeper.study_name=s"]
    outcome = call(["train", "search=vae", "dataset=digits", *short], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    rows = table(here / "outputs" / "train" / "search" / "s")
    assert [row["state"] for row in rows] == ["finished"] * 2


def test_a_search_that_was_killed_loses_no_trial(here: Path, folder: Path) -> None:
    process = start(words(trials=3), here, start_new_session=True)
    wait_for(lambda: len(list(folder.glob("1*/metrics.jsonl"))) == 1, process)
    process.kill()
    end(process)
    assert states(folder)[:2] == ["COMPLETE", "RUNNING"]
    before = study_in(folder).trials[1].params
    outcome = succeed(words(trials=3), here)
    assert "1 of them there already" in outcome.out
    rows = table(folder)
    assert [row["state"] for row in rows] in (["finished", "killed", "finished", "finished"], ["finished"] * 3)
    if len(rows) == 4:  # it had not ended in that moment
        assert study_in(folder).trials[2].params == before
        assert "1 killed and run anew" in outcome.out
        assert RunFolder(folder / rows[1]["run"]).state == "interrupted"


def test_resume_goes_on_with_a_search(here: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From its folder alone, to as many trials as are asked for now."""
    assert call(words("hydra.sweeper.metric=elbo", trials=2), capsys).code == 0
    outcome = call(["resume", str(folder), "hydra.sweeper.n_trials=3"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert states(folder) == ["COMPLETE"] * 3


def test_a_trial_that_ended_after_its_search_was_killed_counts(here: Path, folder: Path) -> None:
    succeed(words(trials=2), here)
    study = study_in(folder)
    running = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params={"optimizer.lr": 0.001},
        distributions={"optimizer.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)},
    )
    study.add_trial(running)
    run = RunFolder(folder / "2_lr-0.001")
    run.path.mkdir()
    run.note(state="finished", search={"value": 1.5})
    succeed(words(trials=3), here)
    assert study_in(folder).trials[2].value == 1.5
    assert len(table(folder)) == 3


def test_of_a_training_that_stopped_early_its_best_state_counts(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for seen, loss, elbo in ((10, 3.0, -3.0), (20, 2.0, -2.5), (30, 2.5, -2.0)):
        run.record({"examples": seen, "eval/loss": loss, "eval/elbo": elbo})
    last = Objective("elbo", "maximize")
    assert value_of(run, last) == -2.0
    run.note(stopped_early={"examples": 30, "best": 2.0, "best_at": 20})
    assert value_of(run, last) == -2.5
    assert value_of(run, Objective("elbo", "maximize", "best")) == -2.0
    assert math.isnan(value_of(run, Objective("bound", "maximize")))


def test_a_trial_that_falls_behind_is_pruned_and_says_so(here: Path, folder: Path) -> None:
    more = ["hydra.sweeper.startup=1", "train.eval_every=300", "optimizer.lr=choice(1e-8,1e-9)"]
    outcome = succeed([word for word in words(*more, trials=3) if word != RATE], here)
    rows = table(folder)
    assert [row["state"] for row in rows] == ["finished", "pruned", "pruned"]
    for row in rows[1:]:
        run = folder / row["run"]
        assert info(run)["state"] == "pruned"
        assert info(run)["error"] is None
        assert info(run)["search"]["pruned"]["examples"] < 2600
        assert (run / "checkpoints" / "last.pt").exists()
        assert f"trial {row['trial']} is pruned at" in outcome.out
    assert "failed" not in outcome.err


def test_a_search_that_is_asked_to_stop_says_how_it_goes_on(here: Path) -> None:
    process = start(words(name=None), here)
    wait_for(lambda: any((run / "metrics.jsonl").exists() for run in trained(here)), process)
    process.send_signal(signal.SIGINT)
    outcome = end(process)
    assert outcome.code == 130
    assert "genlab: the search goes on by: " in outcome.err
    (sweep,) = (here / "outputs" / "train" / "sweep").iterdir()
    assert f"hydra.sweep.dir={sweep.relative_to(here)}" in outcome.err


def test_a_measure_of_samples_is_taken_of_the_validation_split(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(words("hydra.sweeper.metric=kid", trials=1, name=None), capsys)
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = trained(here)
    assert math.isfinite(info(run)["search"]["value"])
    assert "search of 1 trials for the lowest kid of the validation split" in outcome.out
    assert "  test split   kid: best " in outcome.out


def test_trials_that_all_fail_end_the_search(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(
        words(
            "hydra.sweeper.default_first=false", "optimizer=sgd", "optimizer.lr=interval(1e8,1e9)", trials=9, name=None
        ),
        capsys,
    )
    assert outcome.code == 2
    assert "the first" in outcome.err.splitlines()[-1]
    assert len(trained(here)) < 9


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["hydra.sweeper.metric=elb"], "hydra.sweeper.metric=elb: did you mean 'elbo'?"),
        (["hydra.sweeper.metric=kl"], "set hydra.sweeper.direction=minimize, or maximize"),
        (["hydra.sweeper.metric=test/elbo"], "cannot be tested on it any more"),
        (["hydra.sweeper.metric=kid", "hydra.sweeper.at=best"], "set hydra.sweeper.at=end"),
        (["hydra.sweeper.direction=up"], "hydra.sweeper.direction=up"),
        (["hydra.sweeper.sampler=tp"], "did you mean 'tpe'?"),
        (["hydra.sweeper.pruner=medium"], "did you mean 'median'?"),
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: should be a whole number, 1 or more"),
        (["hydra.sweeper.study_name=../x"], "study_name=../x: a name is of letters"),
        (["dataset.validation=0"], "has no validation split to choose by"),
        (["model.beta=interval(-1,1)"], "model.beta=-1: should be greater than or equal to 0"),
        (["seed=0,1"], "a seed is no choice"),
    ],
)
def test_a_mistake_is_found_before_the_first_trial(
    more: list[str], told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(call(words(*more), capsys), told)
    assert not any(path.is_file() for path in here.rglob("*"))
