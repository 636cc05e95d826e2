"""Labels of every kind become classes in sorted order, and keep their names; dataset.classes and dataset.exclude name them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.data.arrays import arrays_as_raw
from genlab.data.class_choice import numbers_of
from genlab.data.class_labels import classes_of, sorted_names
from genlab.data.dataset import RawData
from genlab.data.label_files import read_labels
from genlab.data.sources.array import array
from genlab.data.splits import prepare
from genlab.errors import GenlabError

Y = np.array([2, 0, 1, 1, 0, 2])
NUMBERS = {0: "no", 1: "yes", 2: "perhaps"}


def classes(y: Any) -> tuple[list[int], tuple[str, ...] | None]:
    raw = arrays_as_raw(np.zeros((len(y), 2)) + np.arange(len(y))[:, None], y)
    assert raw.train.y is not None
    return raw.train.y.tolist(), raw.class_names


@pytest.mark.parametrize(
    ("y", "numbers", "names"),
    [
        (Y, [2, 0, 1, 1, 0, 2], None),
        (Y.astype(np.uint8), [2, 0, 1, 1, 0, 2], None),
        (Y.astype(float), [2, 0, 1, 1, 0, 2], None),
        (Y[:, None], [2, 0, 1, 1, 0, 2], None),
        (torch.from_numpy(Y), [2, 0, 1, 1, 0, 2], None),
        (Y + 1, [2, 0, 1, 1, 0, 2], ("1", "2", "3")),
        (Y - 1, [2, 0, 1, 1, 0, 2], ("-1", "0", "1")),
        (np.array([9, 10, 10, 9, 100, 9]), [0, 1, 1, 0, 2, 0], ("9", "10", "100")),
        (np.array(["9", "10", "10", "9", "100", "9"]), [0, 1, 1, 0, 2, 0], ("9", "10", "100")),
        (["star", "galaxy", "quasar", "star"], [2, 0, 1, 2], ("galaxy", "quasar", "star")),
        (np.array([b"b", b"a", b"b "]), [1, 0, 1], ("a", "b")),
        (np.array(["b", "a", b"b"], object), [1, 0, 1], ("a", "b")),
        (Y > 0, [1, 0, 1, 1, 0, 1], ("false", "true")),
    ],
)
def test_labels_of_every_kind(y: Any, numbers: list[int], names: tuple[str, ...] | None) -> None:
    assert classes(y) == (numbers, names)


def test_classes_are_those_of_both_splits() -> None:
    raw = arrays_as_raw(np.eye(3), ["a", "c", "a"], x_test=np.eye(3)[:2], y_test=["b", "c"])
    assert raw.test is not None
    assert (raw.num_classes, raw.class_names) == (3, ("a", "b", "c"))
    assert raw.train.y is not None
    assert raw.test.y is not None
    assert (raw.train.y.tolist(), raw.test.y.tolist()) == ([0, 2, 0], [1, 2])
    with pytest.raises(GenlabError, match="text in one split and numbers in the other"):
        arrays_as_raw(np.eye(3), ["a", "c", "a"], x_test=np.eye(3)[:2], y_test=[1, 2])


def test_text_is_sorted_as_text_and_numbers_as_numbers() -> None:
    assert sorted_names(["10", "9", "2"]) == ["2", "9", "10"]
    assert sorted_names(["10", "9", "x"]) == ["10", "9", "x"]
    _, names = classes_of([(np.array(["T2", "T10", "T2"]), 3, "y")])
    assert names == ("T10", "T2")


def test_labels_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "y.txt").write_text("star\ngalaxy\nstar\n\n")
    np.save(tmp_path / "y.npy", np.array([3, 1, 3]))
    assert read_labels("dataset.labels", str(tmp_path / "y.txt")).tolist() == ["star", "galaxy", "star"]
    assert read_labels("dataset.labels", str(tmp_path / "y.npy")).tolist() == [3, 1, 3]
    np.save(tmp_path / "x.npy", np.eye(3))
    keys: dict[str, Any] = {"observables": None, "temperature": None}
    raw = array(path=str(tmp_path / "x.npy"), labels=str(tmp_path / "y.txt"), **keys)
    assert raw.class_names == ("galaxy", "star")
    (tmp_path / "gap.txt").write_text("star\n\nstar\n")
    (tmp_path / "none.txt").write_text("\n")
    for name, message in (("gap.txt", "line 2 is empty"), ("none.txt", "is empty"), ("gone.txt", "cannot be read")):
        with pytest.raises(GenlabError, match=f"dataset.labels=.*{message}"):
            read_labels("dataset.labels", str(tmp_path / name))


# ------------------------------------------------------------------------------------------------------------ choosing


def stars(n: int = 60) -> RawData:
    return arrays_as_raw(
        np.random.default_rng(0).normal(size=(n, 3)), ["galaxy", "quasar", "star"] * (n // 3), name="sky"
    )


def counts(n: int = 60) -> RawData:
    return arrays_as_raw(np.random.default_rng(0).normal(size=(n, 3)), np.arange(n) % 6 + 1, name="sky")


def prepared(raw: RawData, **keys: Any) -> Any:
    return prepare(raw, binarize="none", dequantize=False, validation=0.1, test=0.2, **keys)


def test_kept_classes_are_all_there_are() -> None:
    for words in (["star", "galaxy"], ["STAR", "galaxy"], [0, 2], ["star", "galaxy", "star"]):
        data = prepared(stars(), classes=words)
        assert (data.spec.num_classes, data.spec.class_names) == (2, ("galaxy", "star"))
        assert len(data.train) + len(data.validation) + len(data.test) == 40
        assert set(data.train.y.tolist()) == {0, 1}
        assert (data.anomalies, data.truth) == (None, None)
    data = prepared(counts(), classes=[3, 5.0])
    assert (data.spec.num_classes, data.spec.class_names) == (2, ("3", "5"))


def test_excluded_classes_are_named_and_the_others_keep_their_numbers() -> None:
    data = prepared(stars(), exclude=["quasar"])
    assert (data.spec.num_classes, data.spec.names, data.excluded) == (3, ("galaxy", "quasar", "star"), ("quasar",))
    assert set(data.train.y.tolist()) == {0, 2}
    both = prepared(counts(), classes=[3, 5], exclude=[1])
    assert (both.spec.class_names, both.excluded, len(both.anomalies)) == (("3", "5"), ("1",), 10)
    assert set(both.train.y.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"classes": ["nova"]},
            r"dataset.classes=\[nova\]: sky has no class nova; its classes are galaxy, quasar, star, as in 'data",
        ),
        ({"classes": ["stars"]}, "did you mean 'star'"),
        ({"classes": [3]}, "has no class 3"),
        ({"exclude": ["galaxy", "quasar", "star"]}, "these are all classes"),
        (
            {"classes": ["star", "quasar"], "exclude": ["star"]},
            r"dataset.exclude=\[star\]: dataset.classes=\[star,quasar\] keeps star",
        ),
    ],
)
def test_classes_that_are_none(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(GenlabError, match=message):
        prepared(stars(), **keys)


def test_a_number_is_a_label_where_labels_are_numbers() -> None:
    assert numbers_of([1, 3], ("1", "2", "3"), "labels", "sky") == [0, 2]
    with pytest.raises(
        GenlabError, match=r"labels=\[0\]: sky has no class 0; its classes are 1, 2, 3, as in 'labels=\[1,2\]'"
    ):
        numbers_of([0], ("1", "2", "3"), "labels", "sky")
    assert numbers_of([True], ("false", "true"), "labels", "sky") == [1]
    with pytest.raises(GenlabError, match=r"has no labels; set dataset.classes=null"):
        prepared(arrays_as_raw(np.random.default_rng(0).normal(size=(30, 2))), classes=[1])
