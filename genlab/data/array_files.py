"""Arrays in files: .npy, .npz, and .pt or .pth as torch.save writes them."""

import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genlab.errors import GenlabError

Array = NDArray[Any]

NUMPY, TORCH = (".npy", ".npz"), (".pt", ".pth")
FORMATS = "a .npy, .npz or .pt file"

# What numpy and torch raise for files that are damaged, or something else altogether.
UNREADABLE: tuple[type[Exception], ...] = (ValueError, EOFError, KeyError, SyntaxError, OverflowError, MemoryError)
UNREADABLE += (zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, AttributeError, TypeError)


def is_array_file(path: Path) -> bool:
    """Whether the name of a file is that of arrays."""
    return path.suffix.lower() in NUMPY + TORCH


def read_arrays(key: str, path: str) -> dict[str, Array]:
    """The arrays in the file `path` by name; an array without a name is called x.

    Raises GenlabError, which names `key`, where there is no such file or where it holds no arrays of numbers.
    """
    try:
        file = Path(path).expanduser()
        return _read_torch(file) if file.suffix.lower() in TORCH else _read_numpy(file)
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
        reason = "it holds Python objects, or is no file of arrays" if foreign else " ".join(str(error).split())[:200]
        raise GenlabError(
            f"{key}={path}: cannot be read as it is not an array of numbers ({reason}); name {FORMATS}"
        ) from error


def _read_numpy(file: Path) -> dict[str, Array]:
    found = np.load(file, mmap_mode="r", allow_pickle=False)
    if isinstance(found, np.ndarray):
        return {"x": found}
    with found:
        return {name: found[name] for name in found.files}


def _read_torch(file: Path) -> dict[str, Array]:
    found = torch.load(file, map_location="cpu", weights_only=True)
    if isinstance(found, torch.Tensor):
        found = {"x": found}
    if isinstance(found, list | tuple):
        found = {"x": torch.stack(list(found))}
    if not isinstance(found, dict) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise ValueError("it holds objects beside tensors")
    halves = (torch.bfloat16, torch.float16)  # numpy has no bfloat16
    return {str(name): (x.float() if x.dtype in halves else x).detach().numpy() for name, x in found.items()}
