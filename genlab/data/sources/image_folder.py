"""The user's own pictures: a folder of them, cropped to squares of one size.

Sub-folders are the classes; where there is none, or only one, the pictures are unlabelled. Sub-folders `train` and
`test` are the splits, each arranged in the same way, and nothing beside them is read. Each page of a TIFF file is a picture, and
one such file may stand in the place of the folder. data/pictures.py says how they become squares.

Pictures of more than 8 bits keep every level: their values from the smallest to the largest of all pictures, or from those of
`range`, are seen as 0 to 1, and samples are saved in the values of the files again. Those of 8 bits have white at 255.

Pictures that fit in `memory_limit_gb` are decoded once into one tensor. Others stay on disk and are decoded at each
use by a few threads, the next batch while the model works on this one. Both ways give the same pixels.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from genlab.config.types import Count, NonNegative
from genlab.data.array_kinds import Range, Span, rising, seen_as
from genlab.data.class_labels import sorted_names, unless_numbers
from genlab.data.dataset import RawData
from genlab.data.examples import Examples, Prefetching, Store
from genlab.data.pictures import Page, are_deep, are_grey, decode_deep, decode_page, lose_depth, pages_of
from genlab.data.read_ahead import Index, ReadAhead
from genlab.data.units import Units
from genlab.errors import GenlabError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
THREADS = min(16, os.cpu_count() or 1)


def image_folder(
    *,
    path: str | None,
    size: Count,
    channels: Literal[1, 3] | None,
    memory_limit_gb: NonNegative,
    range: Span | None = None,
) -> RawData:
    """The pictures under `path` as (channels, size, size), 1 channel for grey and 3 for red, green and blue.

    Without `channels` they have 1 where all pictures are grey, by the mode of their files, and else 3.
    The values of `range` are seen as 0 to 1; None for 0 to 255 of pictures of 8 bits, and for all values of deeper ones.
    """
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
    if folder.is_file() and folder.suffix.lower() in SUFFIXES:
        listings = [{"": [folder]}]
    elif not exists:
        raise GenlabError(f"dataset.path={path}: no such folder; set dataset.path to a folder of pictures")
    else:
        listings = [_by_class(split) for split in (splits if has_splits else [folder])]
    if all(len(listing) == 1 for listing in listings):
        listings = [{"": pictures} for listing in listings for pictures in listing.values()]
    classes = sorted_names(list(listings[0]))
    if unknown := [name for listing in listings for name in listing if name not in classes]:
        names = ", ".join(unknown) or "(no sub-folder)"
        raise GenlabError(f"{splits[1]}: holds classes that {splits[0]} lacks: {names}; name them alike")

    listed = [[pages_of(listing.get(name, ())) for name in classes] for listing in listings]
    everything = [page for listing in listed for pages in listing for page in pages]
    remarks: tuple[str, ...] = ()
    if channels is None:
        channels = 1 if are_grey(everything) else 3
        n = f"{len(everything):,} pictures"
        found = f"{n}, all grey, have 1 channel" if channels == 1 else f"{n} are read in colour, 3 channels"
        remarks = (f"{found}; dataset.channels={4 - channels} reads {4 - channels}",)
    given = rising(range)
    deep = given is not None or are_deep(everything)
    n_bytes = len(everything) * channels * size**2 * (4 if deep else 1)
    in_memory = n_bytes <= memory_limit_gb * 1e9
    splits_of = [Pictures([page for pages in listing for page in pages], size, channels, deep) for listing in listed]
    stores: list[Store] = [pictures.in_memory() if in_memory else pictures for pictures in splits_of]
    raw = RawData("image_folder", Examples(stores[0], None), None, levels=None if deep else 256, num_classes=None)
    raw = replace(raw, remarks=remarks, where=f"dataset.path={path}")
    if deep:
        span = _extremes(stores) if given is None else given
        line = seen_as(span, "more than 8 bits" if given is None else None)
        raw = replace(raw, units=Units.of_range(*span), remarks=(*raw.remarks, line))
        stores = [scaled(x, span) if isinstance(x, Tensor) else Scaled(x, span) for x in stores]
    if lose_depth(everything[0]):
        line = f"{everything[0].name} has 16 bits a colour, of which 8 are read; save each channel as a grey picture to keep all"
        raw = replace(raw, remarks=(*raw.remarks, line))
    parts = []
    for x, listing in zip(stores, listed, strict=True):
        counts = torch.tensor([len(pages) for pages in listing])
        y = torch.arange(len(classes)).repeat_interleave(counts) if len(classes) > 1 else None
        parts.append(Examples(x, y))
    if len(classes) > 1:
        raw = replace(raw, num_classes=len(classes), class_names=unless_numbers(tuple(classes)))
    return replace(raw, train=parts[0], test=parts[1] if has_splits else None)


def _extremes(stores: Sequence[Store]) -> Range:
    """The smallest and the largest value of all pictures. Raises GenlabError where they are equal."""
    low, high = float("inf"), float("-inf")
    for x in stores:
        parts = torch.split(torch.arange(len(x)), 256)
        steps = parts if isinstance(x, Tensor) else _shown(parts, "smallest and largest value")
        for part in steps:
            values = x[part]
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low == high:
        raise GenlabError(
            f"dataset.path: all pictures have the value {low:g} everywhere; there is nothing to learn from them"
        )
    return low, high


def _shown(parts: Sequence[Tensor], what: str) -> Iterable[Tensor]:
    console, quiet = Console(stderr=True), not sys.stderr.isatty()
    return track(parts, what, console=console, transient=True, disable=quiet)


class Pictures:
    """Pictures that stay on disk: a store of (channels, size, size), decoded as they are asked for.

    They are uint8, and `deep` ones float32 with the values of the files.
    """

    def __init__(self, pages: Sequence[Page], size: int, channels: Literal[1, 3], deep: bool = False) -> None:
        self.pages, self.size, self.channels, self.deep = pages, size, channels, deep
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self._ahead = ReadAhead(self._decode)

    def __len__(self) -> int:
        return len(self.pages)

    def __getitem__(self, index: Tensor) -> Tensor:
        decoded = self._ahead.take(index)
        batch = torch.empty(
            len(decoded), self.channels, self.size, self.size, dtype=torch.float32 if self.deep else torch.uint8
        )
        for i, picture in enumerate(decoded):
            batch[i] = torch.from_numpy(picture.result())
        return batch

    def prefetch(self, index: Tensor) -> None:
        self._ahead.prefetch(index)

    def in_memory(self) -> Tensor:
        """All pictures at once."""
        parts = torch.split(torch.arange(len(self)), 256)
        return torch.cat([self[part] for part in _shown(parts, "decoding pictures")])

    def _decode(self, wanted: Index) -> list[Future[Any]]:
        decode_one = decode_deep if self.deep else decode_page
        return [self._threads.submit(decode_one, self.pages[i], self.size, self.channels) for i in wanted]


@dataclass(frozen=True)
class Scaled:
    """The pictures of a store with the values of `span` as 0 to 1."""

    store: Store
    span: Range

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: Tensor) -> Tensor:
        return scaled(self.store[index], self.span)

    def prefetch(self, index: Tensor) -> None:
        if isinstance(self.store, Prefetching):
            self.store.prefetch(index)


def scaled(values: Tensor, span: Range) -> Tensor:
    """Pictures (n, C, H, W) with the values of `span` as 0 to 1, in place; what lies beyond is cut off."""
    low, high = span
    for part in values.split(256):  # in double precision, a few at a time
        part.copy_(((part.double() - low) / (high - low)).clamp_(0, 1))
    return values


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
