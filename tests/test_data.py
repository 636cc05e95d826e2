"""Every source of data, the stream of batches and the representations, on real data where it is at hand."""

import gzip
import hashlib
import importlib
import inspect
import os
import pickle
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from genlab.data import mnist as mnist_module
from genlab.data.array import array as array_of
from genlab.data.batches import Batches, in_order
from genlab.data.cifar10 import cifar10
from genlab.data.digits import digits
from genlab.data.download import DownloadError, data_root
from genlab.data.idx import read_idx
from genlab.data.image_folder import Pictures, decode, image_folder
from genlab.data.mnist import FILES, emnist, fashion_mnist, kmnist, mnist
from genlab.data.source import Examples, Raw, Representation, prepare
from genlab.data.svhn import svhn
from genlab.errors import GenlabError

torch.set_num_threads(1)

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
CONFIGS = sorted((Path(__file__).parent.parent / "conf" / "dataset").glob("*.yaml"))
LOADERS: dict[str, Callable[..., Raw]] = {"mnist": mnist, "fashion_mnist": fashion_mnist, "kmnist": kmnist}
REAL_MNIST = Path(os.environ.get("GENLAB_DATA") or "/nowhere")
array = partial(array_of, observables=None, temperature=None)
SIGMAS = 5  # a correct program exceeds it once in 1.7 million draws; the seeds below are fixed all the same


def tensor(examples: Examples) -> Tensor:
    return examples.x[torch.arange(len(examples))]


def idx_bytes(values: np.ndarray[Any, Any]) -> bytes:
    shape = b"".join(n.to_bytes(4, "big") for n in values.shape)
    return bytes([0, 0, 8, values.ndim]) + shape + values.astype(np.uint8).tobytes()


def write_set(folder: Path, n: int = 4, names: tuple[str, ...] = FILES, zipped: bool = True, value: int = 7) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = np.full((n, 28, 28), value), np.arange(n) + 1
    images[:, 3, 20] = 200  # in row 3, column 20 as stored
    for name in names:
        content = idx_bytes(images if "images" in name else labels)
        (folder / f"{name}{'.gz' * zipped}").write_bytes(gzip.compress(content) if zipped else content)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(urls: list[str], destination: Path, md5: str) -> None:
        raise DownloadError(f"{destination.name} could not be downloaded (offline)")

    for module in ("mnist", "cifar10", "svhn"):
        monkeypatch.setattr(f"genlab.data.{module}.fetch", refuse)
    monkeypatch.setattr(mnist_module, "DEBIAN_FASHION", Path("/nowhere"))


# ---------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (3, 4, 5)])
def test_idx_returns_what_was_written(tmp_path: Path, shape: tuple[int, ...], zipped: bool) -> None:
    values = RNG.integers(0, 256, shape)
    content = idx_bytes(values)
    (tmp_path / "file").write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(tmp_path / "file")
    assert read.dtype == torch.uint8
    assert read.tolist() == values.tolist()
    read += 1  # writable


