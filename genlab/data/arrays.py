"""Arrays in memory as a data set: what a user hands over in Python, and what a file holds."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from torch import Tensor

from genlab.data.array_files import Array
from genlab.data.array_kinds import Range, kept_on_disk, seen_as, stored
from genlab.data.class_labels import classes_of, unless_numbers
from genlab.data.dataset import RawData
from genlab.data.examples import Examples, Store
from genlab.data.mapped_rows import is_mapped
from genlab.data.shapes import KindKey, arranged, describe
from genlab.data.units import Units
from genlab.errors import GenlabError

Standardise = bool | Literal["auto"]


def arrays_as_raw(
    x: Any,
    y: Any = None,
    *,
    x_test: Any = None,
    y_test: Any = None,
    kind: KindKey = None,
    name: str = "array",
    where: str = "x",
    where_labels: str | None = None,
    component_names: Sequence[str] | None = None,
    span: Sequence[float] | None = None,
    standardise: Standardise = False,
    truth: object | None = None,
    memory_limit_gb: float = float("inf"),
) -> RawData:
    """Examples x with labels y, and perhaps a test split, as the data set `name`; NumPy arrays, tensors, lists.

    `kind` says whether they are vectors, curves or images (shapes.py); labels are of any kind (class_labels.py).
    `component_names` are those of the columns of vectors. `span` is the range [low, high] that pictures see as [0, 1]; None for
    counts from the smallest to the largest, and other values as they are. `standardise` is what standardise.py makes of it.

    A mapped file of more than `memory_limit_gb` stays on disk, and batches are read from it; its values stay as they are.

    Raises GenlabError, which begins with `where` (`where_labels` for labels), for what cannot be read.
    """
    given = [_array(part, where) for part in (x, x_test) if part is not None]
    first, read_as, said = arranged(given[0], kind, where)
    turned = first.ndim == 3 == given[0].ndim and first.shape != given[0].shape
    parts = [first, *(arranged(part, read_as, where, turned)[0] for part in given[1:])]
    if len(parts) == 2 and parts[0].shape[1:] != parts[1].shape[1:]:
        raise _unlike(where, given)
    kept: list[tuple[Store, int | None]]
    if sum(part.nbytes for part in parts) > memory_limit_gb * 1e9 and all(map(is_mapped, parts)):
        found, units, standardise = None, None, _as_they_are(parts, span, standardise, where)
        kept = [kept_on_disk(part, where) for part in parts]
    else:
        found, units = _range(parts, span, where)
        in_memory = [stored(part, where, found, exact=standardise is not False) for part in parts]
        if len({(values.dtype, levels) for values, levels in in_memory}) > 1:
            raise _unlike(where, given)
        kept = list(in_memory)
    if component_names is not None and tuple(parts[0].shape[1:]) != (len(component_names),):
        raise GenlabError(f"{where}: {len(component_names)} names for {describe(given[0])}; name each column once")

    of_labels = where_labels or where
    both = zip((y, y_test), parts, strict=False)
    labels = [(_array(values, of_labels), len(part), of_labels) for values, part in both if values is not None]
    classes: list[Tensor | None] = [None, None]
    names = None
    if labels:
        numbered, names = classes_of(labels)
        classes = [*numbered, None][:2]
    remarks = [f"read as {said}"] if said else []
    if found is not None:
        remarks.append(seen_as(found, "counts" if span is None else None))
    splits = [Examples(values, classes[k]) for k, (values, _) in enumerate(kept)]
    return RawData(
        name,
        splits[0],
        splits[1] if len(splits) == 2 else None,
        levels=kept[0][1],
        num_classes=None if names is None else len(names),
        truth=truth,
        class_names=None if names is None else unless_numbers(names),
        component_names=None if component_names is None else tuple(map(str, component_names)),
        units=units,
        standardise=standardise,
        remarks=tuple(remarks),
        where=where,
    )


def _array(values: Any, where: str) -> Array:
    """A NumPy array of what behaves like one."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() and values.element_size() == 2 else values).numpy()
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise GenlabError(f"{where}: is no array of numbers ({' '.join(str(error).split())}); give one") from error


def _as_they_are(
    parts: Sequence[Array], span: Sequence[float] | None, standardise: Standardise, where: str
) -> Standardise:
    """dataset.standardise of a file that stays on disk. Raises GenlabError where its values would have to be changed."""
    key = f"dataset.range={list(span)}" if span else "dataset.standardise=true" if standardise is True else None
    kinds = {part.dtype for part in parts}
    if key is not None or len(kinds) > 1 or next(iter(kinds)) not in (np.uint8, np.float32, np.float64):
        what = key or f"{where}: {describe(parts[0])} is stored as other numbers than these"
        raise GenlabError(
            f"{what}: the file stays on disk, and its values as they are; save it as uint8 (grey levels) or float32, in the "
            "scale that the model shall see, or raise dataset.memory_limit_gb"
        )
    return False


def _unlike(where: str, given: Sequence[Array]) -> GenlabError:
    return GenlabError(f"{where}: x_train is {describe(given[0])} and x_test {describe(given[1])}; store both alike")


def _range(parts: Sequence[Array], span: Sequence[float] | None, where: str) -> tuple[Range | None, Units | None]:
    """The range of pictures that becomes [0, 1], and the units that follow from it; None for values as they are."""
    is_picture = parts[0].ndim == 4
    if span is not None and not is_picture:
        raise GenlabError(
            f"dataset.range={list(span)}: is that of pictures, and {where} holds columns of numbers; set dataset.standardise"
        )
    if span is None:
        counts = is_picture and all(part.dtype.kind in "ui" and part.dtype != np.uint8 for part in parts)
        if not counts or all(bool((np.abs(part[:16]) == 1).all()) for part in parts):  # spins
            return None, None
        low, high = float(min(part.min() for part in parts)), float(max(part.max() for part in parts))
        if low == high:
            raise GenlabError(f"{where}: all values are {low:g}; there is nothing to learn from them")
    else:
        low, high = map(float, span)
    return (low, high), Units.of_range(low, high)
