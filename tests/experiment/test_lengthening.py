"""Trained on: a run of 2 epochs that goes on to 4 is one of 4 epochs, and what depends on the length says so."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from genlab.cli import main
from genlab.plots.learning_curves import learning_curves
from genlab.training import checkpoint
from genlab.training.trainer import Trainer
from tests.helpers.processes import CLOCK, Outcome, assert_refused, call, files, info, records, same
from tests.helpers.support import BRISK

CADENCE = [
    "train.log_every=1000",
    "train.eval_every=1300",
    "train.checkpoint_every=1700",
    "train.evaluation_budget=null",
]
CONSTANT = ["train", *CADENCE, "optimizer.schedule=constant", "optimizer.warmup=0", "train.sample_every=100000"]
FAMILIES = {
    "vae": ["model.hidden=[32]"],
    "rbm": ["model.hidden=16"],
    "gan": ["model.hidden=[32]", "train.batch_size=32"],
    "ebm": ["model.hidden=[16]", "model.k=2"],
    "diffusion": list(BRISK["diffusion"]),
}


def run(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    assert main(arguments) == 0


def resume(capsys: pytest.CaptureFixture[str], *words: str) -> Outcome:
    return call(["resume", *words], capsys)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of 2 epochs."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run([*CONSTANT, "model=vae", "model.hidden=[32]", "train.epochs=2", f"hydra.run.dir={folder}"])
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=() if name in ("vae", "rbm") else pytest.mark.slow) for name in FAMILIES]
)
def test_two_epochs_and_two_more_are_four(family: str) -> None:
    words = [*CONSTANT, f"model={family}", *FAMILIES[family]]
    run([*words, "train.epochs=4", "hydra.run.dir=long"])
    run([*words, "train.epochs=2", "hydra.run.dir=short"])
    before = checkpoint.load(Path("short/checkpoints/last.pt"))["model"]
    run(["resume", "short", "train.epochs=4"])
    a, b = (checkpoint.load(Path(f"{name}/checkpoints/last.pt")) for name in ("short", "long"))
    assert not same(before, b["model"])
    averages = {
        name for name in a["model"] if name.startswith("average_") or name == "_extra_state"
    }  # shares of the length
    for state in (a, b):
        state["model"] = {name: value for name, value in state["model"].items() if name not in averages}
    for key in ("model", "optimizers", "batches", "random"):
        assert same(a[key], b[key]), key
    logged = [[line for line in records(Path(name)) if "train/loss" in line] for name in ("short", "long")]
    after = [{k: v for k, v in line.items() if k.startswith("train/")} for line in logged[0][-3:]]
    assert after == [{k: v for k, v in line.items() if k.startswith("train/")} for line in logged[1][-3:]]


def test_the_record_shows_the_seam(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = records(copy)
    results, seen = info(copy)["results"], old[-1]["examples"]
    said = resume(capsys, "run", "train.epochs=3").out
    assert said.startswith(f"run trains on: from {seen:,} to 3,882 examples (before: 2,588); nothing in it depends")
    lines = records(copy)
    assert lines[: len(old)] == old  # the first end stays in the record
    seam = lines[len(old)]
    assert (seam["examples"], seam["seam/from"], seam["seam/to"]) == (seen, 2588, 3882)
    assert info(copy)["seams"] == [{"examples": seen, "from": 2588, "to": 3882, "results": results}]
    assert info(copy)["state"] == "finished"
    assert info(copy)["results"] != results
    assert "epochs: 3" in (copy / "config.yaml").read_text()


def test_the_seam_is_a_line_in_the_curves() -> None:
    ramp = [{"examples": float(n), "train/loss": 10.0 - n} for n in range(10)]
    plain, marked = (learning_curves([*ramp, *more], {}) for more in ([], [{"examples": 5.0, "seam/to": 9.0}]))
    assert plain is not None
    assert marked is not None
    assert (plain != marked).any()


def test_a_run_that_was_stopped_is_made_longer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*CONSTANT, "model=vae", "model.hidden=[32]"]
    run([*words, "train.epochs=4", "hydra.run.dir=long"])
    between = Trainer.between_updates

    def stop(trainer: Trainer, before: int, seen: int) -> None:
        trainer.stop.number = 15 if seen > 2000 else None
        between(trainer, before, seen)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "between_updates", stop)
        assert main([*words, "train.epochs=3", "hydra.run.dir=short"]) == 143
    assert resume(capsys, "short", "train.epochs=4").code == 0
    a, b = (checkpoint.load(Path(f"{name}/checkpoints/last.pt")) for name in ("short", "long"))
    for key in ("model", "optimizers", "lowest", "random"):
        assert same(a[key], b[key]), key
    later = [[line for line in records(Path(name), CLOCK) if line["examples"] > 2100] for name in ("short", "long")]
    assert later[0] == later[1]


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5])
def test_killed_while_it_trains_on_it_ends_the_same(
    copy: Path, writes: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends before one of the writes: of the configuration, of checkpoints, of run.json."""
    shutil.copytree(copy, "undisturbed")
    assert resume(capsys, "undisturbed", "train.epochs=4").code == 0
    from genlab.tracking import run_folder, shared_files

    left = [writes]

    class Killed(BaseException):
        pass

    def counted(function):  # type: ignore[no-untyped-def]
        def write(*args, **options):  # type: ignore[no-untyped-def]
            left[0] -= 1
            if not left[0]:
                raise Killed
            return function(*args, **options)

        return write

    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "write_atomically", counted(shared_files.write_atomically))
        patch.setattr(checkpoint, "save", counted(checkpoint.save))
        with pytest.raises(Killed):
            main(["resume", "run", "train.epochs=4"])
    again = resume(capsys, "run", "train.epochs=4")
    assert again.code == 0, again.err
    a, b = (checkpoint.load(Path(f"{name}/checkpoints/last.pt")) for name in ("run", "undisturbed"))
    for key in ("model", "optimizers", "lowest", "random", "seams", "batches"):
        assert same(a[key], b[key]), key
    assert records(copy, CLOCK) == records(Path("undisturbed"), CLOCK)