GOOD = idx_bytes(np.ones((4, 5), np.uint8))
DAMAGE = {
    "empty": b"",
    "text": b"<html>not found</html>",
    "floats": b"\0\0\x0d" + GOOD[3:],
    "no dimensions": b"\0\0\x08\0",
    "half a header": GOOD[:9],
    "truncated": GOOD[:-3],
    "too long": GOOD + b"x",
    "truncated gzip": gzip.compress(GOOD)[:-9],
    "flipped bits": gzip.compress(GOOD)[:14] + b"\xff\xff" + gzip.compress(GOOD)[16:],
    "wrong checksum": gzip.compress(GOOD)[:-8] + bytes(8),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_idx_names_the_file_and_the_remedy(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(DAMAGE[damage])
    with pytest.raises(GenlabError, match="delete it so that it is fetched again, or copy it anew") as caught:
        read_idx(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_root(None) == data_root("") == tmp_path / "cache/genlab/data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root(None) == tmp_path / ".cache/genlab/data"
    assert data_root("~/sets") == tmp_path / "sets"
    (tmp_path / "file").touch()
    with pytest.raises(GenlabError, match=r"is a file; set dataset\.root to a folder"):
        data_root(str(tmp_path / "file"))


# ------------------------------------------------------------------------------------------------- MNIST and its kin


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("name", "place", "root"),
    [
        ("mnist", "data/MNIST/raw", "data"),
        ("mnist", "data/MNIST/raw", "data/MNIST"),
        ("mnist", "data/MNIST/raw", "data/MNIST/raw"),
        ("mnist", "data/mnist", "data"),
        ("mnist", "data/mnist", "data/mnist"),
        ("fashion_mnist", "data/FashionMNIST/raw", "data"),
        ("fashion_mnist", "data/fashion-mnist", "data"),
        ("fashion_mnist", "data/fashion_mnist", "data/fashion_mnist/../fashion_mnist"),
        ("kmnist", "data/KMNIST/raw", "data"),
    ],
)
@pytest.mark.usefixtures("offline")
def test_a_set_is_found_wherever_it_usually_lies(
    tmp_path: Path, name: str, place: str, root: str, zipped: bool
) -> None:
    write_set(tmp_path / place, zipped=zipped)
    raw = LOADERS[name](root=str(tmp_path / root))
    assert (raw.name, raw.levels, raw.classes) == (name, 256, 10)
    assert raw.test is not None
    assert tensor(raw.train).shape == (4, 1, 28, 28)
    assert tensor(raw.test)[0, 0, 3, 20] == 200
    assert raw.train.y is not None
    assert raw.train.y.tolist() == [1, 2, 3, 4]


@pytest.mark.usefixtures("offline")
def test_one_set_never_passes_for_another(tmp_path: Path) -> None:
    write_set(tmp_path / "mnist")
    write_set(tmp_path / "mixed")
    mnist(root=str(tmp_path / "mnist"))
    for name, root in [("fashion_mnist", "mnist"), ("kmnist", "mnist"), ("mnist", "mixed"), ("fashion_mnist", ".")]:
        with pytest.raises(GenlabError, match=f"dataset={name}: not found"):
            LOADERS[name](root=str(tmp_path / root))


@pytest.mark.usefixtures("offline")
def test_an_incomplete_set_is_not_taken(tmp_path: Path) -> None:
    write_set(tmp_path / "mnist", names=FILES[:3])
    with pytest.raises(GenlabError, match="take dataset=digits"):
        mnist(root=str(tmp_path))
    write_set(tmp_path / "MNIST" / "raw")
    mnist(root=str(tmp_path))


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("train-labels-idx1-ubyte.gz", np.arange(3), "holds 4 images"),
        ("train-labels-idx1-ubyte.gz", np.arange(4) + 9, "labels 9 to 12, not 0 to 9"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((4, 8, 8)), "not that of 28x28 images"),
    ],
)
def test_images_and_labels_must_agree(tmp_path: Path, file: str, values: np.ndarray[Any, Any], message: str) -> None:
    write_set(tmp_path / "mnist")
    (tmp_path / "mnist" / file).write_bytes(gzip.compress(idx_bytes(values)))
    with pytest.raises(GenlabError, match=message):
        mnist(root=str(tmp_path))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("split", "classes", "first"), [("letters", 26, 0), ("balanced", 47, 1), ("digits", 10, 1)])
def test_emnist_is_upright_and_counts_from_zero(tmp_path: Path, split: Any, classes: int, first: int) -> None:
    names = tuple(f"emnist-{split}-{file.replace('t10k', 'test')}" for file in FILES)
    for place in ("", "EMNIST/raw", "emnist", "EMNIST/gzip"):
        write_set(tmp_path / place.replace("/", "-") / place, names=names)
        raw = emnist(root=str(tmp_path / place.replace("/", "-")), split=split)
        assert tensor(raw.train)[0, 0, 20, 3] == 200
        assert tensor(raw.train)[0, 0, 3, 20] == 7
        assert raw.classes == classes
        assert raw.train.y is not None
        assert raw.train.y.tolist() == [first, first + 1, first + 2, first + 3]


