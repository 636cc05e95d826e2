"""Picture files decoded into squares: of 8 bits a channel as bytes, and deeper ones, of counts or real numbers, as float32.

The shorter side of a picture is brought to the size with an antialiasing filter, and the middle square is kept. Transparent parts
turn white. Pictures of more than 8 bits (16-bit PNG and TIFF, 32-bit integers and floats) are resampled as real numbers and keep
their values; none lies outside those of the picture, as a cubic filter would have it beside edges.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from genlab.data.subsets import places
from genlab.errors import GenlabError

Pixels = NDArray[np.uint8]
Values = NDArray[np.float32]

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What the names of pictures may hold. Of others, such as EPS, Pillow would start a program to read them."""
TIFF = (".tif", ".tiff")
MOST_LOOKED_AT = 2000  # pictures whose depth is asked for


class Page(NamedTuple):
    """A picture: a file, or one page of a TIFF file of several."""

    file: Path
    number: int = 0

    @property
    def name(self) -> str:
        return f"{self.file}, page {self.number + 1}" if self.number else str(self.file)


def pages_of(files: Sequence[Path]) -> list[Page]:
    """All pictures in these files: of a TIFF file the pages of the size of its first one, since others are previews.

    Raises GenlabError for a TIFF file that cannot be read.
    """
    found: list[Page] = []
    for file in files:
        found.append(Page(file))
        if file.suffix.lower() in TIFF:
            try:
                with Image.open(file, formats=FORMATS) as opened:
                    size = opened.size
                    for number in range(1, getattr(opened, "n_frames", 1)):
                        opened.seek(number)
                        found += [Page(file, number)] if opened.size == size else []
            except Exception as error:  # PIL raises nearly anything for a damaged file
                raise _undecoded(file, error) from error
    return found


def are_deep(pages: Sequence[Page]) -> bool:
    """Whether pictures have more than 8 bits, by those that are looked at. Raises GenlabError where only some have."""
    looked_at = [pages[k] for k in places(len(pages), MOST_LOOKED_AT).sort().values.tolist()]
    found = [(page, _is_deep(page)) for page in looked_at]
    deep = [page for page, it in found if it]
    if deep and len(deep) < len(found):
        shallow = next(page for page, it in found if not it)
        raise GenlabError(f"{deep[0].name} has more than 8 bits and {shallow.name} has 8; save all pictures alike")
    return bool(deep)


def _is_deep(page: Page) -> bool:
    try:
        with Image.open(page.file, formats=FORMATS) as opened:
            return opened.mode.startswith(("I", "F"))
    except Exception:  # decoding names what is wrong with it
        return False


def are_grey(pages: Sequence[Page]) -> bool:
    """Whether all pictures are grey by the mode of their files, by those that are looked at."""
    return all(_is_grey(pages[k]) for k in places(len(pages), MOST_LOOKED_AT).sort().values.tolist())


def _is_grey(page: Page) -> bool:
    try:
        with Image.open(page.file, formats=FORMATS) as opened:
            if page.number:
                opened.seek(page.number)
            if opened.mode in ("P", "PA"):
                colours = np.array(opened.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
                return bool((colours == colours[:, :1]).all())
            return opened.mode in ("1", "L", "LA", "La") or opened.mode.startswith(("I", "F"))
    except Exception:  # decoding names what is wrong with it
        return True


def lose_depth(page: Page) -> bool:
    """Whether it is a colour picture of 16 bits, of which Pillow reads 8."""
    try:
        with Image.open(page.file, formats=FORMATS) as opened:
            return not opened.mode.startswith(("I", "F")) and any(";16" in str(tile) for tile in opened.tile)
    except Exception:  # decoding names what is wrong with it
        return False


def decode(file: Path, size: int, channels: Literal[1, 3]) -> Pixels:
    """The picture in `file` as uint8 of shape (channels, size, size)."""
    return decode_page(Page(file), size, channels)


def decode_page(page: Page, size: int, channels: Literal[1, 3]) -> Pixels:
    """The picture as uint8 of shape (channels, size, size)."""
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(page.file, formats=FORMATS) as opened:
            if page.number:
                opened.seek(page.number)
            opened.draft(mode, (2 * size, 2 * size))  # JPEG only: skip frequencies far above the final resolution
            picture = ImageOps.fit(_flat(ImageOps.exif_transpose(opened), mode), (size, size), Image.Resampling.BICUBIC)
    except Exception as error:
        raise _undecoded(page.name, error) from error
    return np.array(picture, np.uint8).reshape(size, size, channels).transpose(2, 0, 1)


def decode_deep(page: Page, size: int, channels: Literal[1, 3]) -> Values:
    """The picture as float32 of shape (channels, size, size), with the values of the file; grey ones have equal channels."""
    try:
        with Image.open(page.file, formats=FORMATS) as opened:
            if page.number:
                opened.seek(page.number)
            picture = ImageOps.exif_transpose(opened)
            if not picture.mode.startswith(("I", "F")):
                picture = _flat(picture, "L" if channels == 1 else "RGB")
            values = np.asarray(picture).astype(np.float32)
        planes = values[..., None] if values.ndim == 2 else values
        if not np.isfinite(planes).all():
            raise ValueError("values that are not finite")
        fitted = [_fit(planes[..., c], size) for c in range(planes.shape[2])]
    except Exception as error:
        raise _undecoded(page.name, error) from error
    return np.stack(fitted * channels if len(fitted) == 1 else fitted)


def _fit(plane: Values, size: int) -> Values:
    if plane.shape == (size, size):
        return plane
    fitted = ImageOps.fit(Image.fromarray(plane), (size, size), Image.Resampling.BICUBIC)
    return np.asarray(fitted).clip(plane.min(), plane.max())


def _undecoded(name: Path | str, error: Exception) -> GenlabError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return GenlabError(f"{name}: cannot be decoded ({reason}); remove it or replace it")


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
