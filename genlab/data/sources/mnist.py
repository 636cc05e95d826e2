"""MNIST and the data sets of the same format: 28x28 grey pictures in four IDX files.

mnist          70,000 handwritten digits                      (LeCun, Bottou, Bengio & Haffner 1998)
fashion_mnist  70,000 pieces of clothing                      (Xiao, Rasul & Vollgraf 2017)
kmnist         70,000 cursive Japanese characters             (Clanuwat et al. 2018)
emnist         handwritten digits and letters in six splits   (Cohen, Afshar, Tapson & van Schaik 2017)

The files are looked for under `root` in a folder that bears the set's name in any usual spelling, or in torchvision's
layout (`MNIST/raw`), gzipped or not. The first three sets use the same four file names, so files that lie in `root`
itself count only if `root` bears the set's name: otherwise one set could pass for another. What is not found is
downloaded, into torchvision's layout.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from genlab.data.class_labels import unless_numbers
from genlab.data.dataset import RawData
from genlab.data.download import DownloadError, complete, data_root, fetch, namesakes, not_found, unpack
from genlab.data.examples import Examples
from genlab.data.sources.idx import read_idx
from genlab.errors import GenlabError

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")  # the package dataset-fashion-mnist
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
CAPITALS, SMALL, MERGED = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz", "abdefghnqrt"
EMNIST_CLASSES = {
    "balanced": f"0123456789{CAPITALS}{MERGED}",  # other small letters look like their capitals
    "byclass": f"0123456789{CAPITALS}{SMALL}",
    "bymerge": f"0123456789{CAPITALS}{MERGED}",
    "letters": CAPITALS,
    "digits": "0123456789",
    "mnist": "0123456789",
}
"""The characters of each split, in the order of its classes."""


def mnist(*, root: str | None) -> RawData:
    """Handwritten digits: 60,000 for training, 10,000 for the test."""
    return _load("mnist", "MNIST", root)


def fashion_mnist(*, root: str | None) -> RawData:
    """Clothes in ten classes: 60,000 for training, 10,000 for the test."""
    return replace(_load("fashion_mnist", "FashionMNIST", root, DEBIAN_FASHION), class_names=FASHION)


def kmnist(*, root: str | None) -> RawData:
    """Ten hiragana in cursive handwriting: 60,000 for training, 10,000 for the test."""
    return replace(_load("kmnist", "KMNIST", root), class_names=KUZUSHIJI)


def emnist(
    *, root: str | None, split: Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"]
) -> RawData:
    """Handwritten characters, upright, labels from 0; `split` says which characters and how they are grouped."""
    folder = data_root(root)
    target = folder / "EMNIST" / "raw"
    files = [f"emnist-{split}-{file.replace('t10k', 'test')}" for file in FILES]

    def download() -> None:
        from torchvision.datasets import EMNIST

        archive = target / "gzip.zip"
        fetch([EMNIST.url], archive, EMNIST.md5)
        unpack(archive, {f"gzip/{file}.gz": target / f"{file}.gz" for file in files})

    # These names say which set they belong to, so files in the root itself are trusted; `gzip` is the archive's folder.
    places = [place / inside for place in (folder, *namesakes(folder, "emnist")) for inside in ("", "raw", "gzip")]
    paths = _locate("emnist", files, places, target, download)
    first = 1 if split == "letters" else 0
    train, test = (
        _read(*pair, classes=len(EMNIST_CLASSES[split]), first=first, transposed=True)
        for pair in (paths[:2], paths[2:])
    )
    names = unless_numbers(tuple(EMNIST_CLASSES[split]))
    return RawData("emnist", train, test, 256, num_classes=len(EMNIST_CLASSES[split]), class_names=names)


def _load(name: str, published: str, root: str | None, *elsewhere: Path) -> RawData:
    folder = data_root(root)
    target = folder / published / "raw"

    def download() -> None:
        from torchvision import datasets

        source = getattr(datasets, published)
        for file, md5 in source.resources:
            fetch([mirror + file for mirror in source.mirrors], target / file, md5)

    own = namesakes(folder, name)
    if _raw_of(folder, name):
        own.append(folder)
    places = [place / inside for place in own for inside in ("", "raw")]
    paths = _locate(name, FILES, [*places, *elsewhere], target, download)
    train, test = (_read(*pair, classes=10, first=0, transposed=False) for pair in (paths[:2], paths[2:]))
    return RawData(name, train, test, levels=256, num_classes=10)


def _raw_of(folder: Path, name: str) -> bool:
    """Whether `folder` is the `raw` of torchvision's layout for the set called `name`."""
    return folder.name == "raw" and folder.parent in namesakes(folder.parent, name)


def _locate(
    name: str, files: Sequence[str], places: Sequence[Path], target: Path, download: Callable[[], None]
) -> list[Path]:
    """Paths of `files`, all from the first of `places` that has them all, else downloaded into `target`."""
    try:
        for place in places:
            if paths := _all_of(files, place):
                return paths
        download()
    except DownloadError as error:
        raise not_found(name, target, (f"{file}[.gz]" for file in files), error) from error
    paths = _all_of(files, target)
    assert paths, "what was downloaded is there"
    return paths


def _all_of(files: Sequence[str], place: Path) -> list[Path]:
    paths = [[place / name for name in (file, f"{file}.gz") if complete([place], [name])] for file in files]
    return [choices[0] for choices in paths] if all(paths) else []


def _read(images_file: Path, labels_file: Path, *, classes: int, first: int, transposed: bool) -> Examples:
    """Images (N, 1, 28, 28) and classes 0..classes-1 from labels that start at `first`."""
    images, labels = read_idx(images_file), read_idx(labels_file).long() - first
    remedy = "delete both so that they are fetched again, or copy them anew"
    if images.ndim != 3 or images.shape[1:] != (28, 28) or len(images) == 0:
        raise GenlabError(f"{images_file}: shape {tuple(images.shape)} is not that of 28x28 images; {remedy}")
    if labels.shape != images.shape[:1]:
        raise GenlabError(
            f"{images_file} holds {len(images)} images, {labels_file} labels of shape {tuple(labels.shape)}; {remedy}"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise GenlabError(
            f"{labels_file}: labels {int(labels.min()) + first} to {int(labels.max()) + first}, "
            f"not {first} to {classes - 1 + first}; {remedy}"
        )
    upright = images.transpose(1, 2).contiguous() if transposed else images
    return Examples(upright.unsqueeze(1), labels)
