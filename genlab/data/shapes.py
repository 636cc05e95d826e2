"""What an array holds, by its shape and its values: vectors, curves or images.

`dataset.kind` says it. Where it is null, this decides, for float or integer arrays (bool and spins of -1 and +1 are vectors or
images):

    (N, d)           curves where neighbouring columns are alike, else vectors
    (N, A, B)        curves of A channels where A <= 8, B >= 4 A, and neighbours along B are alike but not those along A, or
                     where A = 1; curves of B channels by the same measure with A and B exchanged; else images of one channel
    (N, C, H, W)     images of C channels; channels last where only the last of the three sides is 1 or 3, or where neither is and
                     the last is the shortest

Columns are alike by the semivariogram of geostatistics at the distance 1, in units of its mean over all pairs of columns,

    r_j = E (y_j - y_{j+1})^2 / mean_{a != b} E (y_a - y_b)^2,  y = x - E x,

where the mean of r_j is at most 0.4 and the largest at most 0.5. Columns in any order have 1. Sines with noise of their own size
have 0.5, MNIST as rows of 784 numbers has 0.26, but 1.1 where the strokes are, and a picture with edges has more than 1 where one
row ends and the next begins.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genlab.errors import GenlabError

Array = NDArray[Any]
Kind = Literal["vectors", "curves", "images"]
KindKey = Kind | None
BY_SHAPE: Any = "by_shape"
"""The rule of runs from before there were curves, whose configuration has no kind: (N, d) are vectors, and all else is images.
It is no value of the key."""

FEWEST_POINTS = 16  # of a curve that is recognised; shorter ones have to be named
ALIKE_ON_AVERAGE, ALIKE_AT_WORST = 0.4, 0.5
MOST_CHANNELS, POINTS_PER_CHANNEL = 8, 4  # of curves that are recognised
COLOURS = (1, 3)
ENOUGH = 2000  # examples that decide


def arranged(x: Array, kind: KindKey, where: str, channels_last: bool | None = None) -> tuple[Array, Kind, str]:
    """x as (N, d), (N, C, L) or (N, C, H, W), what its examples are, and a line that says how this was decided.

    The line is empty where nothing was to be decided. `channels_last` says whether curves are (N, L, C); None to find it.

    Raises GenlabError, which begins with `where`, for a shape that the kind does not have, and for what holds no numbers.
    """
    if x.dtype.kind == "c":
        raise GenlabError(
            f"{where}: {describe(x)} is complex and not real numbers; store real and imaginary part side by side, "
            "np.stack([x.real, x.imag], 1)"
        )
    if x.dtype.kind not in "buif" or 0 in x.shape:
        what = "empty" if x.dtype.kind in "buif" else "not numbers"
        raise GenlabError(f"{where}: {describe(x)} is {what}; store numbers")
    if x.ndim == 1:
        raise GenlabError(
            f"{where}: {describe(x)} has one axis; write x[:, None], (N, 1), where each number is an example, or x[None] where "
            "all are one"
        )
    if x.ndim not in (2, 3, 4):
        raise GenlabError(
            f"{where}: {describe(x)} is neither vectors (N, d), curves (N, L) or (N, C, L), nor images (N, H, W), "
            "(N, H, W, C) or (N, C, H, W); reshape it"
        )
    if kind == "vectors":
        return x.reshape(len(x), -1), kind, ""
    if kind == "curves":
        if x.ndim == 4:
            raise GenlabError(
                f"dataset.kind=curves: {where} is {describe(x)}, and curves are (N, L) or (N, C, L); reshape it, or set "
                "dataset.kind=images"
            )
        return _curves(x, channels_last) if x.ndim == 3 else (x[:, None], kind, "")
    if kind == "images" and x.ndim == 2:
        raise GenlabError(
            f"dataset.kind=images: {where} is {describe(x)}, and images are (N, H, W), (N, H, W, C) or (N, C, H, W); "
            "reshape it, or set dataset.kind=vectors"
        )
    if x.ndim == 4:
        return _images(x, where)
    if x.ndim == 2:
        recognised = kind is None and _are_curves(x)
        if recognised:
            return x[:, None], "curves", _said(f"{len(x):,} curves of {x.shape[1]} points", "are alike", "vectors")
        told = kind is None and x.shape[1] >= FEWEST_POINTS
        said = _said(f"{len(x):,} vectors of {x.shape[1]} numbers", "are unlike", "curves") if told else ""
        return x, "vectors", said
    if kind is None and x.dtype != np.uint8:  # which are grey levels
        if _are_curves(x):
            _, channels, points = x.shape
            return x, "curves", _said(f"{len(x):,} curves of {channels} x {points} points", "are alike", "images")
        if _are_curves(x.swapaxes(1, 2)):
            turned = x.swapaxes(1, 2)
            return (
                turned,
                "curves",
                _said(_of_last(turned), "along the middle one are alike", "images", whose="neighbours"),
            )
    if x.shape[2] in COLOURS and kind != "images":
        raise GenlabError(
            f"{where}: {describe(x)} can be read in two ways, the last axis being channels or columns; "
            "reshape it to (N, C, H, W) with an unmistakable width, to curves (N, C, L), or to vectors (N, d); "
            "or set dataset.kind"
        )
    said = f"{len(x):,} images of {x.shape[1]} x {x.shape[2]} pixels and one channel; dataset.kind=curves reads curves"
    return x[:, None], "images", said if kind is None else ""


def _curves(x: Array, channels_last: bool | None) -> tuple[Array, Kind, str]:
    """(N, C, L) of curves whose channels are the middle or the last axis, and a line that says which."""
    turned = x.swapaxes(1, 2)
    if channels_last is None:
        channels_last = not _are_curves(x) and (x.shape[2] == 1 or _are_curves(turned))
    if channels_last:
        return turned, "curves", f"{_of_last(turned)}; store them as (N, C, L) to have it otherwise"
    channels, points = x.shape[1:]
    other = "; np.moveaxis(x, 2, 1) if the last axis is the channels" if points < channels else ""
    return x, "curves", f"{len(x):,} curves of {channels} x {points} points, (N, C, L){other}"


def _of_last(turned: Array) -> str:
    n, channels, points = turned.shape
    return f"{n:,} curves of {channels} x {points} points, the last axis being the channels"


def describe(x: Array) -> str:
    """Type and shape, for messages."""
    return f"{x.dtype} of shape {x.shape}"


def alike(x: Array) -> bool:
    """Whether neighbours along the last axis of x (n, d) are alike, by the rule above."""
    y = np.asarray(x, np.float64)
    y = y - y.mean(0)
    d = y.shape[1]
    near = np.square(np.diff(y, axis=1)).mean(0)
    apart = 2 * (d * y.var(0).sum() - np.square(y.sum(1)).mean()) / (d * (d - 1))
    if not np.isfinite(apart) or apart <= 0:
        return False
    return bool(near.mean() <= ALIKE_ON_AVERAGE * apart and near.max() <= ALIKE_AT_WORST * apart)


def _are_curves(x: Array) -> bool:
    """Whether (N, L) or (N, C, L) are curves."""
    few = np.asarray(x[:: max(1, -(-len(x) // ENOUGH))])
    if x.dtype.kind not in "uif" or x.shape[-1] < FEWEST_POINTS or len(np.unique(few[:64])) <= 2:
        return False
    with np.errstate(all="ignore"):  # values that are not finite are refused elsewhere
        if x.ndim == 2:
            return alike(few)
        channels, points = x.shape[1:]
        if channels > MOST_CHANNELS or points < POINTS_PER_CHANNEL * channels:
            return False
        along = all(alike(few[:, c]) for c in range(channels))
        return along and (channels == 1 or not _rows_alike(few))


def _rows_alike(x: Array) -> bool:
    """Whether neighbours along the first axis of x (n, A, B) are alike, in units of the variance of each."""
    y = np.asarray(x, np.float64)
    y = y - y.mean(0)
    steps = np.square(np.diff(y, axis=1)).mean()
    return bool(steps <= ALIKE_ON_AVERAGE * 2 * np.square(y).mean())


def _images(x: Array, where: str) -> tuple[Array, Kind, str]:
    """(N, C, H, W) of any order of axes that leaves no doubt."""
    first, last = x.shape[1] in COLOURS, x.shape[3] in COLOURS
    if first != last:
        return x if first else np.moveaxis(x, 3, 1), "images", ""
    if first:
        raise GenlabError(
            f"{where}: {describe(x)} can be read in two ways, the last axis being channels or columns; "
            "reshape it to (N, C, H, W) with an unmistakable width, or to vectors (N, d)"
        )
    if x.shape[3] < min(x.shape[1:3]):
        said = f"{len(x):,} images of {x.shape[3]} channels, the last axis, as it is the shortest; store them as "
        return np.moveaxis(x, 3, 1), "images", said + "(N, C, H, W) if the first axis is the channels"
    said = f"{len(x):,} images of {x.shape[1]} channels, (N, C, H, W); np.moveaxis(x, 3, 1) if the last is"
    return x, "images", said


def _said(what: str, alike: str, other: str, whose: str = "neighbouring columns") -> str:
    return f"{what}, as {whose} {alike}; dataset.kind={other} reads {other}"
