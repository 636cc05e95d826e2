"""What an array of examples holds, as its type and shape say, and the form in which it is stored.

    (N, D)                                 any number type    N points of D-dimensional space
    (N, D)                                 bool               N binary vectors
    (N, H, W), (N, H, W, C), (N, C, H, W)  uint8              N images of 256 grey levels; C is 1 or 3
    (N, H, W), (N, H, W, C), (N, C, H, W)  bool               N binary images
    (N, H, W), (N, H, W, C), (N, C, H, W)  other integers     N images of counts, stored as float32 in [0, 1]
    (N, H, W), (N, H, W, C), (N, C, H, W)  float              N images of real values, float32
    any of these                           -1 and +1 only     N configurations of spins, stored as 0 and 1: binary

An array that could be read in two ways is refused.
"""

import numpy as np
import torch
from torch import Tensor

from genlab.data.array_files import Array
from genlab.data.measure_spec import refuse_impossible
from genlab.errors import GenlabError

CHANNELS = (1, 3)

Range = tuple[float, float]


def arranged(x: Array, where: str) -> Array:
    """Vectors (N, D), or images as (N, C, H, W). Raises GenlabError, which begins with `where`, for what is neither."""
    kind = x.dtype.kind
    if kind == "c":
        raise GenlabError(
            f"{where}: {describe(x)} is complex and not real numbers; store real and imaginary parts side by side, "
            "np.stack([x.real, x.imag], 1)"
        )
    if kind not in "buif" or 0 in x.shape:
        raise GenlabError(f"{where}: {describe(x)} is {'empty' if kind in 'buif' else 'not numbers'}; store numbers")
    if x.ndim not in (2, 3, 4):
        raise GenlabError(
            f"{where}: {describe(x)} is neither vectors (N, D) nor images (N, H, W), (N, H, W, C) or (N, C, H, W); "
            "reshape it"
        )
    return _channels_first(x, where) if x.ndim > 2 else x


def stored(x: Array, where: str, span: Range | None, *, exact: bool) -> tuple[Tensor, int | None]:
    """Arranged examples in the form in which they are stored, and the number of their grey levels.

    The values of the range `span` become 0 to 1; None for values as they are. With `exact` numbers of vectors and curves stay
    float64, for a scale of their own that is found later.
    """
    kind = x.dtype.kind
    if kind == "b":
        return torch.from_numpy(np.array(x, np.uint8, order="C")), 2
    if span is not None:
        return scaled(x, span), None
    if kind in "if" and are_spins(x):
        return torch.from_numpy(np.array(x > 0, np.uint8, order="C")), 2
    if x.ndim == 4 and x.dtype == np.uint8:
        if x.max() == 1:
            raise GenlabError(f"{where}: {describe(x)} holds only 0 and 1; store binary images as bool")
        return torch.from_numpy(np.array(x, order="C")), 256
    double = exact and x.ndim < 4
    with np.errstate(over="ignore"):
        values = torch.from_numpy(np.array(x, np.float64 if double else np.float32, order="C"))
    if not all(bool(part.isfinite().all()) for part in torch.split(values, 1 << 16)):
        finite = bool(np.isfinite(x).all())
        raise GenlabError(
            f"{where}: {describe(x)} holds values that are not finite{' in float32' if finite else ''}; "
            "remove or replace them"
        )
    if not double:
        refuse_impossible(where, float(values.abs().max()), float(values.double().std()), columns=x.ndim < 4)
    return values, None


def scaled(x: Array, span: Range) -> Tensor:
    """Values with `span` brought to [0, 1], float32; what lies outside is brought to its ends."""
    low, high = span
    found = torch.empty(x.shape, dtype=torch.float32)
    for part, out in zip(
        np.array_split(x, max(1, len(x) // 256)), found.tensor_split(max(1, len(x) // 256)), strict=True
    ):
        out.copy_(torch.from_numpy(((part.astype(np.float64) - low) / (high - low)).clip(0, 1)))
    return found


def are_spins(x: Array) -> bool:
    """Whether -1 and +1 are the only values, and both occur. The first examples decide, as a rule."""
    return all(bool((np.abs(part) == 1).all()) for part in (x[:16], x)) and bool((x[:1000] < 0).any() or (x < 0).any())


def _channels_first(x: Array, where: str) -> Array:
    """Images as (N, C, H, W), where their shape leaves no doubt."""
    if x.ndim == 3 and x.shape[2] not in CHANNELS:
        return x[:, None]
    if x.ndim == 4 and (x.shape[1] in CHANNELS) != (x.shape[3] in CHANNELS):
        return x if x.shape[1] in CHANNELS else np.moveaxis(x, 3, 1)
    if x.ndim == 4 and x.shape[1] not in CHANNELS:
        raise GenlabError(f"{where}: {describe(x)} has neither 1 nor 3 channels, first or last; keep 1 or 3")
    raise GenlabError(
        f"{where}: {describe(x)} can be read in two ways, the last axis being channels or columns; "
        "reshape it to (N, C, H, W) with an unmistakable width, or to vectors (N, D)"
    )


def describe(x: Array) -> str:
    return f"{x.dtype} of shape {x.shape}"
