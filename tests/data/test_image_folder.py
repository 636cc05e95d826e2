"""dataset=image_folder: orders, orientations, modes, and pictures that are streamed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genlab.data.batches import Batches
from genlab.data.dataset import RawData
from genlab.data.pictures import Page, decode
from genlab.data.sources.image_folder import Pictures, image_folder
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from tests.helpers.mutations import write_bomb
from tests.helpers.support import tensor

torch.set_num_threads(1)

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)


def paint(path: Path, colour: Any = "red", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def load(path: Path, size: int = 8, channels: Any = 3, memory_limit_gb: float = 2.0) -> RawData:
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
    assert (raw.train.y.tolist(), raw.num_classes, raw.levels, raw.test) == ([0, 0, 1, 1, 2], 3, 256, None)
    assert isinstance(raw.train.x, Tensor)
    assert raw.train.x.dtype == torch.uint8
    reds = tensor(raw.train)[:, 0, 4, 4].tolist()
    assert reds == pytest.approx([60, 40, 0, 20, 80], abs=3)


def test_pictures_without_classes(tmp_path: Path) -> None:
    paint(tmp_path / "flat" / "1.png")
    paint(tmp_path / "one" / "only" / "1.png")
    for name in ("flat", "one"):
        raw = load(tmp_path / name, channels=1)
        assert (raw.train.y, raw.num_classes, tensor(raw.train).shape) == (None, None, (1, 1, 8, 8))


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    for name in ("train/cat/1.png", "train/dog/1.png", "train/dog/2.png", "test/dog/1.png", "other/1.png"):
        paint(tmp_path / name)
    raw = load(tmp_path)
    assert raw.train.y is not None
    assert raw.test is not None
    assert raw.test.y is not None
    assert (raw.train.y.tolist(), raw.test.y.tolist(), raw.num_classes) == ([0, 1, 1], [1], 2)
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
@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_a_damaged_picture_is_named(tmp_path: Path, damage: str, memory_limit_gb: float) -> None:
    paint(tmp_path / "good.png")
    bad = paint(tmp_path / "bad.jpg")
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

    calls: list[Page] = []

    def counting(page: Page, size: int, channels: Any) -> Any:
        calls.append(page)
        return decode(page.file, size, channels)

    monkeypatch.setattr("genlab.data.sources.image_folder.decode_page", counting)
    assert isinstance(load(tmp_path, memory_limit_gb=0).train.x, Pictures)
    list(Batches(data.train, data.represent, batch_size=4, examples=60, seed=4, device=CPU))
    assert len(calls) == 60, "each picture is decoded once per use, whether read ahead or not"


def test_a_file_is_no_program_and_no_bomb(tmp_path: Path) -> None:
    script = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(executed) (w) file closefile\nshowpage\n"
    (tmp_path / "program.png").write_text(script)  # which Pillow gives to Ghostscript
    write_bomb(tmp_path / "bomb.png", 60_000)
    for name, reason in (("program", "cannot identify"), ("bomb", "decompression bomb")):
        with pytest.raises(GenlabError, match=rf"{name}\.png: cannot be decoded \(.*{reason}"):
            decode(tmp_path / f"{name}.png", 8, 1)


@pytest.mark.parametrize("memory_limit_gb", [2.0, 0.0])
def test_channels_are_those_of_the_pictures(tmp_path: Path, memory_limit_gb: float) -> None:
    for k, mode in enumerate(("L", "LA", "1", "P")):
        paint(tmp_path / "mixed" / f"{k}.png", 7, mode="L")
        (tmp_path / "grey").mkdir(exist_ok=True)
        Image.new("L", (20, 20), 50 * k).convert(mode).save(tmp_path / "grey" / f"{k}.png")
    paint(tmp_path / "mixed" / "5.png")
    paint(tmp_path / "palette" / "1.png", "red")
    Image.open(tmp_path / "palette" / "1.png").convert("P").save(tmp_path / "palette" / "1.png")
    Image.new("RGB", (20, 20), "red").convert("LAB").save(tmp_path / "palette" / "2.tif")
    grey, *colour = (
        load(tmp_path / name, channels=None, memory_limit_gb=memory_limit_gb) for name in ("grey", "mixed", "palette")
    )
    assert grey.train.shape == (1, 8, 8)
    assert grey.remarks == ("4 pictures, all grey, have 1 channel; dataset.channels=3 reads 3",)
    for raw, n in zip(colour, (5, 2), strict=True):
        assert raw.train.shape == (3, 8, 8)
        assert raw.remarks == (f"{n} pictures are read in colour, 3 channels; dataset.channels=1 reads 1",)


def test_deep_grey_pictures_have_one_channel_and_keep_both_remarks(tmp_path: Path) -> None:
    for k in range(3):
        Image.fromarray(np.full((9, 9), 1000 * k, np.uint16)).save(tmp_path / f"{k}.tif")
    raw = load(tmp_path, channels=None)
    assert (raw.train.shape, len(raw.remarks)) == ((1, 8, 8), 2)
    assert load(tmp_path, channels=3).train.shape == (3, 8, 8)
