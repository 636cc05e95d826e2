"""One training in several processes, as people start, stop, kill and resume it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from genlab.training import checkpoint
from tests.helpers.processes import (
    CLOCK,
    assert_refused,
    call,
    end,
    environment,
    info,
    records,
    same,
    start,
    succeed,
    wait_for,
)
from tests.helpers.support import BRISK, MODELS

SMALL = ["train", "model.hidden=[32]", "train.batch_size=96", "train.log_every=960", "train.checkpoint_every=1920"]
RUN = [*SMALL, "train.examples=11520"]
LONG = [*SMALL, "train.examples=2000000", "device.processes=2"]
MOST = 30.0
"""Seconds after which a run has ended of which a process died."""


def workers(run: Path) -> dict[int, int]:
    """Rank -> process id of the processes that train in the folder of `run`."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"genlab.interface.taking_part" not in words or (process / "cwd").resolve() != run.parent.resolve():
                continue
            variables = dict(item.partition(b"=")[::2] for item in (process / "environ").read_bytes().split(b"\0"))
            found[int(variables[b"RANK"])] = int(process.name)
        except (OSError, KeyError):
            continue
    return found


def gone(run: Path) -> bool:
    deadline = time.monotonic() + 20
    while workers(run):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    succeed([*RUN, "device.processes=2", "hydra.run.dir=run"], folder)
    return folder / "run"


def test_a_run_in_two_processes_is_one_run(undisturbed: Path) -> None:
    assert sorted(path.name for path in undisturbed.parent.iterdir()) == ["run"]
    assert info(undisturbed)["state"] == "finished"
    examples = [record["examples"] for record in records(undisturbed)]
    assert examples == sorted(examples), "one process writes the records"
    assert examples[-2:] == [11520, 11520], "the last update, and the evaluation at the end"
    assert len(set(examples)) == len(examples) - 1
    assert gone(undisturbed)


def test_a_run_of_no_update_ends_in_all_processes(tmp_path: Path) -> None:
    """Five batches for the critic and one for the generator are more than there are examples."""
    few = ["train.batch_size=8", "train.examples=24", "dataset.test=20", "hydra.run.dir=run"]
    succeed(
        ["train", "model=wgan", "model.hidden=[16]", "model.critic_hidden=[16]", *few, "device.processes=2"], tmp_path
    )
    assert info(tmp_path / "run")["state"] == "finished"


@pytest.mark.slow
def test_what_it_learns_is_what_one_process_learns(undisturbed: Path, tmp_path: Path) -> None:
    succeed([*RUN, "hydra.run.dir=run"], tmp_path)
    alone, shared = (info(run)["results"]["test/loss"] for run in (tmp_path / "run", undisturbed))
    error = (alone["stderr"] ** 2 + shared["stderr"] ** 2) ** 0.5
    assert abs(alone["value"] - shared["value"]) < 3 * error


def test_killed_at_two_it_resumes_at_two_to_the_last_bit(undisturbed: Path, tmp_path: Path) -> None:
    run, temporary = tmp_path / "run", tmp_path / "temporary"
    temporary.mkdir()
    env = environment(TMPDIR=str(temporary))
    process = start([*RUN, "device.processes=2", "hydra.run.dir=run"], tmp_path, env)
    wait_for(lambda: (run / "checkpoints" / "last.pt").exists(), process)
    os.kill(process.pid, signal.SIGKILL)
    end(process)
    assert gone(run), "processes end with the one that started them"
    succeed(["resume", "run"], tmp_path, env=env)
    assert [path for path in temporary.iterdir() if path.name != "torchinductor_root"] == [], (
        "no temporary files stay behind"
    )
    for name in ("last.pt", "best.pt"):
        a, b = (checkpoint.load(folder / "checkpoints" / name) for folder in (run, undisturbed))
        for key in ("model", "optimizers", "batches", "lowest", "eval"):
            assert same(a.get(key), b.get(key)), f"{name}: {key}"
    assert records(run, CLOCK) == records(undisturbed, CLOCK)


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_killed_process_ends_the_run_in_one_line(count: int, tmp_path: Path) -> None:
    """And the run goes on with one process, and with three."""
    run = tmp_path / "run"
    process = start([*LONG, "train.examples=200000", "hydra.run.dir=run"], tmp_path)
    wait_for(lambda: (run / "checkpoints" / "last.pt").exists() and len(workers(run)) == 2, process)
    began = time.monotonic()
    os.kill(workers(run)[1], signal.SIGKILL)
    outcome = end(process)
    assert time.monotonic() - began < MOST
    assert_refused(outcome, "process 1 of 2 was ended by SIGKILL", "the last checkpoint is whole", "resume")
    assert info(run)["state"] == "failed"
    assert gone(run)
    process = start(["resume", "run", f"device.processes={count}"], tmp_path)
    before = records(run)[-1]["examples"]
    wait_for(lambda: records(run)[-1]["examples"] > before + 2000, process)
    process.send_signal(signal.SIGINT)
    outcome = end(process)
    assert outcome.code == 130, outcome.err
    assert outcome.err.count("\n") == 1
    assert "all is saved" in outcome.err
    assert gone(run)
    assert info(run)["state"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name in MODELS if name != "pca"])
