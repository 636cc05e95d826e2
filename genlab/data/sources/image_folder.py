"""The user's own pictures: a folder of them, cropped to squares of one size.

Sub-folders are the classes; where there is none, or only one, the pictures are unlabelled. Sub-folders `train` and
`test` are the splits, each arranged in the same way, and nothing beside them is read. The shorter side of a picture is
brought to `size` with an antialiasing filter and the middle square is kept; transparent parts turn white.

Pictures that fit in `memory_limit_gb` are decoded once into one tensor. Others stay on disk and are decoded at each
use by a few threads, the next batch while the model works on this one. Both ways give the same pixels.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import track
from torch import Tensor

from genlab.config.types import Count, NonNegative
from genlab.data.dataset import RawData
from genlab.data.examples import Examples, Store
from genlab.errors import GenlabError

Pixels = NDArray[np.uint8]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What those names may hold. Of others, such as EPS, Pillow would start a program to read them."""
THREADS = min(16, os.cpu_count() or 1)


def image_folder(
    *,
    path: str | None,
    size: Count,
    channels: Literal[1, 3],
    memory_limit_gb: NonNegative,
) -> RawData:
    """The pictures under `path` as (channels, size, size), 1 channel for grey and 3 for red, green and blue."""
    if not path:
        raise GenlabError("dataset.path=null: set dataset.path to a folder of pictures")
    try:
        folder = Path(path).expanduser()
        splits = [folder / "train", folder / "test"]
        exists, has_splits = folder.is_dir(), all(split.is_dir() for split in splits)
    except (OSError, RuntimeError) as error:  # RuntimeError: a ~ that leads nowhere
        raise GenlabError(
            f"dataset.path={path}: cannot be read ({error}); set dataset.path to another folder"
        ) from error
    if not exists:
        raise GenlabError(f"dataset.path={path}: no such folder; set dataset.path to a folder of pictures")
    listings = [_by_class(split) for split in (splits if has_splits else [folder])]
    if all(len(listing) == 1 for listing in listings):
        listings = [{"": pictures} for listing in listings for pictures in listing.values()]
    classes = sorted(listings[0])
    if unknown := [name for listing in listings for name in listing if name not in classes]:
        names = ", ".join(unknown) or "(no sub-folder)"
        raise GenlabError(f"{splits[1]}: holds classes that {splits[0]} lacks: {names}; name them alike")

    n_bytes = sum(len(pictures) for listing in listings for pictures in listing.values()) * channels * size**2
    in_memory = n_bytes <= memory_limit_gb * 1e9
    parts = []
    for listing in listings:
        pictures = Pictures([file for name in classes for file in listing.get(name, ())], size, channels)
        counts = torch.tensor([len(listing.get(name, ())) for name in classes])
        y = torch.arange(len(classes)).repeat_interleave(counts) if len(classes) > 1 else None
        x: Store = pictures.in_memory() if in_memory else pictures
        parts.append(Examples(x, y))
    train, test = parts if has_splits else (parts[0], None)
    return RawData("image_folder", train, test, levels=256, num_classes=len(classes) if len(classes) > 1 else None)


class Pictures:
    """Pictures that stay on disk: a store of uint8 (channels, size, size), decoded as they are asked for."""

    def __init__(self, files: Sequence[Path], size: int, channels: Literal[1, 3]) -> None:
        self.files, self.size, self.channels = files, size, channels
        self._ahead: dict[tuple[int, ...], list[Future[Pixels]]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Tensor) -> Tensor:
        wanted = tuple(index.tolist())
        decoded = self._ahead.pop(wanted, None) or self._submit(wanted)
        batch = torch.empty(len(wanted), self.channels, self.size, self.size, dtype=torch.uint8)
        for i, picture in enumerate(decoded):
            batch[i] = torch.from_numpy(picture.result())
        return batch

    def prefetch(self, index: Tensor) -> None:
        """Begin to decode the pictures at `index`, which will be asked for together and soon."""
        wanted = tuple(index.tolist())
        if wanted in self._ahead:
            return
        while len(self._ahead) > 1:  # an abandoned batch, left by a stream that ended early
            for picture in self._ahead.pop(next(iter(self._ahead))):
                picture.cancel()
        self._ahead[wanted] = self._submit(wanted)

    def in_memory(self) -> Tensor:
        """All pictures at once."""
        parts = torch.split(torch.arange(len(self)), 256)
        console = Console(stderr=True)
        quiet = not sys.stderr.isatty()
        steps = track(parts, "decoding pictures", console=console, transient=True, disable=quiet)
        return torch.cat([self[part] for part in steps])

    def _submit(self, wanted: tuple[int, ...]) -> list[Future[Pixels]]:
        return [self._threads.submit(decode, self.files[i], self.size, self.channels) for i in wanted]


def decode(file: Path, size: int, channels: Literal[1, 3]) -> Pixels:
    """The picture in `file` as uint8 of shape (channels, size, size)."""
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(file, formats=FORMATS) as opened:
            opened.draft(mode, (2 * size, 2 * size))  # JPEG only: skip frequencies far above the final resolution
            picture = ImageOps.fit(_flat(ImageOps.exif_transpose(opened), mode), (size, size), Image.Resampling.BICUBIC)
    except Exception as error:  # PIL raises nearly anything for a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GenlabError(f"{file}: cannot be decoded ({reason}); remove it or replace it") from error
    return np.array(picture, np.uint8).reshape(size, size, channels).transpose(2, 0, 1)


def _flat(picture: Image.Image, mode: str) -> Image.Image:
    """`picture` in 8-bit `mode` without transparency."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture).astype(np.float64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("integer values beyond 16 bits have no agreed white")
        picture = Image.fromarray(np.rint(values / 257).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("floating-point values have no agreed white; save it with 8 or 16 bits")
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        picture = white
    return picture.convert(mode)


def _by_class(folder: Path) -> dict[str, list[Path]]:
    """Picture files under `folder` by the sub-folder they lie in, in a fixed order; without any, one nameless class."""
    found: dict[str, list[Path]] = {}
    for place, inside, names in os.walk(folder, onerror=_refuse):
        inside[:] = sorted(name for name in inside if not name.startswith((".", "__MACOSX")))
        relative = Path(place).relative_to(folder)
        pictures = [Path(place, name) for name in names if Path(name).suffix.lower() in SUFFIXES and name[0] != "."]
        if pictures:
            found.setdefault(relative.parts[0] if relative.parts else "", []).extend(pictures)
    if not found:
        raise GenlabError(
            f"dataset.path={folder}: holds no pictures ({', '.join(sorted(SUFFIXES))}); point it at a folder that does"
        )
    if "" in found and len(found) > 1:
        raise GenlabError(
            f"dataset.path={folder}: pictures lie both in it (as {found[''][0].name}) and in its sub-folders, "
            "which would be the classes; move the former into a sub-folder or away"
        )
    return {name: sorted(files, key=lambda file: file.relative_to(folder).parts) for name, files in found.items()}


def _refuse(error: OSError) -> None:
    raise GenlabError(f"{error.filename}: cannot be read ({error.strerror}); mend its permissions") from error