@pytest.mark.skipif(
    not any((REAL_MNIST / name).is_dir() for name in ("mnist", "MNIST")),
    reason="GENLAB_DATA names no folder that holds MNIST",
)
def test_the_real_mnist() -> None:
    data = prepare(mnist(root=str(REAL_MNIST)), binarize="none", dequantize=False, validation=0)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.train.y is not None
    assert data.train.y.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert float(data.spec.mean.mean()) == pytest.approx(0.1307, abs=1e-4)
    assert (data.spec.std.square() + data.spec.mean.square()).mean().sub(0.1307**2).sqrt() == pytest.approx(
        0.3081, abs=1e-4
    )


@pytest.mark.skipif(not mnist_module.DEBIAN_FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_debians_fashion_mnist(tmp_path: Path) -> None:
    raw = fashion_mnist(root=str(tmp_path))
    assert raw.test is not None
    assert (len(raw.train), len(raw.test)) == (60_000, 10_000)
    assert float(tensor(raw.train).float().mean() / 255) == pytest.approx(0.2860, abs=1e-4)


# ---------------------------------------------------------------------------------------------- colour sets and digits


def test_cifar10_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    pixels = RNG.integers(0, 256, (2, 3072), dtype=np.uint8)
    for place in ("a", "b/CIFAR10"):
        folder = tmp_path / place / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        for name in ("data_batch_1", "test_batch"):
            (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [3, 9]}))
        (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    sums = {
        name: hashlib.md5((folder / name).read_bytes()).hexdigest()
        for name in ("data_batch_1", "test_batch", "batches.meta")
    }
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    for root in ("a", "b", "b/CIFAR10", "a/cifar-10-batches-py"):
        raw = cifar10(root=str(tmp_path / root))
        assert tensor(raw.train).flatten(1).tolist() == pixels.tolist()
        assert raw.train.y is not None
        assert raw.train.y.tolist() == [3, 9]
        assert (tensor(raw.train).shape[1:], raw.levels, raw.classes) == ((3, 32, 32), 256, 10)
    (tmp_path / "a/cifar-10-batches-py/test_batch").write_bytes(b"nonsense")
    with pytest.raises(GenlabError, match=r"damaged or unreadable.*delete it"):
        cifar10(root=str(tmp_path / "a"))


def test_svhn_through_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    pixels = RNG.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    (tmp_path / "SVHN").mkdir()
    table = {}
    for split in ("train", "test"):
        path = tmp_path / "SVHN" / f"{split}_32x32.mat"
        savemat(path, {"X": pixels, "y": np.array([[1], [10], [3], [9]], np.uint8)})
        table[split] = ["http://127.0.0.1:9/", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(SVHN, "split_list", table)
    for root in (tmp_path, tmp_path / "SVHN"):
        raw = svhn(root=str(root))
        assert raw.train.y is not None
        assert raw.train.y.tolist() == [1, 0, 3, 9]
        assert np.array_equal(tensor(raw.train).numpy(), pixels.transpose(3, 2, 0, 1))
    (tmp_path / "SVHN" / "test_32x32.mat").write_bytes(b"nonsense")
    with pytest.raises(GenlabError, match=r"damaged or unreadable.*delete it"):
        svhn(root=str(tmp_path))


def test_digits_without_and_with_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "sklearn.datasets", None)
        raw = digits()
    x = tensor(raw.train)
    assert (x.shape, x.dtype, int(x.max()), raw.levels, raw.classes) == ((1797, 1, 8, 8), torch.uint8, 16, 17, 10)
    monkeypatch.setattr("genlab.data.digits.COLUMNS", 0)  # no table has so few
    fallback = digits()
    assert torch.equal(tensor(fallback.train), x)
    assert raw.train.y is not None
    assert fallback.train.y is not None
    assert torch.equal(fallback.train.y, raw.train.y)


# ------------------------------------------------------------------------------------------------------------- arrays


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
        (np.where(GREY > 127, 1, -1), (5, 1, 6, 7), torch.uint8, 2),
        (np.where(GREY > 127, 1.0, -1.0), (5, 1, 6, 7), torch.uint8, 2),
    ],
)
def test_array_kinds(tmp_path: Path, x: Any, shape: tuple[int, ...], dtype: torch.dtype, levels: int | None) -> None:
    raw = array(path=saved(tmp_path / "a", only=x), labels=None)
    stored = tensor(raw.train)
    assert (stored.shape, stored.dtype, raw.levels, raw.classes) == (shape, dtype, levels, None)
    expected = x if x.shape == shape else x[:, None] if x.ndim == 3 else x.transpose(0, 3, 1, 2)
    if levels == 2 and x.min() < 0:  # spins
        expected = expected > 0
    assert np.array_equal(stored.numpy(), expected.astype(stored.numpy().dtype))