def test_every_family_learns_the_same_from_shared_batches(model: str, tmp_path: Path) -> None:
    """Trainings differ by their random numbers, more than one test split tells: four errors of both."""
    words = ["train", f"model={model}", *BRISK.get(model, ()), "train.examples=25600", "train.evaluation_budget=0.1"]
    for count in (1, 2):
        succeed([*words, f"device.processes={count}", f"hydra.run.dir={count}"], tmp_path)
    alone, shared = (info(tmp_path / count)["results"] for count in ("1", "2"))
    assert alone.keys() == shared.keys()
    name = next((name for name in ("test/loss", "test/d_fake", "test/energy_gap") if name in alone), next(iter(alone)))
    error = (alone[name]["stderr"] ** 2 + shared[name]["stderr"] ** 2) ** 0.5
    assert abs(alone[name]["value"] - shared[name]["value"]) < 4 * error


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_kill_one_process_at_any_moment(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)
    run = tmp_path / "run"
    process = start([*LONG, "hydra.run.dir=run"], tmp_path)
    wait_for(lambda: len(workers(run)) == 2, process)
    time.sleep(generator.uniform(0, 12))
    began = time.monotonic()
    os.kill(workers(run)[generator.randrange(2)], signal.SIGKILL)
    outcome = end(process)
    assert time.monotonic() - began < MOST
    assert_refused(outcome, "of 2")
    assert gone(run)
    if (run / "run.json").exists():
        process = start(["resume", "run"], tmp_path)
        wait_for(lambda: info(run)["state"] == "running", process)
        before = len(records(run))
        wait_for(lambda: len(records(run)) > before, process)
        process.send_signal(signal.SIGTERM)
        assert end(process).code == 143


@pytest.mark.slow
def test_a_process_that_hangs_meets_the_timeout(tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start([*LONG, "device.timeout=5", "hydra.run.dir=run"], tmp_path)
    wait_for(lambda: len(records(run)) > 1 and len(workers(run)) == 2, process)
    os.kill(workers(run)[1], signal.SIGSTOP)
    assert_refused(end(process), "device.timeout")
    assert gone(run)


@pytest.mark.slow
def test_the_first_of_torchruns_processes_leads(tmp_path: Path) -> None:
    words = [*SMALL, "train.examples=1920", "hydra.sweep.dir=sweep", "seed=0,1"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "genlab", "train", "-m"]
    done = subprocess.run([*torchrun, *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    runs = sorted(path.parent for path in (tmp_path / "sweep").glob("*/run.json"))
    assert [info(run)["state"] for run in runs] == ["finished"] * 2
    assert done.stdout.count("sweep of 2 jobs") == 1
    assert "processes: 2" in (runs[0] / "config.yaml").read_text()


@pytest.mark.slow
def test_a_sharded_model_is_the_one_that_is_not(tmp_path: Path) -> None:
    words = ["train", "model=diffusion", "model.network=mlp", "model.hidden=[64]", "train.examples=2560"]
    for name, more in (("whole", ()), ("sharded", ("device.shard=true",))):
        succeed([*words, "device.processes=2", *more, f"hydra.run.dir={name}"], tmp_path)
    whole, sharded = (checkpoint.load(tmp_path / name / "checkpoints" / "last.pt") for name in ("whole", "sharded"))
    for name, value in whole["model"].items():
        torch.testing.assert_close(sharded["model"][name], value, rtol=1e-3, atol=1e-5)
    succeed(["resume", "sharded", "device.processes=1", "device.shard=false", "train.examples=3840"], tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.batch_size=100", "device.processes=3"], ["train.batch_size=100", "device.processes=2"]),
        (["train.accumulate=3"], ["train.batch_size=128", "train.batch_size=129"]),
        (["train.accumulate=2", "model=gan"], ["train.accumulate=2", "model=gan", "move in turns"]),
        (["device.shard=true"], ["device.shard=true", "model=vae", "model=diffusion"]),
        (["device.shard=true", "model=diffusion"], ["device.shard=true", "device.processes=2"]),
        (["device.processes=0"], ["device.processes"]),
        (["device.timeout=0"], ["device.timeout"]),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["train", *words], capsys), *said)
