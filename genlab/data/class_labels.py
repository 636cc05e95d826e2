"""Labels of any kind as classes 0..K-1, and the names of the classes.

Labels are text, bytes, booleans, or whole numbers of any type, negative ones among them. The different ones are sorted, numbers
as numbers (also where they are written as text) and others as text, and become 0 to K-1. What they were are their names.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from genlab.data.array_files import Array
from genlab.errors import GenlabError

Names = tuple[str, ...]

FEW = 20  # examples of which each may have a class of its own


def classes_of(parts: Sequence[tuple[Array, int, str]]) -> tuple[list[Tensor], Names]:
    """Classes (n,), int64, of the labels of each part, and the names of all classes together.

    A part is labels, the number n of its examples, and what an error says of where they are from. Raises GenlabError for labels
    that are none.
    """
    columns = [_column(y, n, where) for y, n, where in parts]
    where = parts[0][2]
    together = np.concatenate([part.astype(object) for part in columns])
    if all(isinstance(value, str) for value in together):
        together = _numbers_where_written(together)
    elif any(isinstance(value, str) for value in together):
        raise GenlabError(f"{where}: labels are text in one split and numbers in the other; store both alike")
    different = sorted(set(together.tolist()))
    if len(together) > FEW and len(different) > len(together) / 2:
        raise GenlabError(
            f"{where}: {len(different):,} different labels of {len(together):,} examples are no classes; leave them out, or "
            "group them"
        )
    number = {value: k for k, value in enumerate(different)}
    numbers = torch.tensor([number[value] for value in together.tolist()], dtype=torch.int64)
    return list(numbers.split([len(part) for part in columns])), tuple(map(_name, different))


def unless_numbers(names: Names) -> Names | None:
    """The names as they are; None where they are the numbers of the classes."""
    return None if names == tuple(map(str, range(len(names)))) else names


def sorted_names(names: Sequence[str]) -> list[str]:
    """Text in sorted order: as numbers where all are whole numbers."""
    try:
        return sorted(names, key=lambda name: (int(name), name))
    except ValueError:
        return sorted(names)


def _column(y: Array, n: int, where: str) -> Array:
    """Labels (n,) as text, or whole numbers."""
    if y.ndim == 2 and 1 in y.shape and y.shape != (1, 1):
        y = y.reshape(-1)
    if y.shape != (n,):
        raise GenlabError(f"{where}: labels of shape {y.shape} for {n} examples; store one label per example")
    if y.dtype.kind == "O":
        y = np.array([value.decode(errors="replace") if isinstance(value, bytes) else value for value in y.tolist()])
    if y.dtype.kind == "S":
        return np.array([value.decode(errors="replace").strip() for value in y.tolist()])
    if y.dtype.kind in "UT":
        return np.array([str(value).strip() for value in y.tolist()])
    if y.dtype.kind in "bui":
        return y
    if y.dtype.kind != "f":
        raise GenlabError(f"{where}: labels of type {y.dtype} are neither text nor whole numbers; store one of these")
    if not bool(np.isfinite(y).all()):
        raise GenlabError(f"{where}: {int((~np.isfinite(y)).sum()):,} labels are missing (not finite); fill them in")
    if bool((y != np.rint(y)).any()):
        value = y[y != np.rint(y)][0]
        raise GenlabError(
            f"{where}: labels such as {value:.6g} are no whole numbers; a class is text or a whole number, and a measured "
            "quantity belongs to the examples"
        )
    return y.astype(np.int64)


def _numbers_where_written(text: Array) -> Array:
    try:
        return np.array([int(value) for value in text.tolist()], dtype=object)
    except ValueError:
        return text


def _name(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
