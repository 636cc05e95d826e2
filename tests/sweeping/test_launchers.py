"""Hydra's launchers: ready settings, threads divided between jobs, one line where a package is missing."""

import dataclasses
import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from genlab.composition.catalogue import names
from genlab.sweeping import launchers
from genlab.sweeping.launchers import NEEDS, SWEEPER, jobs_at_once, threads_of_a_job, with_share_of_threads
from tests.helpers.processes import REPOSITORY, assert_refused, call, environment, info, succeed, trained

SMALL = ["seed=0,1", "train.examples=300", "model.hidden=[16]"]


def settings(group: str, name: str) -> dict[str, Any]:
    found = yaml.safe_load((REPOSITORY / "conf" / group / f"{name}.yaml").read_text())
    assert isinstance(found, dict)
    return found


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launchers, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(("n_jobs", "at_once", "threads"), [(-1, 8, 1), (4, 4, 2), (3, 3, 2), (16, 16, 1), (-2, 7, 1)])
def test_joblib_divides_the_cores_between_its_jobs(n_jobs: int, at_once: int, threads: int) -> None:
    joblib = {**settings("launcher", "joblib"), "n_jobs": n_jobs}
    assert (jobs_at_once(joblib), threads_of_a_job(joblib)) == (at_once, threads)


@pytest.mark.usefixtures("eight_cores")
def test_others_say_themselves_what_a_job_takes() -> None:
    local, slurm, ray = (settings("launcher", name) for name in ("submitit_local", "submitit_slurm", "ray"))
    assert (jobs_at_once(local), threads_of_a_job(local)) == (8, 1)
    assert (jobs_at_once(slurm), threads_of_a_job(slurm)) == (32, 4)
    assert threads_of_a_job({**slurm, "cpus_per_task": None}) is None
    ray["ray"]["remote"]["num_cpus"] = 2
    assert (jobs_at_once(ray), threads_of_a_job(ray)) == (4, 2)
    basic = {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}
    assert (jobs_at_once(basic), threads_of_a_job(basic)) == (1, None)


@pytest.mark.usefixtures("eight_cores")
def test_what_the_user_says_of_threads_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    joblib = {**settings("launcher", "joblib"), "n_jobs": 2}
    assert with_share_of_threads({"device": {"threads": None}}, joblib) == {"device": {"threads": 4}}
    assert with_share_of_threads({"device": {"threads": 7}}, joblib) == {"device": {"threads": 7}}
    assert with_share_of_threads({"device": {}}, joblib) == {"device": {}}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of_a_job(joblib) == 3


@pytest.mark.parametrize(
    ("group", "name"), [("launcher", name) for name in names("launcher")] + [("sweeper", "optuna")]
)
def test_a_missing_package_is_named_with_its_extra(
    group: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launchers, "_is_there", lambda module: False)
    outcome = call(["train", "-m", f"hydra/{group}={name}", *SMALL], capsys)
    extra = {"ray": "ray", "optuna": "optuna"}.get(name, "launchers")
    assert_refused(outcome, f"hydra/{group}={name}: ", "is not installed", f"pip install 'genlab[{extra}]'")
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_sweep_that_is_resumed_knows_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launchers, "_is_there", lambda module: False)
    kept = {"overrides": {"task": ["model=ae", *SMALL], "hydra": ["hydra/sweeper=optuna"]}, "job": {"name": "train"}}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": kept}))
    assert_refused(call(["resume", str(tmp_path)], capsys), "hydra/sweeper=optuna: ", "pip install 'genlab[optuna]'")