def test_array_layouts_and_labels(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(6, 2)), np.array([0, 1, 2, 2, 1, 0])
    assert array(path=saved(tmp_path / "a", only=x), labels=saved(tmp_path / "l", only=y)).classes == 3
    assert array(path=saved(tmp_path / "b", x=x, y=y[:, None]), labels=None).classes == 3
    assert array(path=saved(tmp_path / "c", points=x), labels=None).classes is None
    raw = array(path=saved(tmp_path / "d", x_train=x, y_train=y, x_test=x[:2], y_test=y[:2]), labels=None)
    assert raw.test is not None
    assert (len(raw.train), len(raw.test), raw.classes) == (6, 2, 3)
    assert raw.test.y is not None
    assert raw.test.y.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"only": np.zeros((4, 28, 28, 1), object)}, "Python objects"),
        ({"a": np.zeros((4, 2), object), "b": np.zeros(4)}, "Python objects"),
        ({"a": np.zeros((4, 2)), "b": np.zeros(4)}, "holds the arrays a, b; keep one array, or x and y"),
        ({"x_train": np.zeros((4, 2)), "x_test": np.zeros((4, 2)), "y_train": np.zeros(4, int)}, "holds the arrays"),
        ({"only": np.zeros((4, 3, 28, 3))}, r"\(4, 3, 28, 3\) can be read in two ways"),
        ({"only": np.zeros((28, 28, 3), np.uint8)}, r"\(28, 28, 3\) can be read in two ways"),
        ({"only": np.zeros((4, 5, 6, 7))}, r"\(4, 5, 6, 7\) has neither 1 nor 3 channels"),
        ({"only": np.zeros(4)}, r"\(4,\) is neither vectors"),
        ({"only": np.zeros((2, 1, 4, 5, 6))}, "neither vectors"),
        ({"only": np.zeros((0, 2))}, "cannot mmap|is empty"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0, int)}, "is empty"),
        ({"only": np.array([["a", "b"]])}, "not numbers"),
        ({"only": np.zeros((4, 2), complex)}, "not numbers"),
        ({"only": np.zeros((4, 8, 8), np.int64)}, "store bool, uint8"),
        ({"only": np.eye(8, dtype=np.uint8)[None]}, "holds only 0 and 1; store binary images as bool"),
        ({"only": np.array([[1.0, np.nan]])}, "not finite"),
        ({"only": np.array([[1.0, 1e300]])}, "not finite in float32"),
        ({"x_train": np.zeros((4, 2)), "x_test": np.zeros((4, 3))}, "store both alike"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(3, int)}, r"labels of shape \(3,\) for 4 examples"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4)}, "these are of type float64"),
        ({"x": np.zeros((2, 2)), "y": np.array([-1, 0])}, "some are -1"),
        ({"x": np.zeros((2, 2)), "y": np.array([1, 2])}, "2 different labels between 1 and 2 are not 0..K-1"),
    ],
)
def test_array_mistakes_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(GenlabError, match=message) as caught:
        array(path=saved(tmp_path / "a", **arrays), labels=None)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_array_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(GenlabError, match=r"dataset.path=null: set dataset.path to a .npy or .npz file"):
        array(path=None, labels=None)
    with pytest.raises(GenlabError, match="No such file or directory"):
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


# ----------------------------------------------------------------------------------------------------------- pictures


