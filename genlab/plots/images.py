"""Pictures as people look at them: grids of images, film strips, planes of codes. Arrays in, PNG out."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots.captions import caption

Picture = npt.NDArray[np.uint8]

TILE = 56  # least side of one example on the screen, in pixels
GAP = 2
BACKGROUND = 70
MOST_IN_LEGEND = 20  # classes


def grid(images: Tensor, columns: int, data: DataSpec) -> Picture:
    """Lay out images (n, C, H, W) row by row; nearest-neighbour upscaled, always over the same range of values."""
    low, high = (0.0, 1.0) if data.support != "real" else (data.low, data.high)
    values = ((images.detach().float().cpu() - low) / max(high - low, 1e-12)).clamp(0, 1)
    n, channels, height, width = values.shape
    scale = max(1, -(-TILE // max(height, width)))
    tiles = (values * 255).round().byte().permute(0, 2, 3, 1)
    tiles = tiles.expand(-1, -1, -1, 3) if channels == 1 else tiles[..., :3]
    tiles = tiles.repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    rows = -(-n // columns)
    step_y, step_x = height * scale + GAP, width * scale + GAP
    canvas = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), BACKGROUND, dtype=np.uint8)
    for i, tile in enumerate(tiles.numpy()):
        y, x = GAP + (i // columns) * step_y, GAP + (i % columns) * step_x
        canvas[y : y + height * scale, x : x + width * scale] = tile
    return canvas


def filters(weights: Tensor, columns: int, data: DataSpec) -> Picture:
    """Weights (n, *shape) as images, grey where they are 0; one symmetric range for all, that of 99.5 % of them."""
    limit = usual_size(weights)
    return grid(weights, columns, replace(data, support="real", low=-limit, high=limit))


def usual_size(weights: Tensor) -> float:
    """What 99.5 % of the weights do not exceed in size; of a million and more, what none exceeds."""
    sizes = weights.abs().flatten().double()
    return max(float(sizes.quantile(0.995) if sizes.numel() < 10**6 else sizes.max()), 1e-12)


def matrix(values: Tensor) -> Picture:
    """Numbers (rows, columns) in [0, 1] as grey levels, each a square of several pixels: rows are examples, columns units."""
    scale = max(1, 800 // max(values.shape))
    tiles = (values.detach().float().cpu().clamp(0, 1) * 255).round().byte()
    tiles = tiles.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
    return np.ascontiguousarray(tiles.unsqueeze(2).expand(-1, -1, 3).numpy())


def pairs(originals: Tensor, reconstructions: Tensor, columns: int, data: DataSpec) -> Picture:
    """Each row of originals above the row of their reconstructions."""
    n = len(originals) // columns * columns or len(originals)
    columns = min(columns, n)
    rows = [
        part
        for both in zip(originals[:n].split(columns), reconstructions[:n].split(columns), strict=True)
        for part in both
    ]
    return grid(torch.cat(rows), columns, data)


def latent_scatter(
    codes: Tensor,
    labels: Tensor | None,
    names: tuple[str, str] = ("$h_1$", "$h_2$"),
    note: str = "",
    classes: Sequence[str] = (),
) -> Picture:
    """Codes (n, 2) of held-out data, coloured by class, in a plane whose axes have these `names`.

    `classes` are the names of the classes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    h = codes.detach().float().cpu().numpy()
    if labels is None:
        axes.scatter(h[:, 0], h[:, 1], s=4, alpha=0.6, linewidths=0)
    else:
        y = labels.cpu().numpy()
        points = axes.scatter(h[:, 0], h[:, 1], c=y, cmap="tab10", s=5, alpha=0.7, linewidths=0)
        present = np.unique(y)
        handles, shown = points.legend_elements(num="auto" if len(present) > MOST_IN_LEGEND else list(present))
        if classes and len(present) <= MOST_IN_LEGEND:
            shown = [classes[k] if 0 <= k < len(classes) else str(k) for k in present.tolist()]
        axes.legend(handles, shown, title="class", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.set_title(note, fontsize=8)
    if np.ptp(h, axis=0).max() < 1e-6 * max(
        1.0, float(np.abs(h).max())
    ):  # all codes are one: there is no scale to show
        axes.set_xlim(h[0, 0] - 1, h[0, 0] + 1)
        axes.set_ylim(h[0, 1] - 1, h[0, 1] + 1)
    axes.set_aspect("equal", adjustable="datalim")
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def png(picture: Picture, description: str = "") -> bytes:
    """A PNG whose text field Description holds `description`."""
    buffer, text = io.BytesIO(), PngInfo()
    if description:
        text.add_itxt("Description", description)
    grey = bool((picture[..., :1] == picture).all())  # a third of the work
    Image.fromarray(picture[..., 0] if grey else picture).save(buffer, format="PNG", compress_level=3, pnginfo=text)
    return buffer.getvalue()


def save_gif(path: Path, frames: Sequence[Path], milliseconds: int = 300) -> None:
    """PNG files of one size in a row, over and over; the last one stays for longer. A file that is damaged is left out."""
    found = [image for frame in frames if (image := _read_frame(frame)) is not None]
    if found:
        _save_frames(path, found, milliseconds)


def _read_frame(path: Path) -> Image.Image | None:
    """A picture that this run, or somebody else, has left; None where it cannot be read."""
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            opened.load()
            return opened.copy()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def save_animation(path: Path, pictures: Sequence[Picture], milliseconds: int = 80) -> None:
    """The same of pictures of one size."""
    images = []
    for picture in pictures:
        grey = bool((picture[..., :1] == picture).all())
        images.append(Image.fromarray(picture[..., 0] if grey else picture))
    _save_frames(path, images, milliseconds)


def _save_frames(path: Path, frames: Sequence[Image.Image], milliseconds: int) -> None:
    images = [frame if frame.mode == "L" else frame.convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
    held = [milliseconds] * (len(images) - 1) + [5 * milliseconds]
    images[0].save(path, save_all=True, append_images=images[1:], duration=held, loop=0, optimize=True)


def save_png(path: Path, picture: Picture) -> None:
    """Write a picture, with the caption that belongs to its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(picture, caption(path.stem)))
