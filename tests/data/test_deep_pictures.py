"""Pictures of more than 8 bits, in folders and as arrays: every level is kept, and the values of the files come back."""

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from genlab.data.arrays import arrays_as_raw
from genlab.data.batches import Batches
from genlab.data.dataset import RawData
from genlab.data.sources.image_folder import image_folder
from genlab.data.splits import prepare
from genlab.errors import GenlabError
from tests.helpers.support import tensor

RNG = np.random.default_rng(0)
COUNTS = (50 + RNG.gamma(0.8, 500, size=(14, 24, 24))).clip(0, 4018).astype(np.uint16)
COUNTS[3, 9, 11] = 4018


def load(path: Path, size: int = 24, channels: Any = 1, memory_limit_gb: float = 2.0, **keys: Any) -> RawData:
    return image_folder(path=str(path), size=size, channels=channels, memory_limit_gb=memory_limit_gb, **keys)


def save(folder: Path, pictures: Any = COUNTS, suffixes: tuple[str, ...] = (".png", ".tif")) -> Path:
    folder.mkdir(exist_ok=True)
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{k:02}{suffixes[k % len(suffixes)]}")
    return folder


def in_units(raw: RawData) -> Tensor:
    assert raw.units is not None
    return raw.units.outer(tensor(raw.train))


@pytest.mark.parametrize("memory_limit_gb", [2.0, 0.0])
def test_every_level_is_kept_in_memory_and_on_disk(memory_limit_gb: float, tmp_path: Path) -> None:
    raw = load(save(tmp_path / "p"), memory_limit_gb=memory_limit_gb)
    assert isinstance(raw.train.x, Tensor) == (memory_limit_gb > 0)
    x = tensor(raw.train)
    assert (x.dtype, raw.levels, float(x.min()), float(x.max())) == (torch.float32, None, 0, 1)
    assert np.array_equal(in_units(raw).round().numpy()[:, 0], COUNTS)
    assert float((in_units(raw) - torch.from_numpy(COUNTS[:, None].astype(float))).abs().max()) < 1e-3
    assert re.match(r"pictures of more than 8 bits: their values, 50 to 4018, are seen as 0 to 1", raw.remarks[0])
    data = prepare(raw, binarize="none", dequantize=False, validation=2, test=2)
    assert (data.spec.support, data.spec.levels, data.remarks[:1]) == ("unit", None, raw.remarks)
    assert data.spec.units is raw.units
    batches = Batches(data.train, data.represent, batch_size=4, examples=12, seed=0, device=torch.device("cpu"))
    assert all(float(batch.x.min()) >= 0 and float(batch.x.max()) <= 1 for batch in batches)


def test_the_range_can_be_set_and_says_what_is_cut_off(tmp_path: Path) -> None:
    folder = save(tmp_path / "p")
    wide = load(folder, range=[0.0, 65535.0])
    assert np.array_equal(in_units(wide).round().numpy()[:, 0], COUNTS)
    assert float(tensor(wide.train).max()) == pytest.approx(4018 / 65535)
    narrow = load(folder, range=[100.0, 1000.0])
    assert np.array_equal(in_units(narrow).round().numpy()[:, 0], COUNTS.clip(100, 1000))
    assert narrow.remarks == (
        "values 100 to 1000 of the pictures are seen as 0 to 1, and others cut off; samples are saved in them",
    )
    eight = save(tmp_path / "eight", (COUNTS // 16).astype(np.uint8))
    assert load(eight).levels == 256
    assert np.array_equal(in_units(load(eight, range=[0.0, 251.0])).round().numpy()[:, 0], COUNTS // 16)


def test_pictures_of_real_numbers_and_pages(tmp_path: Path) -> None:
    real = (COUNTS / 7 - 100).astype(np.float32)
    raw = load(save(tmp_path / "real", real, (".tiff",)))
    assert np.allclose(in_units(raw).numpy()[:, 0], real, atol=1e-3)
    pages = [Image.fromarray(picture) for picture in COUNTS]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=[*pages[1:], pages[1].resize((12, 12))])
    for memory in (2.0, 0.0):
        stack = load(tmp_path / "stack.tif", memory_limit_gb=memory)
        assert np.array_equal(in_units(stack).round().numpy()[:, 0], COUNTS), "and no preview"
    wrong = real.copy()
    wrong[5, 3, 3] = np.nan
    with pytest.raises(GenlabError, match=r"05.tiff: cannot be decoded \(values that are not finite\)"):
        load(save(tmp_path / "nan", wrong, (".tiff",)))


def test_other_sizes_keep_the_depth(tmp_path: Path) -> None:
    folder = save(tmp_path / "p")
    small, large = (in_units(load(folder, size=size)) for size in (12, 48))
    for values in (small, large):
        assert len(values.unique()) > 2000, "more than 8 bits have"
        assert float(values.min()) >= 50
        assert float(values.max()) <= 4018
        assert float(values.mean()) == pytest.approx(COUNTS.mean(), rel=0.02)
    assert torch.equal(*(tensor(load(folder, channels=3).train)[:, c] for c in (0, 2)))


def test_colours_of_16_bits_are_said_to_lose_depth(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + RNG.integers(0, 65536, 8 * 3).astype(">u2").tobytes() for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    assert "a.png has 16 bits a colour, of which 8 are read" in load(tmp_path / "p", size=8, channels=3).remarks[0]
    assert load(save(tmp_path / "eight", (COUNTS // 16).astype(np.uint8))).remarks == ()


def test_unlike_depths_and_other_mistakes(tmp_path: Path) -> None:
    folder = save(tmp_path / "p")
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(folder / "eight.png")
    with pytest.raises(GenlabError, match=r"has more than 8 bits and .*eight.png has 8; save all pictures alike"):
        load(folder)
    with pytest.raises(GenlabError, match="have the value 7 everywhere"):
        load(save(tmp_path / "flat", np.full((4, 24, 24), 7, np.uint16)))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.int64])
def test_arrays_of_counts(kind: Any) -> None:
    raw = arrays_as_raw(COUNTS.astype(kind), kind="images")
    assert tensor(raw.train).dtype == torch.float32
    assert np.array_equal(in_units(raw).round().numpy()[:, 0], COUNTS)
    wide = arrays_as_raw(COUNTS.astype(kind), kind="images", span=[0, 4095])
    assert float(tensor(wide.train).max()) == pytest.approx(4018 / 4095)
    both = arrays_as_raw(COUNTS[:7].astype(kind), x_test=COUNTS[7:].astype(kind), kind="images")
    assert both.units is not None
    assert float(both.units.shift) == 50, "of both splits"
    with pytest.raises(GenlabError, match=r"dataset.range=\[0, 1\]: is that of pictures"):
        arrays_as_raw(COUNTS[:, 0, :5], kind="vectors", span=[0, 1])