def paint(path: Path, colour: Any = "red", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def load(path: Path, size: int = 8, channels: Any = 3, memory_limit_gb: float = 2.0) -> Raw:
    return image_folder(path=str(path), size=size, channels=channels, memory_limit_gb=memory_limit_gb)


def colours(picture: Any) -> list[list[int]]:
    """The corners of a picture, clockwise from the top left, each as a list of channels."""
    return [picture[:, i, j].tolist() for i, j in ((0, 0), (0, -1), (-1, -1), (-1, 0))]


def test_sub_folders_are_classes_in_a_fixed_order(tmp_path: Path) -> None:
    for i, name in enumerate(["b/10.png", "b/2.PNG", "a/deep/1.gif", "a/9.webp", "c/1.tif", "c/._1.tif", ".git/1.png"]):
        paint(tmp_path / name, (20 * i, 0, 0), format="PNG" if "._" in name else None)
    (tmp_path / "c" / "notes.txt").write_text("not a picture")
    (tmp_path / "empty").mkdir()
    raw = load(tmp_path)
    assert raw.train.y is not None
    assert (raw.train.y.tolist(), raw.classes, raw.levels, raw.test) == ([0, 0, 1, 1, 2], 3, 256, None)
    assert isinstance(raw.train.x, Tensor)
    assert raw.train.x.dtype == torch.uint8
    reds = tensor(raw.train)[:, 0, 4, 4].tolist()
    assert reds == pytest.approx([60, 40, 0, 20, 80], abs=3)


def test_pictures_without_classes(tmp_path: Path) -> None:
    paint(tmp_path / "flat" / "1.png")
    paint(tmp_path / "one" / "only" / "1.png")
    for name in ("flat", "one"):
        raw = load(tmp_path / name, channels=1)
        assert (raw.train.y, raw.classes, tensor(raw.train).shape) == (None, None, (1, 1, 8, 8))


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "train/dog/2.png", "test/dog/1.png", "other/1.png"):
        paint(tmp_path / name)
    raw = load(tmp_path)
    assert raw.train.y is not None
    assert raw.test is not None
    assert raw.test.y is not None
    assert (raw.train.y.tolist(), raw.test.y.tolist(), raw.classes) == ([0, 1, 1], [1], 2)
    paint(tmp_path / "test/cow/1.png")
    with pytest.raises(GenlabError, match="lacks: cow"):
        load(tmp_path)


@pytest.mark.parametrize(("turn", "where"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_exif_orientation(tmp_path: Path, turn: int, where: int) -> None:
    picture = Image.new("RGB", (32, 32), "black")
    picture.paste((255, 255, 255), (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = turn
    picture.save(tmp_path / "1.png", exif=exif)
    corners = [corner[0] for corner in colours(decode(tmp_path / "1.png", 8, 3))]
    assert [corner > 128 for corner in corners] == [i == where for i in range(4)]


@pytest.mark.parametrize(("size", "bands"), [((30, 10), "vertical"), ((10, 30), "horizontal"), ((3, 9), "horizontal")])
def test_the_middle_square_is_kept(tmp_path: Path, size: tuple[int, int], bands: str) -> None:
    width, height = size
    picture = Image.new("RGB", size, "red")
    third = (width // 3, 0, 2 * width // 3, height) if bands == "vertical" else (0, height // 3, width, 2 * height // 3)
    picture.paste((0, 255, 0), third)
    picture.save(tmp_path / "1.png")
    red, green, blue = decode(tmp_path / "1.png", 6, 3)
    inner = np.s_[1:-1, 1:-1]  # the filter reaches a pixel beyond the square
    assert (red[inner] == 0).all()
    assert (green[inner] == 255).all()
    assert (blue == 0).all()
    assert green.min() > 190


def test_shrinking_is_antialiased(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (256, 128))
    for suffix in ("png", "jpg"):
        Image.fromarray(stripes).save(tmp_path / f"1.{suffix}", quality=95)
        assert abs(decode(tmp_path / f"1.{suffix}", 16, 1).astype(int) - 127.5).max() < 6


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 51), (204, 204, 204)),
        ("I;16", 32896, (128, 128, 128)),
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
    ],
)
def test_picture_modes(tmp_path: Path, mode: str, colour: Any, expected: tuple[int, ...]) -> None:
    path = paint(tmp_path / "1.png", colour, (9, 9), mode)
    assert colours(decode(path, 3, 3)) == [list(expected)] * 4
    assert decode(path, 3, 1).shape == (1, 3, 3)


def test_palettes_and_cmyk(tmp_path: Path) -> None:
    picture = Image.new("P", (9, 9), 0)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "opaque.gif")
    picture.save(tmp_path / "clear.gif", transparency=0)
    paint(tmp_path / "ink.jpg", (0, 255, 255, 0), (9, 9), "CMYK")
    assert colours(decode(tmp_path / "opaque.gif", 3, 3))[0] == [255, 0, 0]
    assert colours(decode(tmp_path / "clear.gif", 3, 3))[0] == [255, 255, 255]
    assert colours(decode(tmp_path / "ink.jpg", 3, 3))[0] == pytest.approx([255, 0, 0], abs=4)


