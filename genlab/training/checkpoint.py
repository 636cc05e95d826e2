"""Checkpoints: written atomically, checked for damage before they are read, loaded with weights_only=True."""

import errno
import os
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlab.errors import GenlabError
from genlab.tracking.untrusted import DEEPEST, plain, printable

FORMAT = 3
"""Of what a checkpoint holds. Whoever changes that raises it, and says in `_to_this_format` how older ones become new ones."""

UNREADABLE: tuple[type[Exception], ...] = (zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, EOFError, OSError)
UNREADABLE += (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
)
"""What zipfile and torch raise for a file that is damaged, or crafted."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (plain containers and tensors). At every moment `path` holds the whole old content or the whole new one.

    Raises OSError where the file cannot be written; the checkpoint that was there before is then untouched.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):  # torch wraps that of a full disk in a RuntimeError
            cause = cause.__cause__ or cause.__context__
        if cause is None:  # torch's own writer failed
            raise OSError(errno.EIO, str(error).splitlines()[0], str(path)) from None
        raise OSError(cause.errno, cause.strerror, str(path)) from None


def load(path: Path) -> dict[str, Any]:
    """The state that `save` wrote, on the CPU. Raises GenlabError for a file that is missing, damaged or of another format.

    Nothing that the file holds is executed: tensors and plain containers are read, and no other object is made.
    """
    other = path.with_name("last.pt" if path.stem == "best" else "best.pt")
    remedy = f"remove it and use {other.name}, or train again" if other.exists() else "train again"
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
            if claimed > path.stat().st_size:  # torch compresses nothing, and would reserve what is claimed
                raise GenlabError(f"checkpoint {path} claims to hold {claimed:,} bytes, more than it has; {remedy}")
            damaged = archive.testzip()  # torch reads tensors without looking at their checksums
        if damaged is not None:
            raise GenlabError(f"checkpoint {path} is damaged (in {damaged}); {remedy}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GenlabError(f"checkpoint {path} does not exist; train the run, or name another one") from None
    except UNREADABLE as error:
        if isinstance(error, pickle.UnpicklingError) or _is_pickle(path):
            raise GenlabError(f"checkpoint {path} holds objects, not tensors; do not open it") from None
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GenlabError(f"checkpoint {path} cannot be read ({reason}); {remedy}") from None
    written = state.get("format") if isinstance(state, dict) else None
    if not isinstance(written, int):
        raise GenlabError(f"checkpoint {path} is not one of genlab; {remedy}")
    if not 1 <= written <= FORMAT:
        raise GenlabError(
            f"checkpoint {path} has format {written}, and this version of genlab reads 1 to {FORMAT}; "
            "use the version that wrote it (versions in run.json), or train again"
        )
    with fitting(path):
        return _to_this_format(_checked(state), written)


def _to_this_format(state: dict[str, Any], written: int) -> dict[str, Any]:
    if written < 2:  # it did not say what pictures and measures may cost, nor what the last record needs
        state = {"looking": None, "gradient_norms": {}, "shown_since": {}, **state}
    if written < 3 and "best" in state:  # it counted no evaluations, and no run went on to another length
        value, at = state["best"]
        state = {
            "lowest": {"value": value, "at": at, "waited": 0, "counted": -1},
            "stopped_early": False,
            "seams": [],
            **state,
        }
    return {**state, "format": FORMAT}


def _is_pickle(path: Path) -> bool:
    """Whether the file is a bare pickle, as older versions of torch, or somebody else, write it."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """Within the block something is made from the content of the checkpoint `path`, which may be anything.

    Raises GenlabError where that fails.
    """
    try:
        yield
    except UNREADABLE as error:
        if isinstance(error, OSError | MemoryError) or "memory" in str(error):
            raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise GenlabError(f"checkpoint {path} does not fit this version of genlab ({reason}); train again") from None


def _checked(state: dict[str, Any]) -> dict[str, Any]:
    """`state` with plain text in it. Raises ValueError for what no checkpoint of genlab holds."""
    for name, tensor in _tensors(state, ""):
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_complex():
            raise ValueError(f"{name} is no plain tensor")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{name} claims {tensor.numel():,} values, more than there are")
        if name.startswith((".model.", ".data.")) and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name[1:]} is not finite")
    texts: dict[str, Any] = {key: plain(state[key]) for key in ("config", "logs") if key in state}
    data = {key: printable(v) if isinstance(v, str) else v for key, v in state.get("data", {}).items()}
    return {**state, **texts, "data": data}


def _tensors(value: object, name: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """All tensors in nested containers, with their names."""
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(item, f"{name}.{key}", depth + 1)
