"""Early stopping: train.patience evaluations without a lower validation loss end the training, exactly and said."""

import shutil
from pathlib import Path

import pytest
import torch

from genlab.cli import main
from genlab.training import checkpoint
from genlab.training.lowest_loss import LowestLoss
from genlab.training.trainer import Trainer
from tests.helpers.processes import CLOCK, Outcome, assert_refused, call, info, records, same

# A rate so large that the loss stops falling soon.
WORDS = [
    "train",
    "model=vae",
    "model.hidden=[32]",
    "optimizer.lr=0.05",
    "optimizer.schedule=constant",
    "train.epochs=40",
]
WORDS += ["train.eval_every=500", "train.checkpoint_every=700", "train.log_every=500", "train.patience=3"]


def evaluations(run: Path) -> list[tuple[int, float]]:
    return [(int(line["examples"]), line["eval/loss"]) for line in records(run) if "eval/loss" in line]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("stopped") / "run"
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("genlab.training.trainer.prose", lambda text, **_: said.append(text))
        assert main([*WORDS, f"hydra.run.dir={folder}"]) == 0
    return folder, said[-1]


def test_the_count() -> None:
    lowest = LowestLoss(2)
    assert [lowest.improves(loss, seen) for seen, loss in enumerate([3.0, 2.0, 2.0, float("nan")])] == [
        True,
        True,
        False,
        False,
    ]
    assert (lowest.value, lowest.at, lowest.waited, lowest.exhausted) == (2.0, 1, 2, True)
    assert not lowest.improves(2.5, 3)  # the same moment again
    assert lowest.waited == 2
    assert lowest.improves(1.0, 4)
    assert not lowest.exhausted
    assert not LowestLoss(None).exhausted


def test_it_stops_after_that_many_evaluations_and_takes_the_best_state(stopped: tuple[Path, str]) -> None:
    run, said = stopped
    seen = evaluations(run)
    best_at, best = min(seen[:-1], key=lambda pair: pair[1])
    index = [at for at, _ in seen].index(best_at)
    assert index + 3 == len(seen) - 2, "three evaluations after the lowest, and the final one"
    assert seen[-1] == seen[-2]
    assert seen[-1][0] < 40 * 1294
    facts = info(run)["stopped_early"]
    assert facts == {"examples": seen[-1][0], "best": best, "best_at": best_at}
    assert f"stopped early at {seen[-1][0]:,} of 51,760 examples: 3 evaluations" in said
    assert f"at {best_at:,} examples" in said
    assert info(run)["state"] == "finished"
    assert checkpoint.load(run / "checkpoints" / "last.pt")["batches"]["seen"] == seen[-1][0]


def test_its_samples_and_measures_are_of_the_best_state(
    stopped: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run, _ = stopped
    assert "best checkpoint" in call(["sample", f"run={run}", "n=4"], capsys).out
    assert "last checkpoint" in call(["sample", f"run={run}", "n=4", "checkpoint=last"], capsys).out
    assert call(["evaluate", f"run={run}", "n=100", "k=2"], capsys).code == 0
    assert (
        "checkpoint: best" in (run / "evaluation" / "evaluation.json").read_text()
        or '"best"' in (run / "evaluation" / "evaluation.json").read_text()
    )


def test_stopped_by_a_signal_and_resumed_it_stops_at_the_same_place(
    stopped: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = stopped
    end = evaluations(run)[-1][0]
    between = Trainer.between_updates

    def stop(trainer: Trainer, before: int, seen: int) -> None:
        trainer.stop.number = 15 if seen > end - 700 and not trainer.resumed else None
        between(trainer, before, seen)

    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "between_updates", stop)
        assert main([*WORDS, "hydra.run.dir=run"]) == 143
    assert main(["resume", "run"]) == 0
    assert records(Path("run"), CLOCK) == records(run, CLOCK)
    a, b = (checkpoint.load(folder / "checkpoints" / "last.pt") for folder in (Path("run"), run))
    for key in ("model", "optimizers", "lowest", "random", "stopped_early"):
        assert same(a[key], b[key]), key
    assert info(Path("run"))["results"] == info(run)["results"]


def test_it_goes_on_only_with_more_patience(
    stopped: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stopped[0], "run")

    def resume(*words: str) -> Outcome:
        return call(["resume", "run", *words], capsys)

    assert "finished already" in resume().out
    assert_refused(resume("train.epochs=50"), "train.patience=3", "train.patience=6", "train.patience=null")
    before = evaluations(Path("run"))[-1][0]
    assert "goes on with train.patience: 3 -> 5" in resume("train.patience=5").out
    assert evaluations(Path("run"))[-1][0] > before
    outcome = resume("train.patience=null", "train.examples=16000")
    assert outcome.code == 0, outcome.err
    assert records(Path("run"))[-1]["examples"] == 16000
    assert info(Path("run"))["stopped_early"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model=gan"], ["train.patience=3", "model=gan", "a game"]),
        (["model=wgan"], ["model=wgan", "a game"]),
        (["model=sgan"], ["model=sgan", "a game"]),
        (["model=pca"], ["model=pca", "closed form"]),
        (["model=vae", "dataset.validation=0"], ["no validation split", "dataset.validation=0.1"]),
        (["model=ebm"], ["model=ebm", "no validation loss"]),
        (["model=vae", "train.patience=0"], ["train.patience=0", "greater than 0"]),
        (["model=vae", "train.patience=soon"], ["train.patience=soon", "integer"]),
    ],
)
def test_what_has_nothing_to_wait_for_is_refused_before_training(
    words: list[str],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_refused(call(["train", "train.patience=3", *words], capsys), *said)
    assert not list(tmp_path.glob("**/run.json"))