def test_picture_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(GenlabError, match=r"dataset\.path=null: set dataset\.path to a folder of pictures"):
        image_folder(path=None, size=8, channels=3, memory_limit_gb=1.0)
    with pytest.raises(GenlabError, match="no such folder"):
        load(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GenlabError, match="holds no pictures"):
        load(tmp_path / "empty")
    paint(tmp_path / "mixed" / "1.png")
    paint(tmp_path / "mixed" / "a" / "1.png")
    with pytest.raises(GenlabError, match=r"both in it \(as 1.png\) and in its sub-folders"):
        load(tmp_path / "mixed")


@pytest.mark.parametrize("memory_limit_gb", [0.0, 2.0])
@pytest.mark.parametrize("damage", ["text", "truncated", "float"])
def test_a_damaged_picture_is_named(tmp_path: Path, damage: str, memory_limit_gb: float) -> None:
    paint(tmp_path / "good.png")
    bad = paint(tmp_path / "bad.tif", 0.5, (9, 9), "F") if damage == "float" else paint(tmp_path / "bad.jpg")
    if damage != "float":
        bad.write_bytes(b"not a picture" if damage == "text" else bad.read_bytes()[:300])
    with pytest.raises(GenlabError, match=r"cannot be decoded .*; remove it or replace it") as caught:
        tensor(load(tmp_path, memory_limit_gb=memory_limit_gb).train)
    assert str(bad) in str(caught.value)


def test_streamed_pictures_equal_those_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(23):
        noise = RNG.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / "ab"[i % 2] / f"{i}.jpg")
    streams, means = [], []
    for limit in (2.0, 0.0):
        data = prepare(load(tmp_path, memory_limit_gb=limit), binarize="none", dequantize=False, validation=3, test=0.2)
        batches = Batches(data.train, data.represent, batch_size=4, examples=60, seed=3, device=CPU)
        streams.append([(batch.x, batch.y) for batch in batches])
        means.append(data.spec.mean)
    assert torch.equal(means[0], means[1])
    for (x, y), (streamed_x, streamed_y) in zip(*streams, strict=True):
        assert torch.equal(x, streamed_x)
        assert y is not None
        assert streamed_y is not None
        assert torch.equal(y, streamed_y)

    calls: list[Path] = []

    def counting(file: Path, size: int, channels: Any) -> Any:
        calls.append(file)
        return decode(file, size, channels)

    monkeypatch.setattr("genlab.data.image_folder.decode", counting)
    assert isinstance(load(tmp_path, memory_limit_gb=0).train.x, Pictures)
    list(Batches(data.train, data.represent, batch_size=4, examples=60, seed=4, device=CPU))
    assert len(calls) == 60, "each picture is decoded once per use, whether read ahead or not"


# ------------------------------------------------------------------------------------------------------------ batches


def stream(n: int, batch_size: int, examples: int, seed: int, seen: int = 0) -> list[Tensor]:
    data = Examples(torch.arange(float(n))[:, None], torch.arange(n))
    batches = Batches(
        data, Representation(None, "none", False), batch_size=batch_size, examples=examples, seed=seed, device=CPU
    )
    batches.load_state_dict({"seen": seen})
    found: list[Tensor] = []
    for batch in batches:
        assert batch.y is not None
        assert batch.x[:, 0].tolist() == batch.y.tolist()
        assert batch.progress == pytest.approx((seen + len(found) * batch_size) / examples)
        found.append(batch.y)
    return found


