"""What an array holds: curves are recognised among vectors, and bands among images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import datasets

from genlab.data.arrays import arrays_as_raw
from genlab.data.shapes import BY_SHAPE, arranged
from genlab.data.sources.array import array
from genlab.errors import GenlabError
from tests.helpers.structured import curves, sines
from tests.helpers.support import tensor


def kind_of(x: NDArray[Any]) -> str:
    return arranged(x, None, "x.npy")[1]


def test_curves_are_recognised() -> None:
    x, kind, said = arranged(curves(200), None, "x.npy")
    assert (x.shape, kind) == ((200, 1, 100), "curves")
    assert said == "200 curves of 100 points, as neighbouring columns are alike; dataset.kind=vectors reads vectors"


RNG = np.random.default_rng(0)
STEPS = np.arange(100)


@pytest.mark.parametrize(
    "x",
    [
        curves(30),
        curves(200) + 0.3 * RNG.normal(size=(200, 100)),
        1e6 + curves(200),
        np.cumsum(RNG.normal(size=(200, 100)), 1),
        np.exp(-0.5 * ((STEPS - RNG.uniform(10, 90, (300, 1))) / 3) ** 2),
        curves(200)[:, ::5],
        np.round(100 * curves(200)).astype(np.int64),
    ],
    ids=["few", "noisy", "far from 0", "random walks", "peaks", "of 20 points", "counts"],
)
def test_other_curves_too(x: NDArray[Any]) -> None:
    assert kind_of(x) == "curves"


def smooth_fields() -> NDArray[Any]:
    """Random fields of 24 x 24 sites with the spectrum of a massive scalar, cut from larger ones, row by row."""
    k = np.fft.fftfreq(64, 1 / 64) ** 2
    noise = np.fft.fft2(RNG.normal(size=(200, 64, 64)))
    return np.real(np.fft.ifft2(noise / (0.5 + k[:, None] + k)))[:, :24, :24].reshape(200, -1)


@pytest.mark.parametrize(
    "x",
    [
        datasets.load_digits().data,
        datasets.load_breast_cancer().data,
        datasets.load_wine().data,
        datasets.load_iris().data,
        datasets.load_diabetes().data,
        RNG.normal(size=(500, 50)),
        RNG.normal(size=(500, 50)) @ RNG.normal(size=(50, 50)),
        RNG.normal(size=(500, 50)) * np.logspace(0, -3, 50),
        RNG.normal(size=(500, 1)) + 0.1 * RNG.normal(size=(500, 50)),
        smooth_fields(),
        RNG.permutation(curves(200).T).T,
        curves(200) > 0,
        np.where(curves(200) > 0, 1, -1),
        np.zeros((20, 30)),
        curves(200)[:, :2],
    ],
    ids=[
        "digits",
        "cancer",
        "wine",
        "iris",
        "diabetes",
        "gaussian",
        "mixed",
        "power-law",
        "factor",
        "fields",
        "shuffled",
        "bool",
        "spins",
        "zeros",
        "plane",
    ],
)
def test_vectors_stay_vectors(x: NDArray[Any]) -> None:
    shaped, kind, _ = arranged(x, None, "x.npy")
    assert kind == "vectors"
    assert shaped.shape == x.shape


def test_three_axes_are_curves_of_some_channels_or_images() -> None:
    assert kind_of(sines(50, 3, 100)) == "curves"
    assert kind_of(sines(50, 1, 100)) == "curves"
    assert kind_of(RNG.normal(size=(50, 8, 8))) == "images"
    assert kind_of(RNG.normal(size=(50, 3, 100))) == "images", "neighbours are unlike"
    assert kind_of(smooth_fields().reshape(-1, 24, 24)[:, :6]) == "images", "rows are alike too"
    assert arranged(smooth_fields().reshape(-1, 24, 24), None, "x")[0].shape == (200, 1, 24, 24)


def test_what_is_named_wins() -> None:
    assert arranged(curves(20), "vectors", "x")[0].shape == (20, 100)
    assert arranged(RNG.normal(size=(20, 7)), "curves", "x")[0].shape == (20, 1, 7)
    assert arranged(RNG.normal(size=(20, 8, 8)), "vectors", "x")[0].shape == (20, 64)
    assert arranged(sines(20, 3, 100), "images", "x")[0].shape == (20, 1, 3, 100)
    assert arranged(RNG.normal(size=(20, 9, 3)), "images", "x")[0].shape == (20, 1, 9, 3)
    assert arranged(curves(20), "curves", "x")[2] == ""
    assert arranged(sines(20, 2, 9), "curves", "x")[2] == "20 curves of 2 x 9 points, (N, C, L)"


def test_runs_from_before_there_were_curves_read_what_they_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", curves(50))
    options: dict[str, Any] = {"labels": None, "observables": None, "temperature": None}
    assert array(path=str(tmp_path / "x.npy"), **options).train.x[:1].shape == (1, 100)  # type: ignore[index]
    assert array(path=str(tmp_path / "x.npy"), kind=None, **options).train.x[:1].shape == (1, 1, 100)  # type: ignore[index]


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((9, 2, 4, 4), "curves", r"dataset.kind=curves: x .*\(N, C, L\); reshape it, or set dataset.kind=images"),
        ((9, 4), "images", r"dataset.kind=images: x .*; reshape it, or set dataset.kind=vectors"),
        ((9,), "curves", r"one axis; write x\[:, None\], \(N, 1\), where each number is an example"),
        ((9,), None, r"one axis; write x\[:, None\]"),
        ((9, 2, 2, 2, 2), None, r"neither vectors \(N, d\), curves"),
        ((9, 8, 3), None, r"can be read in two ways.*; or set dataset.kind"),
        ((0, 8), "vectors", r"is empty"),
    ],
)
def test_mistakes_are_named(shape: tuple[int, ...], kind: Any, message: str) -> None:
    with pytest.raises(GenlabError, match=message):
        arranged(np.zeros(shape), kind, "x")


@pytest.mark.parametrize("kind", [None, "curves"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_channels_may_be_the_last_axis_of_curves(kind: Any, channels: int) -> None:
    x = sines(50, channels, 100)
    found, read_as, said = arranged(x.swapaxes(1, 2), kind, "x")
    assert read_as == "curves"
    assert np.array_equal(found, x)
    assert said.startswith(f"50 curves of {channels} x 100 points, the last axis being the channels")
    assert np.array_equal(arranged(x, kind, "x")[0], x), "and as they should be"


def test_a_test_split_has_its_channels_where_the_training_split_has_them() -> None:
    x, noise = sines(50, 2, 100).swapaxes(1, 2), RNG.normal(size=(20, 100, 2)).astype(np.float32)
    for kind in (None, "curves"):
        raw = arrays_as_raw(x, x_test=noise, kind=kind)
        assert raw.test is not None
        assert raw.train.shape == raw.test.shape == (2, 100)
        assert np.array_equal(tensor(raw.test), noise.swapaxes(1, 2))


def test_every_array_of_three_axes_says_how_it_was_read() -> None:
    noise = RNG.normal(size=(50, 100, 2))
    assert (
        arranged(noise, None, "x")[2] == "50 images of 100 x 2 pixels and one channel; dataset.kind=curves reads curves"
    )
    said = arranged(noise, "curves", "x")[2]
    assert said == "50 curves of 100 x 2 points, (N, C, L); np.moveaxis(x, 2, 1) if the last axis is the channels"
    assert "images of 24 x 24" in arranged(smooth_fields().reshape(-1, 24, 24), None, "x")[2]
    assert arranged(noise, BY_SHAPE, "x")[2] == "", "runs from before there were curves are as they were"
