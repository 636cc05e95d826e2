"""A part of a split stands for all of it, however the split is sorted, and all that measures or shows a part takes that one."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.examples import Examples
from genlab.data.subsets import at_most, belongs, places, some
from genlab.evaluation import held_out
from genlab.evaluation.findings import Findings
from genlab.inference.likelihood import log_likelihoods
from genlab.inference.mixing import CHAINS, mixing
from genlab.inference.shown_examples import COLUMNS
from genlab.inference.shown_examples import held_out as shown
from genlab.models.base import Model
from genlab.training.validation import monitor_state
from tests.helpers.evaluations import context_of
from tests.helpers.processes import REPOSITORY
from tests.helpers.support import FEW_CHAINS, configure, dataset_of, make_dataset

CPU = torch.device("cpu")
CLASSES, EACH = 10, 700


@pytest.fixture(scope="module")
def by_class() -> Dataset:
    """Sorted by class; every component of an example is its class."""
    y = torch.arange(CLASSES).repeat_interleave(EACH)
    data = dataset_of(y[:, None, None, None].expand(-1, 1, 2, 2).byte().contiguous(), levels=10, y=y, classes=CLASSES)
    assert data.test.y is not None
    assert bool((data.test.y.diff() >= 0).all()), "splits stay sorted"
    return data


def classes(x: Tensor) -> set[int]:
    return set((x.flatten(1)[:, 0] * 9).round().long().tolist())


class Seen(Model):
    """Keeps what it is given, and has the abilities of which only a few examples are asked."""

    supports = frozenset({"unit", "binary"})
    discrete = True

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.spec, None)
        self.given: dict[str, Tensor] = {}
        self.theta = torch.nn.Parameter(torch.zeros(()))

    def train_loop(self, batches: Any) -> Iterator[Any]:
        raise NotImplementedError

    def evaluate(self, batch: Any) -> Any:
        raise NotImplementedError

    def monitor(self, train: Tensor, held_out: Tensor | None) -> dict[str, Tensor]:
        assert held_out is not None
        self.given |= {"train": train, "validation": held_out}
        return {}

    def free_energy(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)

    def walk(self, x: Tensor | int, steps: int, mean: bool = False) -> Iterator[Tensor]:
        if isinstance(x, Tensor):
            self.given["chains"] = x
        for _ in range(steps):
            yield torch.rand(x if isinstance(x, int) else len(x), *self.data.shape)

    def flow_log_prob(self, x: Tensor) -> Tensor:
        self.given["flow"] = x
        return -x.flatten(1)[:, 0]


def test_places_are_drawn_once_and_for_all() -> None:
    before = torch.get_rng_state()
    few = places(1000, 100)
    assert torch.equal(before, torch.get_rng_state()), "the random stream of others is left alone"
    assert len(set(few.tolist())) == 100
    assert torch.equal(places(1000, 30), few[:30])
    assert set(places(50, 100).tolist()) == set(range(50))
    assert not torch.equal(places(1000, 100, seed=1), few)
    assert torch.equal(belongs(1000, 100).nonzero().squeeze(1), few.sort().values)
    # A share of 0.1 in each tenth, and in each residue modulo 10: hypergeometric, sd 2.9 of 10
    for group in (few // 100, few % 10):
        assert bool(((group.bincount(minlength=10) - 10).abs() < 4 * 2.9).all())


def test_a_subset_is_a_random_one_with_each_class_first() -> None:
    y = torch.tensor([0] * 500 + [1] * 30 + [-1] * 20 + [2] * 2)
    examples = Examples(torch.arange(len(y)).float()[:, None], y)
    assert at_most(examples, len(y)) is examples
    assert len(at_most(examples, 100)) == 100
    whole = some(examples, 10_000, each_class=True)
    assert whole.y is not None
    assert sorted(whole.y[:3].tolist()) == [0, 1, 2]
    assert sorted(whole.take(torch.arange(len(y)))[:, 0].tolist()) == list(range(len(y))), "each example once"
    rest = whole.y[3:].eq(1).nonzero().squeeze(1).double()  # as uniform among the rest as the mean of 29 places says
    assert abs(float(rest.mean()) / (len(y) - 3) - 0.5) < 4 * (1 / 12 / 29) ** 0.5
    many = Examples(torch.arange(600.0)[:, None], torch.arange(60).repeat_interleave(10))
    row = some(many, 10, each_class=True).y
    assert row is not None
    assert len(set(row.tolist())) == 10
    assert int(row.max()) > 9, "of more classes than fit, not the first ones"


def test_whatever_takes_a_part_of_a_sorted_split_sees_every_class(
    by_class: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Seen(by_class)
    every = set(range(CLASSES))
    assert classes(shown(by_class, COLUMNS, 0, CPU).x) == every
    monitor_state(model, by_class, 0, CPU)
    mixing(model, by_class, 0)
    context = context_of(model, by_class)
    assert classes(context.few_batches[0].x[:COLUMNS]) == every, "codes, and the row of denoised pictures"
    monkeypatch.setattr("genlab.inference.likelihood.MOST_INTEGRATED", 1)
    (flow,) = (
        one
        for one in log_likelihoods(model, context.test_batches, 1, FEW_CHAINS, torch.zeros(1), len(by_class.test))
        if one.name == "flow"
    )
    for name in ("train", "validation", "chains", "flow"):
        assert classes(model.given[name]) == every, name
    assert len(model.given["chains"]) == CHAINS
    assert by_class.test.y is not None
    assert torch.equal(flow.of_same(by_class.test.y), (-9 * flow.values).round().long()), "the same examples"

    taken: list[Tensor] = []

    def recorded(*given: Any) -> list[Any]:
        taken.append(given[4])
        return []

    monkeypatch.setattr(held_out, "log_likelihoods", recorded)
    held_out.likelihoods(context_of(model, by_class, annealing=replace(FEW_CHAINS, chains=100)), Findings())
    assert classes(taken[0]) == every, "starts of reverse annealing"


def test_shown_configurations_have_every_temperature(tmp_path: Path) -> None:
    config = configure(
        "dataset=ising",
        "dataset.temperature=[1.5,2.2,3.0]",
        "dataset.size=4",
        "dataset.examples=90",
        f"dataset.root={tmp_path}",
    )
    batch = shown(make_dataset(config), 3, 0, CPU)
    assert batch.y is not None
    assert sorted(batch.y.tolist()) == [0, 1, 2]


def test_no_other_place_takes_the_first_batch_of_a_pass() -> None:
    for path in (REPOSITORY / "genlab").rglob("*.py"):
        if path.name != "subsets.py":
            text = path.read_text()
            assert "next(in_order(" not in text, (
                f"{path}: the first examples of a split; take batch_of (data/subsets.py)"
            )
            assert "islice(context" not in text, f"{path}: the first batches of a split; take few_batches"