def test_the_best_state_stays_the_best(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = checkpoint.load(copy / "checkpoints" / "best.pt")
    assert first["examples"] == 2688  # of the final evaluation, which last.pt does not know
    assert resume(capsys, "run", "train.epochs=4").code == 0
    losses = {line["examples"]: line["eval/loss"] for line in records(copy) if "eval/loss" in line}
    best = checkpoint.load(copy / "checkpoints" / "best.pt")
    assert best["eval"]["eval/loss"] == min(losses.values())
    assert losses[best["examples"]] == min(losses.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train.epochs=1"], ["train.epochs=1", "2,688 examples (2.08 epochs) already"]),
        (["train.examples=2600"], ["train.examples=2600", "2,688"]),
        (["train.epochs=4", "optimizer.lr=0.5"], ["optimizer.lr: 0.002 -> 0.5", "train init=run"]),
        (["train.epochs=many"], ["train.epochs=many", "an integer"]),
        (["train.epochs=4", "train.examples=9000"], ["set one of the two"]),
        (["train.batch_size=64"], ["train.batch_size: 128 -> 64"]),
        (["train.epoch=4"], ["train.epoch"]),
        (["train.epochs="], ["train.epochs"]),
        (["train.log_every=500"], ["train.epochs=2", "2,688"]),
    ],
)
def test_what_is_no_continuation_is_refused(
    copy: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: list[str]
) -> None:
    before = files(copy)
    assert_refused(resume(capsys, "run", *words), *said)
    after = files(copy)
    assert {k: v for k, v in after.items() if k != ".lock"} == {k: v for k, v in before.items() if k != ".lock"}


def test_a_fit_in_closed_form_has_nothing_to_train_on(capsys: pytest.CaptureFixture[str]) -> None:
    run(["train", "model=pca", "hydra.run.dir=run"])
    assert_refused(resume(capsys, "run", "train.epochs=2"), "model=pca", "closed form", "nothing to train on")


def test_what_counts_shares_of_the_length_says_what_it_does_now(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimizer.schedule=cosine", "model.kl_warmup=0.5", "model.hidden=[32]"]
    run(["train", "model=vae", *words, "train.examples=1280", "hydra.run.dir=run"])
    said = resume(capsys, "run", "train.examples=5120").out.splitlines()[0]
    assert said.startswith("run trains on: from 1,280 to 5,120 examples (before: 1,280), at 25% of the new length")
    assert "optimizer.schedule=cosine (rate 0.00171 now, falling to 0 at its end)" in said
    assert "model.kl_warmup=0.5" in said
    name = "optimizer/vae/learning_rate"
    rates = [line[name] for line in records(Path("run")) if name in line and line["examples"] > 1280]
    assert 0.0016 < rates[0] <= 0.00171
    assert rates[-1] < 1e-6


def test_averages_over_a_share_of_the_training_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    run([*CONSTANT, "model=rbm", "model.hidden=16", "model.average=0.2", "train.epochs=2", "hydra.run.dir=run"])
    before = checkpoint.load(Path("run/checkpoints/last.pt"))["model"]
    said = resume(capsys, "run", "train.epochs=4").out
    assert "model.average=0.2" in said.splitlines()[0]
    after = checkpoint.load(Path("run/checkpoints/last.pt"))["model"]
    assert (after["average_W"] - after["W"]).norm() < (before["average_W"] - after["W"]).norm()


def test_a_checkpoint_of_before_is_trained_on(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Format 2 counted no evaluations and knew no seams."""
    path = copy / "checkpoints" / "last.pt"
    state = checkpoint.load(path)
    lowest = state.pop("lowest")
    old = {k: v for k, v in state.items() if k not in ("seams", "stopped_early")} | {
        "best": [lowest["value"], lowest["at"]]
    }
    old["config"]["train"].pop("patience")
    torch.save({**old, "format": 2}, path)
    config = copy / "config.yaml"
    config.write_text("\n".join(line for line in config.read_text().splitlines() if "patience" not in line))
    assert resume(capsys, "run", "train.epochs=3").code == 0
    assert info(copy)["seams"][0]["to"] == 3882
    json.dumps(info(copy))
