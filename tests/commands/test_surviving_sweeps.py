"""A sweep that is started again goes on: done jobs are skipped, interrupted ones resumed, failed ones run; each exactly once."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.backend_context import Context as BackendContext

from genlab.commands.resume_sweep import kept_words
from genlab.commands.sweep_overview import Overview
from genlab.composition.job_identity import job_identity
from genlab.errors import GenlabError
from genlab.tracking.hparams_columns import NAME, lay_aside
from genlab.tracking.run_folder import KILLED, RunFolder
from genlab.tracking.sweep_folder import SweepFolder
from tests.helpers.processes import (
    CLOCK,
    Outcome,
    assert_refused,
    call,
    end,
    files,
    info,
    records,
    start,
    strict_json,
    trained,
    wait_for,
)

SMALL = ["train.examples=200", "model.hidden=[8]"]
SEEDS = ["train", "-m", "seed=0,1", *SMALL]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GENLAB_DATA", raising=False)
    return tmp_path


@pytest.fixture
def genlab(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """`genlab WORDS` in this process, in an empty folder; it should end with `code`."""

    def run(*words: str, code: int = 0) -> Outcome:
        outcome = call(list(words), capsys)
        assert outcome.code == code, outcome.err
        assert "Traceback" not in outcome.err
        return outcome

    return run


def sweeps(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("outputs/train/sweep/*/sweep.json"))


def listed(sweep: Path) -> list[dict[str, Any]]:
    """The jobs in sweep.json."""
    content = strict_json((sweep / "sweep.json").read_text())
    jobs = content["jobs"]
    assert isinstance(jobs, list)
    assert content["counts"] == {state: sum(job["state"] == state for job in jobs) for state in content["counts"]}
    return jobs


def states(sweep: Path) -> list[str]:
    return [job["state"] for job in listed(sweep)]


# A process that is killed


def killed_and_started_again(
    words: list[str], jobs: int, done: int, folder: Path, patch: pytest.MonkeyPatch, genlab: Callable[..., Outcome]
) -> None:
    """A sweep killed by SIGKILL in the job after the first `done`, and started again, is as if nothing had happened."""
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    for place in (undisturbed, disturbed):
        place.mkdir()
    patch.chdir(undisturbed)
    genlab(*words)
    process = start(words, disturbed)
    wait_for(lambda: bool(list(disturbed.glob(f"outputs/train/sweep/*/{done}_*/checkpoints/last.pt"))), process)
    process.send_signal(signal.SIGKILL)
    end(process)
    (sweep,) = sweeps(disturbed)
    before = {run.name: files(run) for run in trained(disturbed) if info(run)["state"] == "finished"}
    assert len(before) == done
    patch.chdir(disturbed)
    outcome = genlab(*words)
    assert f"{done} of {jobs} jobs are done, 1 is resumed" in outcome.out
    assert "going on at" in outcome.out
    assert sweeps(disturbed) == [sweep]
    runs = {run.name: run for run in trained(disturbed)}
    expected = {run.name: run for run in trained(undisturbed)}
    assert runs.keys() == expected.keys()
    assert len(runs) == jobs
    for name, run in runs.items():
        assert records(run, CLOCK) == records(expected[name], CLOCK)
        assert info(run)["results"] == info(expected[name])["results"]
        assert info(run)["identity"] == info(expected[name])["identity"]
        if name in before:
            assert files(run) == before[name]  # not touched
    assert states(sweep) == ["finished"] * jobs
    told = ("number", "overrides", "identity", "results", "validation_loss")
    (other,) = sweeps(undisturbed)
    assert [[job[key] for key in told] for job in listed(sweep)] == [
        [job[key] for key in told] for job in listed(other)
    ]


def test_a_killed_sweep_that_is_started_again_is_as_undisturbed(
    here: Path, monkeypatch: pytest.MonkeyPatch, genlab: Callable[..., Outcome]
) -> None:
    words = ["train", "-m", "seed=0,1", "model.latent_dim=2,3", "train.examples=2000", "train.checkpoint_every=500"]
    killed_and_started_again([*words, "model.hidden=[8]"], 4, 2, here, monkeypatch, genlab)


@pytest.mark.slow
def test_a_sweep_of_twelve_jobs_killed_halfway_is_as_undisturbed(
    here: Path, monkeypatch: pytest.MonkeyPatch, genlab: Callable[..., Outcome]
) -> None:
    words = ["train", "-m", "seed=0,1", "model.latent_dim=2,3", "optimizer.lr=1e-3,3e-3,1e-2", "train.examples=20000"]
    words += ["train.checkpoint_every=1000", "model.hidden=[8]"]
    killed_and_started_again(words, 12, 6, here, monkeypatch, genlab)


def test_a_job_killed_before_its_first_checkpoint_starts_in_its_own_folder(
    here: Path, genlab: Callable[..., Outcome]
) -> None:
    genlab(*SEEDS)
    (sweep,) = sweeps(here)
    first, second = trained(here)
    expected = records(second, CLOCK)
    for left in [*second.glob("checkpoints/*"), *second.glob("tensorboard/*"), second / "metrics.jsonl"]:
        left.unlink()
    RunFolder(second).note(state="running", results={})  # by a process that is no more
    shutil.rmtree(first)
    first.mkdir()  # killed before it was a run
    (first / "config.yaml.partial").write_text("seed:")
    outcome = genlab(*SEEDS)
    assert "0 of 2 jobs are done, 1 is resumed, 1 is still to run" in outcome.out
    assert trained(here) == [first, second]
    assert records(second, CLOCK) == expected
    assert states(sweep) == ["finished"] * 2


# Started again


def test_a_sweep_that_is_done_is_left_alone_and_anew_starts_another(here: Path, genlab: Callable[..., Outcome]) -> None:
    genlab(*SEEDS)
    (sweep,) = sweeps(here)
    before = {run: files(run) for run in trained(here)}
    again = genlab("train", "seed=range(0,2)", "model=vae", "-m", *SMALL)  # the same jobs in other words
    assert (
        f"all 2 jobs of this sweep are done, in {sweep.relative_to(here)}; a new one is started by --anew" in again.out
    )
    assert again.out.count("finished") == 2  # the table
    assert {run: files(run) for run in trained(here)} == before
    genlab(*SEEDS, "--anew")
    assert len(sweeps(here)) == 2
    assert len(trained(here)) == 4


@pytest.mark.slow
def test_other_seeds_or_other_values_are_another_sweep(here: Path, genlab: Callable[..., Outcome]) -> None:
    genlab(*SEEDS)
    for words in (["seed=1,2", *SMALL], ["seed=0,1,2", *SMALL], ["seed=0,1", "train.examples=128", "model.hidden=[8]"]):
        outcome = genlab("train", "-m", *words)
        assert "goes on" not in outcome.out
    assert len(sweeps(here)) == 4


def test_a_job_that_failed_is_run_again_and_its_reason_is_listed(here: Path, genlab: Callable[..., Outcome]) -> None:
    words = [
        "train",
        "-m",
        "dataset=array",
        "dataset.path=points.npy",
        "seed=0,1",
        "model=vae",
        *SMALL,
        "dataset.test=20",
    ]
    first = genlab(*words, code=1)
    assert "points.npy" in first.out
    (sweep,) = sweeps(here)
    assert states(sweep) == ["failed", "failed"]
    assert all("points.npy" in job["error"] for job in listed(sweep))
    np.save(here / "points.npy", np.random.default_rng(0).normal(size=(60, 2)))
    second = genlab(*words)
    assert "0 of 2 jobs are done, 2 are run again after a failure" in second.out
    assert states(sweep) == ["finished", "finished"]
    assert [job["error"] for job in listed(sweep)] == [None, None]
    assert sweeps(here) == [sweep]


def test_what_a_failed_training_had_saved_goes_to_the_trash(here: Path, genlab: Callable[..., Outcome]) -> None:
    genlab(*SEEDS)
    first, second = trained(here)
    RunFolder(first).note(state="failed", error="a fault in the machine")
    RunFolder(second).note(state="failed", error="a full disk", resumable=True)
    kept = records(first)
    outcome = genlab(*SEEDS)
    assert "2 are run again after a failure" in outcome.out
    (removed,) = (here / "outputs" / ".trash").iterdir()
    assert records(removed / "content") == kept
    assert [info(run)["state"] for run in (first, second)] == ["finished", "finished"]


def test_a_job_that_another_process_trains_is_left_to_it(here: Path, genlab: Callable[..., Outcome]) -> None:
    genlab(*SEEDS)
    first, second = trained(here)
    RunFolder(first).note(state="running", ended=None)
    RunFolder(second).note(state="interrupted")
    with FileLock(first / ".lock"):
        before = files(first)
        outcome = genlab(*SEEDS)
        assert "0 of 2 jobs are done, 1 is being trained by another process, 1 is resumed" in outcome.out
        assert "job 0 is being trained by another process" in outcome.out
        assert files(first) == before
    assert info(second)["state"] == "finished"


def test_a_named_folder_takes_more_jobs_and_no_other_configuration(
    here: Path, genlab: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]
) -> None:
    genlab(*SEEDS, "hydra.sweep.dir=mine")
    before = {run: files(run) for run in trained(here)}
    outcome = genlab("train", "-m", "seed=2,1,0", *SMALL, "hydra.sweep.dir=mine")
    assert "2 of 3 jobs are done, 1 is still to run" in outcome.out
    assert [(job["number"], job["overrides"][0]) for job in listed(here / "mine")] == [
        (0, "seed=0"),
        (1, "seed=1"),
        (2, "seed=2"),
    ]
    assert {run: files(run) for run in before} == before
    assert len(trained(here)) == 3
    assert_refused(call([*SEEDS, "hydra.sweep.dir=mine", "--anew"], capsys), "mine holds jobs already")
    for run in before:
        RunFolder(run).note(identity="0123456789abcdef")
    assert_refused(call([*SEEDS, "hydra.sweep.dir=mine"], capsys), "trained with another configuration")
    assert len(trained(here)) == 3


@pytest.mark.slow
def test_data_of_the_same_name_are_two_jobs(here: Path, genlab: Callable[..., Outcome]) -> None:
    for k, folder in enumerate(("a", "b")):
        (here / folder).mkdir()
        np.save(here / folder / "points.npy", np.random.default_rng(k).normal(size=(60, 2)))
    words = ["train", "-m", "dataset=array", "dataset.path=a/points.npy,b/points.npy", *SMALL, "dataset.test=20"]
    genlab(*words)
    results = [job["results"] for job in listed(sweeps(here)[0])]
    assert len(results) == 2
    assert results[0] != results[1]
    assert "all 2 jobs of this sweep are done" in genlab(*words).out


@pytest.mark.slow
def test_an_experiment_that_sweeps_goes_on_too(here: Path, genlab: Callable[..., Outcome]) -> None:
    own = here / "conf" / "experiment"
    own.mkdir(parents=True)
    (own / "ours.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 0,1\n"
    )
    (own / "both.yaml").write_text(
        "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      experiment: wide,narrow\n"
    )
    for name, width in (("wide", 16), ("narrow", 8)):
        (own / f"{name}.yaml").write_text(f"# @package _global_\nmodel:\n  hidden: [{width}]\n")
    for experiment in ("ours", "both"):
        words = ["train", f"experiment={experiment}", "train.examples=200", "--config-dir", "conf"]
        genlab(*words)
        sweep = sweeps(here)[-1]
        shutil.rmtree(sweep / listed(sweep)[1]["folder"])
        assert "1 of 2 jobs are done, 1 is still to run" in genlab(*words).out
        shutil.rmtree(sweep / listed(sweep)[0]["folder"])
        assert "1 of 2 jobs are done, 1 is still to run" in genlab("resume", str(sweep), "--config-dir", "conf").out
        assert states(sweep) == ["finished"] * 2
    assert len(sweeps(here)) == 2


# genlab resume SWEEP


def test_resume_takes_a_sweep(here: Path, genlab: Callable[..., Outcome], capsys: pytest.CaptureFixture[str]) -> None:
    genlab(*SEEDS)
    (sweep,) = sweeps(here)
    first, second = trained(here)
    shutil.rmtree(second)
    (sweep / "sweep.json").unlink()  # as of a sweep of before there was one
    RunFolder(first).note(identity=None)
    assert "1 of 2 jobs are done, 1 is still to run" in genlab("resume", str(sweep)).out
    assert trained(here) == [first, second]
    assert "all 2 jobs of this sweep are done" in genlab("resume", sweep.name).out
    assert_refused(call(["resume", str(sweep), "seed=3"], capsys), "seed=3: a sweep goes on with its own jobs")
    assert len(trained(here)) == 2


@pytest.mark.parametrize(
    ("task", "hydra"),
    [
        (["seed=0,1"], ["hydra.callbacks.x._target_=os.system"]),
        (["seed=0,1"], ["hydra.launcher.setup=[evil]"]),
        (["model._target_=os.system"], []),
        (["seed=0,1", "--config-dir=evil"], []),
        (["+dataset@hydra.callbacks.x=mnist"], []),
    ],
)
def test_a_folder_of_somebody_elses_starts_nothing(task: list[str], hydra: list[str], tmp_path: Path) -> None:
    content = {"hydra": {"overrides": {"task": task, "hydra": hydra}, "job": {"name": "train"}}}
    (tmp_path / "multirun.yaml").write_text(json.dumps(content))
    with pytest.raises(GenlabError, match="which is not taken from a folder"):
        kept_words(tmp_path, [])


def test_a_launcher_and_its_numbers_are_kept(tmp_path: Path) -> None:
    own = ["hydra.sweep.dir='x'", "hydra.mode=MULTIRUN", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    content = {"hydra": {"overrides": {"task": ["seed=0,1"], "hydra": own}, "job": {"name": "train"}}}
    (tmp_path / "multirun.yaml").write_text(json.dumps(content))
    assert kept_words(tmp_path, []) == ["seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert kept_words(tmp_path, ["hydra.launcher.n_jobs=4"]) == ["seed=0,1", "hydra/launcher=joblib"]


# What a job is


def test_the_identity_of_a_job_is_its_configuration_without_paths() -> None:
    config: dict[str, Any] = {
        "seed": 0,
        "name": None,
        "model": {"beta": 1.0},
        "dataset": {"root": "/a", "path": "x/p.npy"},
    }
    one = job_identity(config)
    assert one == job_identity({**config, "name": "wide", "tag": ["x"], "dataset": {"root": None, "path": "/y/p.npy"}})
    assert one == job_identity(dict(reversed(config.items())))
    others: list[dict[str, Any]] = [
        {"seed": 1},
        {"model": {"beta": 2.0}},
        {"dataset": {"root": "/a", "path": "x/q.npy"}},
        {"init": "a"},
    ]
    assert len({one, *(job_identity({**config, **other}) for other in others)}) == 5


@pytest.mark.slow
def test_a_start_from_the_latest_run_is_another_job_once_that_is_another_run(
    here: Path, genlab: Callable[..., Outcome]
) -> None:
    words = ["train", "-m", "init=latest", "seed=0,1", *SMALL]
    genlab("train", *SMALL)
    genlab(*words)
    assert "all 2 jobs of this sweep are done" in genlab(*words).out
    genlab("train", "seed=5", *SMALL)
    assert "are done" not in genlab(*words).out
    assert len(sweeps(here)) == 2


# What is shown


def entry(number: int, state: str, **facts: Any) -> dict[str, Any]:
    folder, overrides = f"{number}_k-{number}", [f"model.k={number}"]
    return {
        "number": number,
        "folder": folder,
        "overrides": overrides,
        "identity": str(number),
        "state": state,
        **facts,
    }


def write_run(sweep: Path, number: int, **facts: Any) -> None:
    folder = sweep / f"{number}_k-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"overrides": [f"model.k={number}"], **facts}))


def test_the_overview_counts_names_the_best_and_says_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = SweepFolder(tmp_path)
    sweep.begin("train", ["model.k=0,1,2,3"], [entry(k, "waiting") for k in range(4)])
    overview = Overview(sweep, 4, in_this_process=True)
    overview.start()
    overview.look()
    assert capsys.readouterr().out == ""
    for k, loss in enumerate((3.0, 2.5)):
        write_run(tmp_path, k, state="finished", ended=str(k), validation_loss=loss, cost={"seconds": 2.0})
        sweep.refresh_job(tmp_path / f"{k}_k-{k}")
        overview.look()
    write_run(tmp_path, 2, state="failed", error="diverged", ended="2")
    sweep.refresh_job(tmp_path / "2_k-2")
    overview.look()
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "sweep: 1 of 4 jobs done",
        "sweep: 2 of 4 jobs done",
        "sweep: 2 of 4 jobs done, 1 failed",
    ]
    assert "best so far: validation loss 2.5 (k=1)" in lines[-1]
    assert lines[-1].endswith(" left")
    overview.under_way = True
    assert "1 running, 1 failed" in str(overview.row(100))
    for width in (20, 40, 80, 120):
        assert len(overview.row(width)) <= width
    overview.stop()
    content = sweep.read()
    assert (content["measure"], content["best"]) == ("validation loss", 1)


@pytest.mark.parametrize("key", ["model", "experiment", "model.beta", "dataset.binarize"])
def test_different_losses_are_not_compared(key: str, tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path)
    jobs = [{**entry(k, "waiting"), "overrides": [f"{key}={value}"]} for k, value in enumerate("ab")]
    sweep.begin("train", [], jobs)
    for k in range(2):
        write_run(tmp_path, k, state="finished", validation_loss=1.0 + k)
    assert sweep.refresh()["best"] is None


def test_a_killed_job_is_listed_with_its_reason(here: Path, genlab: Callable[..., Outcome]) -> None:
    genlab(*SEEDS)
    first, _ = trained(here)
    RunFolder(first).note(state="running")
    (sweep,) = sweeps(here)
    job = SweepFolder(sweep).refresh()["jobs"][0]
    assert (job["state"], job["error"]) == ("interrupted", KILLED)


def table(folder: Path) -> tuple[list[str], list[str]]:
    """Columns of TensorBoard's table: hyperparameters and measures."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(folder))
    runs.Reload()
    backend = BackendContext(TBContext(data_provider=MultiplexerDataProvider(runs, str(folder))))
    found = backend.hparams_metadata(RequestContext(), "")
    experiment = backend.experiment_from_metadata(RequestContext(), "", True, found, [])
    return [info.name for info in experiment.hparam_infos], [info.name.tag for info in experiment.metric_infos]


def test_tensorboards_table_has_the_swept_keys_and_the_final_measures(
    here: Path, genlab: Callable[..., Outcome]
) -> None:
    genlab("train", "-m", "seed=0,1", "optimizer.clip=null,1", *SMALL)
    (sweep,) = sweeps(here)
    keys, measures = table(sweep)
    assert sorted(keys) == ["optimizer.clip", "seed"]
    assert "test/loss" in measures
    assert all(measure.startswith("test/") for measure in measures)
    lay_aside(here / "outputs")
    assert not (sweep / NAME).exists()
    keys, measures = table(here / "outputs")
    assert "model.latent_dim" in keys


def test_sweeps_of_other_commands_are_listed_and_start_anew(here: Path, genlab: Callable[..., Outcome]) -> None:
    genlab(*SEEDS)
    runs = ",".join(str(run.relative_to(here)) for run in trained(here))
    for _ in range(2):
        outcome = genlab("sample", "-m", f"run={runs}", "n=4")
        assert "goes on" not in outcome.out
    found = sorted(here.glob("outputs/sample/sweep/*/sweep.json"))
    assert len(found) == 2
    for path in found:
        assert strict_json(path.read_text())["counts"] == {"finished": 2}
