"""Sweeps: every combination, the table at the end, jobs that fail, mistakes that are found before the first."""

import signal
from pathlib import Path

import pytest
import yaml

from genlab.metrics.rounding import plain, rounded
from genlab.tracking.hparams_columns import NAME
from genlab.tracking.next_steps import to_type
from tests.helpers.processes import (
    assert_refused,
    call,
    end,
    info,
    one_job_fails,
    start,
    trained,
    wait_for,
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path


def test_a_sweep_trains_every_combination_and_ends_with_a_table(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model.latent_dim=2,3", "seed=0,1", "train.examples=300", "model.hidden=[16]"]
    outcome = call(["train", "-m", *words], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    runs = trained(here)
    assert len(runs) == 4
    (sweep,) = {run.parent for run in runs}
    assert sweep.parent == here / "outputs" / "train" / "sweep"
    seen = set()
    for run in runs:
        config = yaml.safe_load((run / "config.yaml").read_text())
        dim, seed = config["model"]["latent_dim"], config["seed"]
        assert f"latent_dim-{dim}" in run.name
        assert f"seed-{seed}" in run.name
        assert run.name[0].isdigit()
        seen.add((dim, seed))
        loss = info(run)["results"]["test/loss"]
        assert plain(rounded(loss["value"], loss["stderr"])) in outcome.out  # the table
    assert seen == {(2, 0), (2, 1), (3, 0), (3, 1)}
    table = outcome.out[outcome.out.rindex("sweep of 4 jobs") :]
    assert table.count("finished") == 4
    assert [path.name for path in sweep.glob("events*")] == [NAME]  # the columns of TensorBoard's table


def test_a_job_that_is_refused_does_not_hold_up_the_others(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=ae", "model.output=identity,sigmoid", "model.loss=bce", "train.examples=300", "model.hidden=[16]"]
    outcome = one_job_fails(["train", *words, "-m"], capsys)  # the flag after the overrides
    runs = trained(here)
    states = {run.name: info(run)["state"] for run in runs}
    assert sorted(states.values()) == ["failed", "finished"]
    table = outcome.out[outcome.out.rindex("sweep of 2 jobs") :]
    assert "finished" in table
    assert "failed" in table
    assert "model.loss=bce needs probabilities and model.output=identity gives none" in table
    failed = next(run for run in runs if info(run)["state"] == "failed")
    assert "output-identity" in failed.name
    assert "model.loss=bce" in info(failed)["error"]


def test_jobs_that_diverge_are_all_reported(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimizer=sgd", "train.batch_size=100,50", "optimizer.lr=0.01,1e9", "train.examples=600"]
    outcome = one_job_fails(["train", "-m", *words, "model.hidden=[16]"], capsys)
    assert sorted(info(run)["state"] for run in trained(here)) == ["failed"] * 2 + ["finished"] * 2
    table = outcome.out[outcome.out.rindex("sweep of 4 jobs") :]
    assert table.count("set optimizer.lr=0.002 (is 1e+09) or optimizer.clip=1 (is null)") == 2
    assert "optimizer.lr" in table


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.batch_size=100,0"], "train.batch_size=0: should be greater than 0"),
        (["seed=range(0,2)", "optimizer.lr=1e-3,-1"], "optimizer.lr=-1: should be greater than 0"),
        (["model=gan,vae", "model.critic_steps=2"], "model.critic_steps is not a key of model=vae"),
        (["model=gan,ganx"], "model=ganx: there is no such model; did you mean 'model=gan'?"),
    ],
)
def test_a_mistake_in_a_sweep_is_found_before_its_first_job(
    words: list[str], told: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(["train", "-m", *words, "train.examples=600"], capsys)
    assert_refused(outcome, told)
    assert not any(path.is_file() for path in here.rglob("*"))


@pytest.mark.slow
def test_a_sweep_over_families_takes_keys_that_all_of_them_have(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=gan,wgan", "model.critic_steps=2", "model.hidden=[8]", "dataset=toy2d", "train.examples=300"]
    outcome = call(["train", *words, "-m"], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    configs = [yaml.safe_load((run / "config.yaml").read_text())["model"] for run in trained(here)]
    assert [(one["critic_steps"], one["hidden"]) for one in configs] == [(2, [8])] * 2
    table = outcome.out[outcome.out.rindex("sweep of 2 jobs") :]
    assert "test/value" in table
    assert "test/wasserstein" in table


def test_a_sweep_over_values_of_several_types(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimizer.clip=null,1,0.5", "train.examples=200", "model.hidden=[8]"]
    outcome = call(["train", "-m", *words], capsys)
    assert (outcome.code, outcome.err) == (0, "")
    assert [info(run)["state"] for run in trained(here)] == ["finished"] * 3
    assert "sweep of 3 jobs" in outcome.out


def test_a_sweep_that_is_asked_to_stop_ends_as_a_whole(here: Path) -> None:
    words = ["seed=0,1,2", "train.examples=900000", "model.hidden=[16]", "train.log_every=1000"]
    process = start(["train", "-m", *words], here)
    wait_for(lambda: any((run / "metrics.jsonl").exists() for run in trained(here)), process)
    process.send_signal(signal.SIGINT)
    outcome = end(process)
    assert outcome.code == 130
    assert "Traceback" not in outcome.err
    (run,) = trained(here)
    assert info(run)["state"] == "interrupted"
    assert f"genlab resume {run.relative_to(here)}" in outcome.err
    assert (
        f"the sweep goes on by the same command, or by: {to_type('resume', run.parent.relative_to(here))}"
        in outcome.err
    )
