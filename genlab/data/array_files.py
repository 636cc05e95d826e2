"""Arrays in files: .npy, .npz, .pt or .pth as torch.save writes them, .h5 or .hdf5, and .mat of MATLAB.

Arrays are read when they are asked for. A file of many variables costs no more than those that are used.
"""

import contextlib
import pickle
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genlab.data.table_files import is_table_file
from genlab.errors import GenlabError

Array = NDArray[Any]

NUMPY, TORCH, HDF5, MATLAB = (".npy", ".npz"), (".pt", ".pth"), (".h5", ".hdf5", ".hdf", ".he5", ".nxs"), (".mat",)
FORMATS = "a .npy, .npz, .pt, .h5 or .mat file"

# What numpy and torch raise for files that are damaged, or something else altogether.
UNREADABLE: tuple[type[Exception], ...] = (ValueError, EOFError, KeyError, IndexError, SyntaxError, OverflowError)
UNREADABLE += (MemoryError, zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, AttributeError, TypeError)


def is_array_file(path: Path) -> bool:
    """Whether the name of a file is that of arrays."""
    return path.suffix.lower() in NUMPY + TORCH + HDF5 + MATLAB


class Arrays(Mapping[str, Array]):
    """The arrays in a file by name."""

    def __init__(self, key: str, path: str, shapes: Mapping[str, str], read: Any) -> None:
        self.shapes = dict(shapes)
        """Of each array its type and shape, for messages."""
        self._key, self._path, self._read = key, path, read

    def __getitem__(self, name: str) -> Array:
        if name not in self.shapes:
            raise KeyError(name)
        with _reading(self._key, self._path):
            found: Array = self._read(name)
            return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def listing(self) -> str:
        """All arrays with their shapes, eight at most."""
        shown = [f"{name} {shape}".strip() for name, shape in list(self.shapes.items())[:8]]
        more = len(self.shapes) - len(shown)
        return (", ".join(shown) or "(none)") + (f" and {more} more" if more else "")


def read_arrays(key: str, path: str) -> Arrays:
    """The arrays in the file `path` by name; an array without a name is called x.

    Raises GenlabError, which names `key`, where there is no such file or where it holds no arrays of numbers.
    """
    with _reading(key, path):
        file = Path(path).expanduser()
        suffix = file.suffix.lower()
        if is_table_file(file) and file.is_file():
            raise GenlabError(f"{key}={path}: is a table by its name; take dataset=table, or name {FORMATS}")
        if suffix in HDF5 + MATLAB and not file.is_dir():
            file.open("rb").close()
            from genlab.data import hdf5_files

            shapes, read = hdf5_files.variables(file) if suffix in HDF5 else hdf5_files.variables_of_matlab(file)
            return Arrays(key, path, shapes, read)
        if suffix in TORCH:
            found = _read_torch(file)
            return Arrays(key, path, {name: _shape(x) for name, x in found.items()}, found.__getitem__)
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return Arrays(key, path, {"x": _shape(loaded)}, {"x": loaded}.__getitem__)
        with loaded:
            found = {name: loaded[name] for name in loaded.files}
        return Arrays(key, path, {name: _shape(x) for name, x in found.items()}, found.__getitem__)


@contextlib.contextmanager
def _reading(key: str, path: str) -> Iterator[None]:
    """What goes wrong while a file is read, as a GenlabError."""
    try:
        yield
    except IsADirectoryError as error:
        raise GenlabError(
            f"{key}={path}: is a folder; name {FORMATS}, or take dataset=image_folder for pictures"
        ) from error
    except FileNotFoundError as error:
        raise GenlabError(f"{key}={path}: there is no such file; name {FORMATS}") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a ~ that leads nowhere, or torch's own reader
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise GenlabError(f"{key}={path}: cannot be read ({reason}); name {FORMATS}") from error
    except UNREADABLE as error:
        foreign = any(word in str(error).lower() for word in ("pickle", "object", "weights"))
        reason = (
            "it holds Python objects, or is no file of arrays; text is stored as np.array(y, str)"
            if foreign
            else " ".join(str(error).split())[:200]
        )
        raise GenlabError(
            f"{key}={path}: cannot be read as it is not an array of numbers ({reason}); name {FORMATS}"
        ) from error


def _read_torch(file: Path) -> dict[str, Array]:
    found = torch.load(file, map_location="cpu", weights_only=True)
    if isinstance(found, torch.Tensor):
        found = {"x": found}
    if isinstance(found, list | tuple) and all(isinstance(value, torch.Tensor) for value in found):
        found = {"x": torch.stack(list(found))}
    if not isinstance(found, dict) or not all(
        isinstance(value, torch.Tensor) or _is_text(value) for value in found.values()
    ):
        raise ValueError("it holds objects beside tensors")
    return {str(name): _of_torch(x) for name, x in found.items()}


def _is_text(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(word, str) for word in value)


def _of_torch(x: Any) -> Array:
    if not isinstance(x, torch.Tensor):
        return np.array(x)
    halves = (torch.bfloat16, torch.float16)  # numpy has no bfloat16
    found: Array = (x.float() if x.dtype in halves else x).detach().numpy()
    return found


def _shape(x: Array) -> str:
    return f"({', '.join(map(str, x.shape))}{',' if x.ndim == 1 else ''})"
