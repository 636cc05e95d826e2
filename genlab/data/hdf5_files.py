"""Arrays in HDF5 files, and in MATLAB's .mat files, of which those of version 7.3 are HDF5 files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Found = tuple[dict[str, str], Callable[[str], Array]]
"""Type and shape of each variable, and a function that reads one."""

KINDS = "buifSUOc"


def variables(file: Path, *, matlab: bool = False) -> Found:
    """The arrays in all groups of an HDF5 file, by their path, such as run1/x. Raises OSError for other files."""
    import h5py

    shapes: dict[str, str] = {}

    def note(name: str, item: Any) -> None:
        hidden = matlab and name.startswith("#")  # where MATLAB keeps what its cells refer to
        if isinstance(item, h5py.Dataset) and item.ndim > 0 and item.dtype.kind in KINDS and not hidden:
            shape = item.shape[::-1] if matlab else item.shape
            shapes[name] = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"

    with h5py.File(file, "r") as opened:
        opened.visititems(note)

    def read(name: str) -> Array:
        with h5py.File(file, "r") as opened:
            return _of_matlab(opened, opened[name]) if matlab else _read(opened[name])

    return shapes, read


def _read(item: Any) -> Array:
    import h5py

    if h5py.check_string_dtype(item.dtype) is not None:
        return np.array([str(word) for word in item.asstr()[()].reshape(-1)]).reshape(item.shape)
    if item.dtype.kind == "O":
        raise ValueError("arrays of unequal lengths, or references")
    found: Array = item[()]
    return found


def _of_matlab(opened: Any, item: Any) -> Array:
    """MATLAB writes its axes in the opposite order, text as numbers of its characters, and cells as references."""
    kind = item.attrs.get("MATLAB_class", b"")
    if kind == b"cell":
        return np.array(["".join(map(chr, opened[cell][()].T.reshape(-1))) for cell in item[()].T.reshape(-1)])
    if kind == b"char":
        return np.array(["".join(map(chr, row)).strip() for row in item[()].T])
    values = _read(item)
    return (values.astype(bool) if kind == b"logical" else values).T


def variables_of_matlab(file: Path) -> Found:
    """The variables of a .mat file of any version."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    try:
        listed = whosmat(file)
    except NotImplementedError:  # version 7.3
        return variables(file, matlab=True)
    except (MatReadError, IndexError) as error:
        raise ValueError("it is no MATLAB file, or a part of one") from error
    shapes = {name: f"({', '.join(map(str, shape))})" for name, shape, _ in listed}

    def read(name: str) -> Array:
        values: Array = loadmat(file, variable_names=[name])[name]
        if values.dtype.kind == "O":  # a cell of text
            if not all(isinstance(cell, np.ndarray) and cell.dtype.kind == "U" for cell in values.flat):
                raise ValueError(f"{name} is a cell or a structure")
            return np.array([str(cell[0]) if cell.size else "" for cell in values.flat])
        return np.array([word.strip() for word in values.flat]) if values.dtype.kind == "U" else values

    return shapes, read
