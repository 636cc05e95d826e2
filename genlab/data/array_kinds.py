"""The form in which an array of examples is stored, by its type and what its examples are (shapes.py).

vectors (N, d), curves (N, C, L)  numbers          real values, float32 (float64, until it is known whether they are scaled)
images (N, C, H, W)               uint8            256 grey levels
images (N, C, H, W)               other integers   counts, stored as float32 in [0, 1]
images (N, C, H, W)               float            real values, float32
any of these                      bool             0 and 1: binary
any of these                      -1 and +1 only   spins, stored as 0 and 1: binary
"""

from math import isfinite
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from genlab.data.array_files import Array
from genlab.data.examples import Store
from genlab.data.mapped_rows import MappedRows
from genlab.data.measure_spec import refuse_impossible
from genlab.data.shapes import describe
from genlab.errors import GenlabError

Range = tuple[float, float]

Span = Annotated[list[float], Field(min_length=2, max_length=2)]
"""The key dataset.range: the values of pictures that are seen as 0 and as 1."""


def rising(span: list[float] | None) -> Range | None:
    """The key dataset.range as a pair. Raises GenlabError where the first value is not below the second."""
    if span is None:
        return None
    low, high = span
    if not (isfinite(low) and isfinite(high) and low < high):
        raise GenlabError(
            f"dataset.range=[{low:g},{high:g}]: is [LOW,HIGH] with LOW below HIGH; set for example 'dataset.range=[0,4095]'"
        )
    return low, high


def seen_as(span: Range, found_in: str | None) -> str:
    """What a user should know of the range of pictures: which it is, and how to set it where it was found in what they hold."""
    low, high = (f"{value:.7g}" for value in span)
    if found_in is None:
        return (
            f"values {low} to {high} of the pictures are seen as 0 to 1, and others cut off; samples are saved in them"
        )
    return (
        f"pictures of {found_in}: their values, {low} to {high}, are seen as 0 to 1, and samples are saved in them; "
        "'dataset.range=[LOW,HIGH]' sets others"
    )


def stored(x: Array, where: str, span: Range | None, *, exact: bool) -> tuple[Tensor, int | None]:
    """Arranged examples in the form in which they are stored, and the number of their grey levels.

    The values of the range `span` become 0 to 1; None for values as they are. With `exact` numbers of vectors and curves stay
    float64, for a scale of their own that is found later.
    """
    kind = x.dtype.kind
    if kind == "b":
        return torch.from_numpy(np.array(x, np.uint8, order="C")), 2
    if span is not None:
        values = scaled(x, span)
        _refuse_not_finite(values, x, where)
        return values, None
    if kind in "if" and are_spins(x):
        return torch.from_numpy(np.array(x > 0, np.uint8, order="C")), 2
    if x.ndim == 4 and x.dtype == np.uint8:
        if x.max() == 1:
            raise GenlabError(f"{where}: {describe(x)} holds only 0 and 1; store binary images as bool")
        return torch.from_numpy(np.array(x, order="C")), 256
    double = exact and x.ndim < 4
    with np.errstate(over="ignore"):
        values = torch.from_numpy(np.array(x, np.float64 if double else np.float32, order="C"))
    _refuse_not_finite(values, x, where)
    if not double:
        refuse_impossible(where, float(values.abs().max()), float(values.double().std()), columns=x.ndim < 4)
    return values, None


def kept_on_disk(x: Array, where: str) -> tuple[Store, int | None]:
    """Arranged examples of a mapped file as a store, and the number of their grey levels. All are looked at once.

    Raises GenlabError for values that are not finite.
    """
    if x.ndim == 4 and x.dtype == np.uint8:
        return MappedRows(x), 256
    size = max(1, 2**24 // x[0].size)
    for first in range(0, len(x), size):
        part = x[first : first + size]
        _refuse_not_finite(torch.from_numpy(np.array(part, np.float32, order="C")), part, where, first)
    return MappedRows(x), None


def _refuse_not_finite(values: Tensor, x: Array, where: str, first: int = 0) -> None:
    """Raises GenlabError where `values`, those of x (N, ...) as they are stored, are not all finite.

    x begins with the example `first` of all.
    """
    size = max(1, 2**22 // values[0].numel())
    wrong = torch.cat([~part.flatten(1).isfinite().all(1) for part in values.split(size)])
    if not bool(wrong.any()):
        return
    k = int(wrong.int().argmax())
    place = [k, *(~values[k].isfinite()).nonzero()[0].tolist()]
    value = x[tuple(place)]
    too_large = bool(np.isfinite(value))
    precision = f" in float32, but in {x.dtype}" if too_large else ""
    remedy = (
        "leave them out, or store the data in a larger unit"
        if too_large
        else "dataset.missing=drop leaves these examples out"
    )
    raise GenlabError(
        f"{where}: {describe(x)} holds values that are not finite{precision}, in {int(wrong.sum()):,} of {len(x):,} examples "
        f"(the first is x{[first + k, *place[1:]]}, {value:.3g}); {remedy}"
    )


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


def whole(x: Array) -> Array:
    """Which examples of x (N, ...) have finite values only, bool, (N,)."""
    if x.dtype.kind != "f" or x.ndim == 0 or 0 in x.shape:
        return np.ones(len(x) if x.ndim else 0, bool)
    parts = np.array_split(x, max(1, x.size // 2**22))
    return np.concatenate([np.isfinite(part).reshape(len(part), -1).all(1) for part in parts])