@pytest.mark.parametrize(
    ("group", "value", "sweep"),
    [("sweeper", "true", ["-m"]), ("sweeper", "null", ["-m"]), ("launcher", "7", ["-m"]), ("launcher", "null", [])],
)
def test_a_value_in_the_place_of_a_section_is_refused(
    group: str,
    value: str,
    sweep: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call(["train", *sweep, "model=ae", f"hydra.{group}={value}"], capsys)
    assert_refused(outcome, f"hydra.{group}={value}: {value} is no section; choose a {group}, as hydra/{group}=basic")


def test_every_ready_file_belongs_to_an_extra() -> None:
    for group in ("launcher", "sweeper"):
        for name in names(group):
            assert any(settings(group, name)["_target_"].startswith(beginning) for beginning in NEEDS)
    assert settings("sweeper", "optuna")["_target_"] == SWEEPER


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("submitit_local", "hydra_plugins.hydra_submitit_launcher.config:LocalQueueConf"),
        ("submitit_slurm", "hydra_plugins.hydra_submitit_launcher.config:SlurmQueueConf"),
        ("joblib", "hydra_plugins.hydra_joblib_launcher.config:JobLibLauncherConf"),
    ],
)
def test_a_ready_file_has_the_keys_of_its_plugin(name: str, place: str) -> None:
    module, _, config = place.partition(":")
    pytest.importorskip(module.rpartition(".")[0])
    known = {field.name for field in dataclasses.fields(getattr(importlib.import_module(module), config))}
    own = settings("launcher", name).keys()
    assert own <= known
    assert name == "joblib" or own == known


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "package", "words"),
    [
        ("joblib", "hydra_joblib_launcher", ["hydra.launcher.n_jobs=2"]),
        ("submitit_local", "hydra_submitit_launcher", []),
        ("ray", "hydra_ray_launcher", ["hydra.launcher.ray.init.num_cpus=2"]),
    ],
)
def test_a_sweep_with_each_launcher(name: str, package: str, words: list[str], tmp_path: Path) -> None:
    pytest.importorskip(f"hydra_plugins.{package}")
    outcome = succeed(["train", "-m", f"hydra/launcher={name}", *words, *SMALL], tmp_path)
    assert "sweep of 2 jobs" in outcome.out
    runs = trained(tmp_path)
    assert [(info(run)["state"], info(run)["device"]["threads"]) for run in runs] == [("finished", 1)] * 2
    assert "Traceback" not in outcome.err
    assert "deprecated" not in outcome.err


SBATCH = """#!/bin/sh
cp "$1" "$FAKE_SLURM/submitted.sh"
echo "Submitted batch job 42"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
( for task in $(seq 0 "$last"); do
    SLURM_JOB_ID=$((43 + task)) SLURM_ARRAY_JOB_ID=42 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_PROCID=0 \\
    SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=here sh "$FAKE_SLURM/submitted.sh"
    echo "42_$task|COMPLETED|here" >> "$FAKE_SLURM/states"
  done ) > /dev/null 2>&1 &
"""
SRUN = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do case "$1" in --output|--error) shift 2;; *) shift;; esac; done
exec "$@"
"""
SACCT = """#!/bin/sh
echo "JobID|State|NodeList"
if [ -f "$FAKE_SLURM/states" ]; then cat "$FAKE_SLURM/states"; fi
"""


@pytest.mark.slow
def test_what_slurm_is_asked_for(tmp_path: Path) -> None:
    """Three small programs in the place of Slurm take the array job and run its tasks."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    slurm, here = tmp_path / "slurm", tmp_path / "here"
    slurm.mkdir()
    here.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN), ("sacct", SACCT)):
        (slurm / name).write_text(text)
        (slurm / name).chmod(0o755)
    env = environment(PATH=f"{slurm}{os.pathsep}{os.environ['PATH']}", FAKE_SLURM=str(slurm))
    words = ["hydra.launcher.partition=gpu", "hydra.launcher.setup=[module load cuda]", "hydra.launcher.timeout_min=90"]
    succeed(["train", "-m", "hydra/launcher=submitit_slurm", *words, *SMALL], here, env=env)
    text = (slurm / "submitted.sh").read_text()
    for line in ("array=0-1%2", "cpus-per-task=4", "gpus-per-node=1", "mem=16GB", "partition=gpu", "time=90"):
        assert f"#SBATCH --{line}\n" in text
    assert "\nmodule load cuda\n" in text
    assert [info(run)["state"] for run in trained(here)] == ["finished"] * 2
    assert json.loads((trained(here)[0] / "run.json").read_text())["device"]["threads"] == 1  # OMP_NUM_THREADS
