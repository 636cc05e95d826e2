"""Pictures of chains: from data, from noise, in a part of an example, and through the levels of a hierarchy."""

from collections import deque
from typing import Any

import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.inference.sampling import BLOCK, film
from genlab.inference.shown_examples import COLUMNS, POINTS
from genlab.models.abilities import HasLevels, HasMarkovChain, Inpaints
from genlab.models.base import GenerativeModel, Model
from genlab.plots import by_kind
from genlab.plots.images import Picture
from genlab.plots.vector_planes import scatter

FILLINGS = 3


@torch.no_grad()
def inpainting(model: Inpaints, x: Tensor) -> Tensor:
    """Examples x (n, *shape) whose right half is filled in, then of images the lower one: (rows * n, *shape).

    For each half there is a row of x without it, FILLINGS rows with the half drawn anew, and a row of x. What is missing is grey
    in an image, and a gap in a curve.
    """
    assert isinstance(model, Model)
    rows = []
    missing = torch.tensor(torch.nan if x.ndim == 3 else 0.5, device=x.device)
    if model.data.own_scales and x.ndim == 4:
        missing = model.data.mean.to(x.device)
    for axis in range(-1, 1 - x.ndim, -1):
        half = x.shape[axis] // 2
        known = torch.zeros(x.shape[1:], dtype=torch.bool, device=x.device)
        known.narrow(axis, 0, half).fill_(True)
        rows.append(torch.where(known, x, missing))
        for _ in range(FILLINGS):
            (filled,) = deque(model.inpaint_loop(x, known), maxlen=1)
            rows.append(filled)
        rows.append(x)
    return torch.cat(rows)


def rows_of_inpainting(data: DataSpec) -> list[str]:
    """What the rows of `inpainting` are."""
    halves = ["right", "lower"][: len(data.shape) - 1]
    fillings = [f"filling {k + 1}" for k in range(FILLINGS)]
    return [row for half in halves for row in (f"without the {half} half", *fillings, "data")]


@torch.no_grad()
def walks(model: HasMarkovChain, x: Tensor) -> Tensor:
    """One row for each of x (n, *shape): x and its Markov chain after 1, 2, 5, 10, ... steps; (n * COLUMNS, *shape)."""
    at = [1, 2, 5, 10, 20, 50, 100, 200, 500][: COLUMNS - 1]
    states = [x] + [state for i, state in enumerate(model.walk(x, at[-1], mean=True), 1) if i in at]
    return torch.stack(states, dim=1).flatten(0, 1)


@torch.no_grad()
def hierarchies(model: HasLevels, rows: int = 3) -> dict[str, tuple[Tensor, list[str]]]:
    """What each level decides: rows of samples that share the noise of some levels and differ in the rest.

    By name: images (n, *shape), COLUMNS a row, and a caption for each row. `rows` is the number of rows for each set of levels.
    """
    found = {}
    for below, name in ((True, "levels_above_resampled"), (False, "levels_below_resampled")):
        images, captions = [], []
        for kept in range(1, len(model.levels)):
            drawn = range(kept + 1, len(model.levels) + 1) if below else range(1, kept + 1)
            for _ in range(rows):
                images.append(model.hierarchy(COLUMNS, kept, below=below))
                captions.append("new h" + ",".join(map(str, drawn)))
        if images:
            found[name] = torch.cat(images), captions
    return found


@torch.no_grad()
def animation(model: Model, seed: int, frames: int = 40, **options: Any) -> list[Picture]:
    """At most `frames` pictures of the chains that end in the first samples; none for a family that samples in one step.

    `options` are keyword arguments of the family's sample_loop.
    """
    if not isinstance(model, GenerativeModel):
        return []
    data = model.data
    states = film(model, BLOCK if data.on_grid else POINTS, seed, frames, **options)
    if len(states) < 3:
        return []
    if data.on_grid:
        few = 8 if data.own_scales else BLOCK  # panels take longer than pixels
        return by_kind.frames([state[:few] for state in states], 8 if data.is_image else 4, data)
    return [scatter({"samples": states[-1], "states": state}, data) for state in states]
