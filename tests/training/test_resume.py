"""A run that was asked to stop and resumed is the same run, to the last bit. Those that are killed: test_kills.py."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from filelock import FileLock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from genlab.cli import main
from genlab.tracking.run_folder import RunFolder
from genlab.training import checkpoint
from tests.helpers.processes import (
    CLOCK,
    Outcome,
    assert_refused,
    call,
    end,
    files,
    info,
    records,
    same,
    start,
    wait_for,
)

# Cadences that do not divide each other, but where evaluations and checkpoints coincide now and then, as by default.
CADENCE = ["train.log_every=2600", "train.eval_every=3000", "train.sample_every=2400", "train.checkpoint_every=4500"]
RUN = ["train", "train.batch_size=32", *CADENCE]
VAE = [*RUN, "train.examples=16000", "model.hidden=[64]", "optimizer.clip=5"]


def finish(arguments: list[str]) -> None:
    """In this process, on one thread as in all others: starting another takes longer than training."""
    torch.set_num_threads(1)
    assert main(arguments) == 0


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE on binarised digits that nobody disturbed."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    finish([*VAE, f"hydra.run.dir={run}"])
    return run


def seen(run: Path) -> int:
    found = records(run)
    return int(found[-1]["examples"]) if found else 0


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> (step, value) as TensorBoard shows them."""
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"] if tag not in CLOCK
    }


def picture_steps(run: Path) -> dict[str, list[int]]:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    return {tag: [e.step for e in events.Images(tag)] for tag in events.Tags()["images"]}


def assert_same_run(resumed: Path, undisturbed: Path) -> None:
    for name in ("last.pt", "best.pt"):
        a, b = (checkpoint.load(run / "checkpoints" / name) for run in (resumed, undisturbed))
        for key in ("model", "optimizers", "batches", "random", "lowest", "examples", "eval"):
            assert same(a.get(key), b.get(key)), f"{name}: {key}"
        assert a["model"]
    assert records(resumed, CLOCK) == records(undisturbed, CLOCK)
    assert files(resumed / "samples") == files(undisturbed / "samples")
    assert len(files(undisturbed / "samples")) > 4
    assert info(resumed)["state"] == info(undisturbed)["state"] == "finished"
    assert info(resumed)["results"] == info(undisturbed)["results"]
    assert "error" not in info(resumed) or info(resumed)["error"] is None


def assert_same_curves(resumed: Path, undisturbed: Path) -> None:
    curves = scalars(resumed)
    for points in curves.values():
        steps = [step for step, _ in points]
        assert steps == sorted(steps)
    assert curves == scalars(undisturbed)
    assert picture_steps(resumed) == picture_steps(undisturbed)


