"""What pictures and measures of a run cost, counted and not timed; and when pictures are due."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from genlab.models.boltzmann.sparse_units import sum_of_rows
from genlab.numerics.work import Work, count_work, sparingly, spend
from genlab.training import budget
from genlab.training.budget import LEAST_MEASURED, budget_of
from genlab.training.cadence import SETS, Cadence, early_and_late, thinned
from genlab.training.sections import TrainSection
from genlab.training.trainer import Trainer
from tests.helpers.processes import CLOCK, call, files, info, records
from tests.helpers.support import configure, experiment_of, make_dataset, make_model

DIFFUSION = ["model=diffusion", "model.network=mlp", "model.hidden=[32]"]


def test_work_counts_what_is_done_and_the_operations_it_takes() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    once, twice = count_work(lambda: a @ b), count_work(lambda: [a @ b, a @ b])
    assert (once.flops, once.operations) == (2 * 3 * 4 * 5, 1)
    assert (twice.flops, twice.operations) == (2 * once.flops, 2)
    assert twice.nominal_seconds == pytest.approx(2 * once.nominal_seconds)
    with torch.no_grad():
        assert count_work(lambda: sum_of_rows(torch.ones(5), torch.eye(4), torch.ones(4, 5))).flops == 4 * 5


def test_numbers_that_are_written_are_counted_and_views_are_not() -> None:
    a = torch.ones(3, 4)
    assert count_work(lambda: a.exp().mul_(2)).numbers == 2 * 12
    assert count_work(lambda: a.view(4, 3).t()).numbers == 0
    assert count_work(lambda: a.max(1)).numbers == 2 * 3, "values and their places"


def test_what_is_done_without_torch_is_counted_where_work_is_counted() -> None:
    spend(1.0)
    inner: list[Work] = []

    def act() -> None:
        spend(0.5)
        inner.append(count_work(lambda: spend(0.25)))

    assert count_work(act).nominal_seconds == 0.5
    assert inner[0].nominal_seconds == 0.25


@pytest.mark.parametrize("length", [0, 1, 2, 25])
def test_of_many_states_few_are_counted_and_all_are_drawn(length: int) -> None:
    a, made = torch.ones(3, 4), list[torch.Tensor]()

    def chain() -> Iterator[torch.Tensor]:
        state = a.exp().exp()  # a first state costs more
        for _ in range(length):
            state = state.exp()
            spend(0.5)
            yield state

    every = count_work(lambda: deque(chain()))
    few = count_work(lambda: made.extend(sparingly(chain())))
    assert few == every
    assert len(made) == length == len(list(sparingly(chain())))


def test_counting_leaves_the_random_stream_as_it_is() -> None:
    def draw() -> torch.Tensor:
        torch.manual_seed(0)
        return torch.randn(5) @ torch.randn(5, 2)

    found: list[torch.Tensor] = []
    count_work(lambda: found.append(draw()))
    assert torch.equal(found[0], draw())


@pytest.mark.parametrize("length", [1, 7, 60_000, 600_000])
def test_pictures_come_early_and_then_less_often(length: int) -> None:
    moments = early_and_late(length)
    assert all(0 < moment < length for moment in moments)
    if length > 1000:
        gaps = [b - a for a, b in zip(moments, [*moments[1:], length], strict=True)]
        assert len(moments) == SETS - 1  # and one at the end
        assert gaps == sorted(gaps)
        assert moments[0] == length // 100


def test_a_moment_is_met_once_whatever_the_size_of_an_update() -> None:
    cadence = Cadence(log=10**9, eval=10**9, checkpoint=10**9, sample=early_and_late(60_000))
    for size in (1, 64, 100, 128, 10_000):
        met = sum("sample" in cadence.due(seen, seen + size) for seen in range(0, 60_000, size))
        assert met == min(SETS - 1, -(-60_000 // size)) or size == 10_000
    regular = Cadence(log=10**9, eval=10**9, checkpoint=10**9, sample=range(500, 60_000, 500))
    assert sum("sample" in regular.due(seen, seen + 100) for seen in range(0, 60_000, 100)) == 120


@pytest.mark.parametrize("most", [-1, 0, 1, 3, 8, 9, 20])
def test_fewer_moments_are_spread_over_all(most: int) -> None:
    moments = list(range(1, 10))
    kept = thinned(moments, most)
    assert len(set(kept)) == len(kept) == max(0, min(most, 9))
    assert set(kept) <= set(moments)
    if most == 3:
        assert kept == [2, 5, 8]


def budgets(training: float, share: float = 0.5, *overrides: str) -> budget.Budget:
    config = configure(*DIFFUSION, *overrides)
    dataset = make_dataset(config)
    return budget_of(make_model(config, dataset.spec), dataset, 0, section(share), training, 10)


def section(share: float) -> TrainSection:
    """A `train` section that leaves all moments to genlab."""
    return TrainSection(None, 640, 128, None, None, None, None, evaluation_budget=share)


def test_the_shorter_the_training_the_less_is_shown_and_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "FREE", 0.0)
    found = [budgets(seconds) for seconds in (0.0, 0.3, 1.0, 10.0, 1e4)]
    for name in ("samples", "sets", "test", "validation"):
        values = [getattr(one, name) for one in found]
        assert values == sorted(values)
    first, last = found[0], found[-1]
    assert (first.samples, first.sets, first.test) == (10, 1, LEAST_MEASURED)
    assert (last.samples, last.sets, last.test, last.validation) == (100, SETS, 359, 144)


def test_what_a_set_turns_out_to_cost_decides_how_many_there_will_be() -> None:
    one = budgets(100.0)
    assert one.seconds == 20.0
    assert one.after_first_set(1e-3) == SETS
    assert one.after_first_set(4.0) == 5
    assert one.after_first_set(1e3) == 1


def test_a_probe_leaves_the_training_as_it_is() -> None:
    config = configure(*DIFFUSION, "train.examples=600")
    trainer_like = experiment_of(config)
    model, dataset = trainer_like.model, trainer_like.dataset
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    budget_of(model, dataset, 0, section(0.5), 1.0, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# Whole runs


def trained(folder: Path, capsys: pytest.CaptureFixture[str], *overrides: str) -> tuple[Path, str]:
    outcome = call(["train", *DIFFUSION, "train.examples=640", f"hydra.run.dir={folder}", *overrides], capsys)
    assert outcome.code == 0, outcome.err
    return folder, outcome.out


def steps(run: Path) -> list[int]:
    return sorted(int(name[8:18]) for name in files(run / "samples") if re.fullmatch(r"samples_\d{10}\.png", name))


def test_a_short_run_says_what_it_left_out_and_repeats_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "FREE", 0.0)
    run, out = trained(tmp_path / "a", capsys, "train.evaluation_budget=0.1")
    said = out.partition("  shortened ")[2]
    assert "test split, 100 of 359 examples" in out
    assert "100 of 359 test examples are measured" in said
    assert "pictures are of 10 samples of 100 in 1 of 10 sets" in said
    assert steps(run) == [640]
    commands = [line.strip() for line in said.splitlines()[1:3]]
    assert commands[0].endswith(f"genlab evaluate run={run}")
    assert commands[1].endswith(f"genlab sample run={run}")
    assert info(run)["test_examples"] == 100
    again, _ = trained(tmp_path / "b", capsys, "train.evaluation_budget=0.1")
    assert records(run, CLOCK) == records(again, CLOCK)
    assert files(run / "samples") == files(again / "samples")


def test_what_the_user_asks_for_is_done_in_full(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "FREE", 0.0)
    unlimited, out = trained(tmp_path / "a", capsys, "train.evaluation_budget=null")
    assert "shortened" not in out
    assert "test split, 359 examples" in out
    assert steps(unlimited) == [128, 256, 384, 512, 640]
    asked, out = trained(tmp_path / "b", capsys, "train.sample_every=256")
    assert steps(asked) == [256, 512, 640]
    assert "pictures are of" not in out
    assert (asked / "samples" / "samples.png").read_bytes() == (unlimited / "samples" / "samples.png").read_bytes()
    assert info(asked)["state"] == "finished"


@pytest.mark.parametrize("overrides", [["model=pca"], ["model=vae", "model.hidden=[8]", "train.examples=200"]])
def test_every_run_of_a_generative_model_has_a_film(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], overrides: list[Any]
) -> None:
    assert call(["train", *overrides, f"hydra.run.dir={tmp_path / 'run'}"], capsys).code == 0
    assert (tmp_path / "run" / "samples" / "samples.gif").exists()


def test_training_examples_without_a_label_are_no_hindrance() -> None:
    """What evaluation costs is counted on examples whose classes are known."""
    config = configure("model=sgan", "dataset.labelled=100", "model.hidden=[8]", "model.critic_hidden=[8,8]")
    dataset = make_dataset(config)
    assert dataset.train.y is not None
    assert (dataset.train.y[:8] < 0).any()
    model = make_model(config, dataset.spec)
    assert budget_of(model, dataset, 0, section(0.5), 1.0, 5).test > 0


def test_looks_at_the_state_of_the_model_become_rarer_where_they_cost_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "FREE", 0.0)
    words = ("train.log_every=64", "train.batch_size=64")
    looked: dict[str, list[dict[str, float]]] = {}
    for share in ("0.02", "null"):
        run, _ = trained(tmp_path / share, capsys, *words, f"train.evaluation_budget={share}")
        looked[share] = [record for record in records(run, CLOCK) if "monitor/noise_mse_1" in record]
        assert all(record.get("train/loss") for record in records(run, CLOCK)[:-1]), "the losses are in every record"
    at = [record["examples"] for record in looked["0.02"]]
    assert at[0] == 64
    assert at[-1] == 640
    assert len(at) < len(looked["null"]) == 10
    assert [record["monitor/noise_mse_1"] for record in looked["0.02"]] == [
        record["monitor/noise_mse_1"] for record in looked["null"] if record["examples"] in at
    ]


def test_a_resumed_run_looks_when_the_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(budget, "FREE", 0.0)
    monkeypatch.chdir(tmp_path)
    words = ["train", *DIFFUSION, "train.examples=1280", "train.log_every=64", "train.batch_size=64"]
    words.append("train.evaluation_budget=0.05")
    assert call([*words, "hydra.run.dir=whole"], capsys).code == 0
    between = Trainer.between_updates

    def stop(trainer: Trainer, before: int, seen: int) -> None:
        trainer.stop.number = 15 if seen == 576 and not trainer.resumed else None
        between(trainer, before, seen)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "between_updates", stop)
        assert call([*words, "hydra.run.dir=parts"], capsys).code == 143
    assert call(["resume", "parts"], capsys).code == 0
    found = records(Path("parts"), CLOCK)
    assert found == records(Path("whole"), CLOCK)
    assert 1 < sum("monitor/noise_mse_1" in record for record in found) < 20


def test_it_says_what_was_left_out_and_how_to_get_it() -> None:
    config = configure("model=ae")
    dataset = make_dataset(config)
    model = make_model(config, dataset.spec)
    whole = budget.unlimited(model, dataset)
    assert budget.remark(whole, model, dataset, [], SETS) is None
    some = budget.remark(replace(whole, validation=100), model, dataset, [], SETS)
    assert some == (
        "evaluations in between are of 100 of 144 validation examples, so that they cost less than the training; "
        "train.evaluation_budget=null takes all"
    )
    fewer = str(budget.remark(replace(whole, validation=100, test=200), model, dataset, ["run=a"], SETS))
    assert fewer.splitlines()[0].startswith("200 of 359 test examples are measured, ")
    assert fewer.splitlines()[1].endswith("evaluate run=a")


@pytest.mark.parametrize(
    ("cost", "allowed", "stride"), [(0.0, 1.0, 1), (1.0, 4.0, 1), (10.0, 4.0, 10), (budget.FREE, 0.0, 1)]
)
def test_the_stride_is_the_smallest_that_is_allowed(cost: float, allowed: float, stride: int) -> None:
    assert budget.stride(cost, allowed) == stride