@pytest.mark.parametrize(("n", "batch_size"), [(10, 5), (10, 3), (7, 16)])
def test_every_batch_is_full_and_every_epoch_complete(n: int, batch_size: int) -> None:
    batches = stream(n, batch_size, examples=20 * n, seed=1)
    assert {len(batch) for batch in batches} == {batch_size}
    epochs = torch.split(torch.cat(batches)[: 20 * n], n)
    assert all(epoch.sort().values.tolist() == list(range(n)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 10, "each epoch has an order of its own"


def test_the_order_is_a_function_of_seed_and_position() -> None:
    torch.manual_seed(1)
    once = stream(11, 4, 100, seed=5)
    torch.manual_seed(2)
    assert torch.equal(torch.cat(once), torch.cat(stream(11, 4, 100, seed=5)))
    assert torch.equal(torch.cat(once)[:99], torch.cat(stream(11, 3, 99, seed=5)))
    assert not torch.equal(torch.cat(once), torch.cat(stream(11, 4, 100, seed=6)))
    for k in range(len(once)):
        assert torch.equal(torch.cat(once[k:]), torch.cat(stream(11, 4, 100, seed=5, seen=4 * k)))


def test_in_order_is_one_pass() -> None:
    data = Examples(torch.arange(10.0)[:, None], None)
    for limit, expected in ((None, 10), (7, 7), (99, 10)):
        batches = list(in_order(data, Representation(None, "none", False), batch_size=4, device=CPU, limit=limit))
        assert torch.cat([batch.x for batch in batches])[:, 0].tolist() == list(range(expected))


# ----------------------------------------------------------------------------------- representation and specification


def test_dynamic_binarisation_has_the_grey_value_as_mean() -> None:
    torch.manual_seed(0)
    n, grey = 20_000, torch.arange(17) / 16
    x = Representation(17, "dynamic", False)(torch.arange(17, dtype=torch.uint8).expand(n, 17))
    assert torch.unique(x).tolist() == [0, 1]
    error = (x.mean(0) - grey).abs()
    assert bool((error <= SIGMAS * (grey * (1 - grey) / n).sqrt()).all()), "mean of n Bernoulli(g): sd sqrt(g(1-g)/n)"
    again = Representation(17, "dynamic", False)(torch.arange(17, dtype=torch.uint8).expand(n, 17))
    assert not torch.equal(x, again)


def test_threshold_and_grey() -> None:
    v = torch.arange(17, dtype=torch.uint8)
    assert Representation(17, "threshold", False)(v).tolist() == [0.0] * 9 + [1.0] * 8
    assert Representation(17, "none", False)(v).tolist() == [i / 16 for i in range(17)]
    assert Representation(256, "none", False)(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [0, 1]


def test_dequantisation_fills_each_grey_level_uniformly() -> None:
    torch.manual_seed(0)
    n, levels = 20_000, 17
    v = torch.arange(levels, dtype=torch.uint8).expand(n, levels)
    x = Representation(levels, "none", True)(v)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    within = x * levels - v
    assert -1e-5 < float(within.min()) < 1e-3
    assert 1 - 1e-3 < float(within.max()) < 1 + 1e-5
    assert bool(((within.mean(0) - 0.5).abs() < SIGMAS / (12 * n) ** 0.5).all()), "mean of n U[0,1): sd 1/sqrt(12 n)"


def identified(n: int, test: bool = False) -> Raw:
    """Examples that are known by their label."""
    whole = Examples(torch.arange(n, dtype=torch.uint8).expand(1, 2, 2, n).permute(3, 0, 1, 2), torch.arange(n))
    return Raw("toy", whole, whole.subset(torch.arange(3)) if test else None, levels=256, classes=n)


@pytest.mark.parametrize(
    ("validation", "test", "sizes"),
    [(0.1, 0.2, (72, 8, 20)), (5, 7, (88, 5, 7)), (0, 2, (98, 0, 2)), (0.5, 0.5, (25, 25, 50))],
)
def test_splits_are_disjoint_complete_and_the_same_for_every_seed(
    validation: float, test: float, sizes: tuple[int, int, int]
) -> None:
    parts = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        data = prepare(identified(100), binarize="none", dequantize=False, validation=validation, test=test)
        splits = [data.train.y, None if data.validation is None else data.validation.y, data.test.y]
        parts.append([[] if y is None else y.tolist() for y in splits])
        assert data.train.y is not None
        assert tensor(data.train)[:, 0, 0, 0].tolist() == data.train.y.tolist()
    assert parts[0] == parts[1]
    assert tuple(len(part) for part in parts[0]) == sizes
    assert sorted(i for part in parts[0] for i in part) == list(range(100))


def test_an_official_test_split_is_left_alone() -> None:
    data = prepare(identified(20, test=True), binarize="none", dequantize=False, validation=4, test=0.5)
    assert (len(data.train), len(data.test)) == (16, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": 20}, "dataset.validation=20: only 18 examples are at hand"),
        ({"test": 0}, "has no test split of its own"),
        ({"test": 20}, "dataset.test=20: only 20"),
        ({"binarize": "dynamic", "dequantize": True}, "dataset.dequantize=true"),
    ],
)
def test_prepare_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    defaults: dict[str, Any] = {"binarize": "none", "dequantize": False, "validation": 2, "test": 2}
    with pytest.raises(GenlabError, match=message):
        prepare(identified(20), **(defaults | options))


@pytest.mark.parametrize(
    ("binarize", "dequantize"), [("none", False), ("none", True), ("dynamic", False), ("threshold", False)]
)
def test_the_specification_has_the_moments_that_models_see(binarize: Any, dequantize: bool) -> None:
    data = prepare(digits(), binarize=binarize, dequantize=dequantize, validation=0, test=0.2)
    support = "unit" if binarize == "none" else "binary"
    assert (data.spec.support, data.spec.shape, data.spec.classes) == (support, (1, 8, 8), 10)
    assert data.spec.levels == (17 if binarize == "none" and not dequantize else None)
    torch.manual_seed(0)
    n, repeats = len(data.train), 50
    x = torch.cat([data.represent(tensor(data.train)) for _ in range(repeats)]).double()
    assert data.spec.low <= float(x.min())
    assert data.spec.high >= float(x.max())
    # Given the images, the noise of a pixel has a standard deviation of at most 1/2; its mean over n * repeats draws,
    # and that of its square, stray by SIGMAS times that over the root of their number.
    noise = SIGMAS * 0.5 / (n * repeats) ** 0.5 if binarize == "dynamic" or dequantize else 1e-6
    assert float((x.mean(0) - data.spec.mean).abs().max()) < noise
    assert float((x.square().mean(0) - data.spec.mean.square() - data.spec.std.square()).abs().max()) < 2 * noise


def test_the_specification_of_vectors_and_bits() -> None:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * 0.01 + 1000
    spec = prepare(
        Raw("points", Examples(x, None), None, None, None), binarize="none", dequantize=False, validation=0, test=2
    ).spec
    assert (spec.support, spec.levels, spec.classes, spec.shape) == ("real", None, None, (2,))
    assert spec.std.tolist() == pytest.approx([0.01, 0.01], rel=0.2)
    bits = Examples((torch.rand(500, 4, generator=torch.Generator().manual_seed(0)) < 0.5).to(torch.uint8), None)
    spec = prepare(Raw("bits", bits, None, 2, None), binarize="none", dequantize=False, validation=0, test=2).spec
    assert (spec.support, spec.levels) == ("binary", None)


# ------------------------------------------------------------------------------------------------------ configurations


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_hold_the_keys_of_their_loader_and_of_prepare(path: Path) -> None:
    config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(config, dict)
    module, name = str(config.pop("_target_")).rsplit(".", 1)
    loader = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert path.read_text().startswith("# ")
    assert path.stem == name
    official_test = name not in ("digits", "array", "image_folder", "toy2d", "gaussian", "ising")
    assert config.keys() == loader.keys() | {"binarize", "dequantize", "validation", "labelled", "exclude"} | (
        set() if official_test else {"test"}
    )
    assert all(p.default is inspect.Parameter.empty and p.kind is p.KEYWORD_ONLY for p in loader.values())
