"""Checkpoints: written atomically, checked for damage before they are read, loaded with weights_only=True."""

import errno
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from genlab.errors import GenlabError

FORMAT = 2
"""Of what a checkpoint holds. Whoever changes that raises it, and says in `_to_this_format` how older ones become new ones."""


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
    """The state that `save` wrote, on the CPU. Raises GenlabError for a file that is missing, damaged or of another format."""
    other = path.with_name("last.pt" if path.stem == "best" else "best.pt")
    remedy = f"remove it and use {other.name}, or train again" if other.exists() else "train again"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch reads tensors without looking at their checksums
        if damaged is not None:
            raise GenlabError(f"checkpoint {path} is damaged (in {damaged}); {remedy}")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GenlabError(f"checkpoint {path} does not exist; train the run, or name another one") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
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
    return _to_this_format(state, written)


def _to_this_format(state: dict[str, Any], written: int) -> dict[str, Any]:
    if written < 2:  # it did not say what pictures and measures may cost, nor what the last record needs
        state = {"looking": None, "gradient_norms": {}, "shown_since": {}, **state}
    return {**state, "format": FORMAT}
