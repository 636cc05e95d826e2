"""dataset=array: what the user brings, of every kind, and what is wrong with it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlab.data.sources.array import array as array_of
from genlab.errors import GenlabError
from tests.helpers.support import tensor

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
array = partial(array_of, observables=None, temperature=None)


def saved(path: Path, **arrays: Any) -> str:
    if list(arrays) == ["only"]:
        np.save(path.with_suffix(".npy"), arrays["only"])
        return str(path.with_suffix(".npy"))
    np.savez(path.with_suffix(".npz"), **arrays)
    return str(path.with_suffix(".npz"))


GREY = RNG.integers(0, 256, (5, 6, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("x", "shape", "dtype", "levels"),
    [
        (RNG.normal(size=(5, 2)), (5, 2), torch.float32, None),
        (RNG.normal(size=(5, 2)).astype(">f4"), (5, 2), torch.float32, None),
        (RNG.integers(-9, 9, (5, 3)), (5, 3), torch.float32, None),
        (GREY[:, 0], (5, 7), torch.float32, None),
        (GREY[:, 0] > 100, (5, 7), torch.uint8, 2),
        (GREY > 100, (5, 1, 6, 7), torch.uint8, 2),
        (GREY, (5, 1, 6, 7), torch.uint8, 256),
        (GREY[..., None], (5, 1, 6, 7), torch.uint8, 256),
        (COLOUR, (5, 3, 6, 7), torch.uint8, 256),
        (COLOUR.transpose(0, 3, 1, 2), (5, 3, 6, 7), torch.uint8, 256),
        (GREY / 255, (5, 1, 6, 7), torch.float32, None),
        (COLOUR / np.float16(255), (5, 3, 6, 7), torch.float32, None),
        (RNG.normal(size=(4, 5, 6, 7)), (4, 5, 6, 7), torch.float32, None),
        (RNG.normal(size=(4, 6, 7, 5)), (4, 5, 6, 7), torch.float32, None),
        (RNG.normal(size=(4, 2, 6, 7)), (4, 2, 6, 7), torch.float32, None),
        (np.where(GREY > 127, 1, -1), (5, 1, 6, 7), torch.uint8, 2),
        (np.where(GREY > 127, 1.0, -1.0), (5, 1, 6, 7), torch.uint8, 2),
    ],
)
def test_array_kinds(tmp_path: Path, x: Any, shape: tuple[int, ...], dtype: torch.dtype, levels: int | None) -> None:
    raw = array(path=saved(tmp_path / "a", only=x), labels=None)
    stored = tensor(raw.train)
    assert (stored.shape, stored.dtype, raw.levels, raw.num_classes) == (shape, dtype, levels, None)
    expected = x if x.shape == shape else x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    if levels == 2 and x.min() < 0:  # spins
        expected = expected > 0
    assert np.array_equal(stored.numpy(), expected.astype(stored.numpy().dtype))


def test_array_layouts_and_labels(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(6, 2)), np.array([0, 1, 2, 2, 1, 0])
    assert array(path=saved(tmp_path / "a", only=x), labels=saved(tmp_path / "l", only=y)).num_classes == 3
    assert array(path=saved(tmp_path / "b", x=x, y=y[:, None]), labels=None).num_classes == 3
    assert array(path=saved(tmp_path / "c", points=x), labels=None).num_classes is None
    raw = array(path=saved(tmp_path / "d", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2]), labels=None)
    assert raw.test is not None
    assert (len(raw.train), len(raw.test), raw.num_classes) == (6, 2, 3)
    assert raw.test.y is not None
    assert raw.test.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"only": np.zeros((4, 28, 28, 1), object)}, "Python objects"),
        ({"a": np.zeros((4, 2), object), "b": np.zeros(4)}, "Python objects"),
        (
            {"a": np.zeros((4, 2)), "b": np.zeros(4)},
            r"holds the arrays a \(4, 2\), b \(4,\); name one with dataset.key=NAME, or keep one array, or x and y",
        ),
        ({"x_train": np.zeros((4, 2)), "x_test": np.zeros((4, 2)), "y_train": np.zeros(4, int)}, "holds the arrays"),
        ({"only": np.zeros((4, 3, 28, 3))}, r"\(4, 3, 28, 3\) can be read in two ways"),
        ({"only": np.zeros((28, 28, 3), np.uint8)}, r"\(28, 28, 3\) can be read in two ways"),
        ({"only": np.zeros(4)}, r"\(4,\) has one axis; write x\[:, None\]"),
        ({"only": np.zeros((2, 1, 4, 5, 6))}, "neither vectors"),
        ({"only": np.zeros((0, 2))}, "cannot mmap|is empty"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "is empty"),
        ({"only": np.array([["a", "b"]])}, "not numbers"),
        ({"only": np.zeros((4, 2), complex)}, "complex and not real numbers; store real and imaginary part"),
        ({"only": np.zeros((4, 8, 8), np.int64)}, "all values are 0"),
        ({"only": np.eye(8, dtype=np.uint8)[None]}, "holds only 0 and 1; store binary images as bool"),
        ({"only": np.array([[1.0, 2.0], [1.0, np.nan]])}, r"1 of 2 .*first is x\[1, 1\], nan\); dataset.missing=drop"),
        ({"only": np.array([[1.0, 1e300]])}, "not finite in float32, .* store the data in a larger unit"),
        ({"x_train": np.zeros((4, 2)), "x_test": np.zeros((4, 3))}, "store both alike"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3, int)}, r"labels of shape \(3,\) for 4 examples"),
        ({"x": np.zeros((4, 2)), "y": np.array([0, 1, 2.5, 0])}, "labels such as 2.5 are no whole numbers"),
        ({"x": np.zeros((2, 2)), "y": np.array([0, np.nan])}, r"1 labels are missing \(not finite\)"),
        ({"x": np.zeros((2, 2)), "y": np.array([1j, 2])}, "neither text nor whole numbers"),
        ({"x": np.zeros((40, 2)), "y": np.arange(40)}, "40 different labels of 40 examples are no classes"),
        (
            {
                "x_train": np.zeros((4, 2)),
                "y_train": np.array(list("abab")),
                "x_test": np.zeros((4, 2)),
                "y_test": np.zeros(4),
            },
            "store both alike",
        ),
    ],
)
def test_array_mistakes_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(GenlabError, match=message) as caught:
        array(path=saved(tmp_path / "a", **arrays), labels=None)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_array_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(
        GenlabError, match=r"dataset.path=null: set dataset.path to a .npy, .npz, .pt, .h5 or .mat file"
    ):
        array(path=None, labels=None)
    with pytest.raises(GenlabError, match="there is no such file"):
        array(path=str(tmp_path / "missing.npy"), labels=None)
    whole = Path(saved(tmp_path / "z", x=np.zeros((40, 2)), y=np.zeros(40, int))).read_bytes()
    for content in (b"", b"x,y\n1,2\n", b"\x93NUMPY\x01\0", whole[:100], whole.replace(b"\0" * 40, b"\1" * 40, 1)):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(GenlabError, match="not an array of numbers"):
            array(path=str(tmp_path / "bad.npz"), labels=None)
    good, y = (
        saved(tmp_path / "g", x=np.zeros((4, 2)), y=np.zeros(4, int)),
        saved(tmp_path / "y", only=np.zeros(4, int)),
    )
    with pytest.raises(GenlabError, match=r"set dataset\.labels=null"):
        array(path=good, labels=y)
    with pytest.raises(GenlabError, match="put y_train and y_test there"):
        array(path=saved(tmp_path / "t", x_train=np.zeros((4, 2)), x_test=np.zeros((4, 2))), labels=y)


def test_examples_that_lack_a_value_are_left_out_with_their_labels(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(40, 3)), np.arange(40) % 2
    x[[3, 8], [0, 2]] = np.nan, np.inf
    kept = np.delete(np.arange(40), [3, 8])
    whole = saved(tmp_path / "w", x_train=x, y_train=y[None], x_test=x[10:14], y_test=y[10:14])
    raw = array(path=whole, labels=None, kind=None, missing="drop")
    assert np.allclose(tensor(raw.train), x[kept])
    assert raw.train.y is not None
    assert raw.train.y.tolist() == y[kept].tolist()
    assert len(raw.test or ()) == 4
    assert raw.remarks[0].endswith("2 of 40 examples lack a value (not finite), and are left out")
    with pytest.raises(GenlabError, match="no example of x has finite values only"):
        array(path=saved(tmp_path / "n", x=np.full((4, 2), np.nan)), labels=None, missing="drop")
    path = saved(tmp_path / "p", only=x[:, None].repeat(2, 1))
    with pytest.raises(GenlabError, match=r"first is x\[3, 0, 0, 0\], nan\); dataset.missing=drop"):
        array(path=path, labels=None, range=[-3.0, 3.0], kind="images")
