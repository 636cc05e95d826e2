"""Few examples: enough of them are set aside to evaluate on, and a line says where they are not."""

from typing import Any

import pytest
import torch

from genlab.data import held_out_share
from genlab.data.class_choice import counts
from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from genlab.evaluation import sample_reference


def data(n: int, own: int | None = None, **keys: object) -> Dataset:
    x = torch.randn(n + (own or 0), 3, generator=torch.Generator().manual_seed(0))
    test = None if own is None else Examples(x[n:], None)
    raw = RawData("points", Examples(x[:n], None), test, None, None, where="dataset.path=x.npy")
    return prepare(raw, **{"binarize": "none", "dequantize": False, "validation": 0.1, **keys})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("n", "expected"), [(39, 9), (40, 10), (60, 15), (80, 20), (199, 20), (200, 20), (1234, 123), (50_000, 5000)]
)
def test_few_examples_give_more_than_a_tenth_to_the_test(n: int, expected: int) -> None:
    found = data(n)
    assert len(found.test) == expected
    told = f"{expected} of {n} examples are set aside for the test, as a tenth would be few; dataset.test=0.1 takes a tenth"
    assert (told in found.remarks) == (n < 195)


def test_a_share_is_as_it_is_named_and_said_to_be_too_small_before_training() -> None:
    found = data(60, test=0.1)
    assert len(found.test) == 6
    (line,) = found.remarks
    assert line == "the test split has 6 examples, and genlab evaluate needs 10 or more; set dataset.test=0.2"
    assert not data(60, test=0.2).remarks
    assert data(39).remarks[-1].endswith("set dataset.test=0.3")
    assert not data(39, test=0.3).remarks
    assert data(12, test=3).remarks[-1].endswith("gather more examples")


def test_a_test_split_of_the_file_is_told_of_as_well() -> None:
    assert data(60, own=6).remarks[-1].endswith("add examples to it")
    assert not data(60, own=10).remarks


def test_evaluation_needs_as_many_as_training_says() -> None:
    assert sample_reference.LEAST == held_out_share.LEAST
    assert "dataset.test=0.2 for a new training" in (held_out_share.too_few(6, 60) or "")


def test_too_few_to_set_any_aside() -> None:
    with pytest.raises(GenlabError, match=r"dataset.test=null: points has no test split .*; gather more"):
        data(7)


def test_classes_are_counted_as_they_are_kept() -> None:
    y = torch.tensor([0, 1, 2, 1, 0, 2, 2, 0] * 20)
    raw = RawData(
        "points",
        Examples(torch.randn(160, 2), y),
        None,
        None,
        3,
        class_names=("kaon", "muon", "pion"),
        where="dataset.path=x.csv",
    )
    ways: tuple[dict[str, Any], ...] = {"classes": ["kaon", "pion"]}, {"exclude": ["muon"]}, {}
    told = [prepare(raw, binarize="none", dequantize=False, validation=10, test=20, **way).remarks[0] for way in ways]
    assert told == [
        "classes: kaon 60, pion 60",
        "classes: kaon 60, pion 60; without muon",
        "classes: kaon 60, muon 40, pion 60",
    ]
    assert counts(RawData("points", Examples(torch.zeros(4, 2), None), None, None, None), ()) == []