class Asked:
    """A run that was asked to stop by SIGTERM before its first record and by SIGINT later, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.run, self.copy = folder / "run", folder / "copy"
        process = start([*VAE, "hydra.run.dir=run"], folder)
        wait_for(lambda: (self.run / "samples" / "samples.png").exists(), process)
        self.terminated = self._stop(process, signal.SIGTERM)
        process = start(["resume", "run"], folder)
        wait_for(lambda: seen(self.run) >= 9500, process)
        process.send_signal(signal.SIGSTOP)  # as if it took its time
        with contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(["resume", str(self.run)])
        self.second = Outcome(code, "", err.getvalue())
        self.state_beside_second = info(self.run)["state"]
        process.send_signal(signal.SIGCONT)
        self.interrupted = self._stop(process, signal.SIGINT)
        shutil.copytree(self.run, self.copy)
        finish(["resume", str(self.run)])

    def _stop(self, process: subprocess.Popen[str], number: signal.Signals) -> tuple[Outcome, dict[str, Any], int]:
        process.send_signal(number)
        outcome = end(process)
        last = checkpoint.load(self.run / "checkpoints" / "last.pt")
        return outcome, info(self.run), int(last["batches"]["seen"])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return Asked(tmp_path_factory.mktemp("asked"))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_run_that_is_asked_to_stop_saves_first_and_says_how_to_go_on(asked: Asked, name: str, code: int) -> None:
    outcome, facts, saved = asked.terminated if name == "SIGTERM" else asked.interrupted
    assert outcome.code == code, outcome.err
    assert outcome.err.count("\n") == 1, outcome.err
    assert f"{name} at {saved:,} of 16,000" in outcome.err  # the checkpoint is of that very moment
    assert "genlab resume run" in outcome.err
    assert facts["state"] == "interrupted"
    assert name in facts["error"]


def test_a_run_that_was_asked_to_stop_twice_ends_like_one_that_was_not(asked: Asked, vae: Path) -> None:
    assert_same_run(asked.run, vae)


def test_its_curves_are_those_of_one_that_was_not(asked: Asked, vae: Path) -> None:
    assert_same_curves(asked.run, vae)


def test_its_layout_and_hyperparameters_are_there_although_it_stopped_before_the_first_record(asked: Asked) -> None:
    events = EventAccumulator(str(asked.run / "tensorboard"))
    events.Reload()
    assert {"config", "custom_scalars__config__"} <= set(events.Tags()["tensors"])
    assert "_hparams_/session_start_info" in events.summary_metadata


# What cannot be resumed, or not in this way. In this process, on copies of a run that was stopped.


def test_a_second_process_is_refused_while_the_first_trains(asked: Asked) -> None:
    assert_refused(asked.second, "another process")
    assert asked.state_beside_second == "running"


@pytest.fixture
def copy(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(asked.copy, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


@contextmanager
def untouched(run: Path) -> Iterator[None]:
    """What a run has learned and logged stays as it is, and so does what is said of it."""
    before = files(run)
    yield
    after = files(run)
    assert {k: v for k, v in after.items() if k != ".lock"} == {k: v for k, v in before.items() if k != ".lock"}


def resume(capsys: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    return call(["resume", *arguments], capsys)


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("train.batch_size=64", "train.batch_size: 32 -> 64"),
        ("model.latent_dim=3", "model.latent_dim: None -> 3"),
        ("optimizer.lr=0.5", "optimizer.lr: 0.002 -> 0.5"),
        ("+model.new=1", "model.new: None -> 1"),
    ],
)
def test_another_configuration_is_refused_with_the_difference(
    copy: Path, capsys: pytest.CaptureFixture[str], override: str, difference: str
) -> None:
    with untouched(copy):
        assert_refused(resume(capsys, "run", override), "run=run", difference)


def test_several_differences_are_all_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = resume(capsys, "run", "seed=1", "train.batch_size=32", "model.beta=2")
    assert_refused(outcome, "seed: 0 -> 1", "model.beta: 1.0 -> 2")
    assert "batch_size" not in outcome.err  # that one is as it was


def test_a_mangled_override_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with untouched(copy):
        assert_refused(resume(capsys, "run", "model.hidden=[1"), "model.hidden")


def test_another_model_or_dataset_is_refused_by_its_name(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = resume(capsys, "run", "model=ae")
    assert_refused(outcome, "ae")
    assert "_target_" not in outcome.err  # a whole section is not what the user wrote


def test_an_edited_configuration_is_refused_with_the_difference(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["model"]["beta"] = 4.0
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    before = files(copy)
    assert_refused(resume(capsys, "run"), "model.beta: 1.0 -> 4.0")
    kept = files(copy)
    assert all(kept[name] == before[name] for name in before if name not in ("run.json", ".lock"))
    config["model"]["beta"] = 1.0
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    assert info(copy)["state"] == "interrupted"  # a refusal is no failure of the run


@pytest.mark.parametrize("text", ["", "- a list\n", "model: {\n", "seed: 0\n"])
def test_a_damaged_configuration_is_refused(copy: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (copy / "config.yaml").write_text(text)
    with untouched(copy):
        assert_refused(resume(capsys, "run"))


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "foreign"])
def test_a_corrupt_checkpoint_is_named(copy: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    last = copy / "checkpoints" / "last.pt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    made = {"empty": b"", "truncated": last.read_bytes()[:5000], "flipped": bytes(content), "foreign": b"text"}
    last.write_bytes(made[damage])
    assert_refused(resume(capsys, "run"), "run/checkpoints/last.pt")
    assert last.read_bytes() == made[damage]
    assert records(copy)


def test_a_run_in_other_hands_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(copy / ".lock"), untouched(copy):
        assert_refused(resume(capsys, "run"), "run=run", "another process")


def test_a_finished_run_says_so(vae: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(vae.parent)
    with untouched(vae):
        outcome = resume(capsys, "run")
    assert (outcome.code, outcome.err) == (0, "")
    assert "finished" in outcome.out
    with untouched(vae):
        assert_refused(resume(capsys, "run", "train.examples=15000"), "train.examples=15000", "16,000")


def test_a_run_that_ended_before_it_began_starts_anew(
    copy: Path, vae: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL between the making of the folder and the first update."""
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["train"]["examples"] = 1000
    shutil.rmtree(copy)
    RunFolder(copy).create(config)
    outcome = resume(capsys, "run")
    assert outcome.code == 0, outcome.err
    assert info(copy)["state"] == "finished"
    assert records(copy)[-1]["examples"] == 1024


def test_the_names_of_a_run(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong: dict[str, Any] = {
        "nowhere": "no such folder",
        str(copy.parent): "did you mean",
        "run/config.yaml": "folder",
        "run/.hydra": "not a run folder",  # although it holds a config.yaml
        "run/checkpoints": "not a run folder",
        "latest": "no run under",
    }
    for name, words in wrong.items():
        with untouched(copy):
            assert_refused(resume(capsys, name), name, words)
    assert_refused(resume(capsys), "RUN")
    assert_refused(resume(capsys, "run", "run"), "one run folder")
    outcome = resume(capsys, str(copy.parent))
    assert os.sep + ".hydra" not in outcome.err  # what it means is the run
