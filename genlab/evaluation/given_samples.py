"""Samples from elsewhere that are compared with the data of a run: those of another program, or a user's own."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genlab.data.array_files import FORMATS, is_array_file, read_arrays
from genlab.data.measure_spec import refuse_impossible
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.inference.samples import Samples

FEWEST = 20


def read_samples(path: Path, data: DataSpec) -> Samples:
    """Samples as float32 in the range of the data, with their `chain_number` and `labels` where the file has these arrays.

    Raises GenlabError for a file that holds no samples, or other numbers of them.
    """
    if not is_array_file(path) and path.is_file():
        raise GenlabError(f"samples={path}: samples are read from {FORMATS}; write one with np.save")
    found = read_arrays("samples", str(path))
    name = "samples" if "samples" in found else next(iter(found)) if len(found) == 1 else None
    if name is None:
        raise GenlabError(f"samples={path} holds {', '.join(found) or 'nothing'}; name the array of samples 'samples'")
    content = found[name]
    if content.dtype.kind not in "biuf":
        raise GenlabError(f"samples={path} holds {content.dtype} and not numbers; write an array of floats or uint8")
    shape = "x".join(map(str, data.shape))
    if content.ndim < 2 or content[0].size != data.dim or len(content) < FEWEST:
        actual = "x".join(map(str, content.shape))
        raise GenlabError(f"samples={path} has the shape {actual}; at least {FEWEST} examples of {shape} are needed")
    scale = (
        (data.levels or 256) - 1 if content.dtype == np.uint8 and data.support != "real" and content.max() > 1 else 1
    )
    x = torch.from_numpy(content.astype(np.float32) / scale).reshape(len(content), *data.shape)
    if data.support == "binary" and bool((x.abs() == 1).all()):  # spins of -1 and +1
        x = (x + 1) / 2
    finite = x[x.isfinite()]
    if len(finite):
        refuse_impossible(f"samples={path}", float(finite.abs().max()), float(finite.double().std()))
    if data.support != "real" and len(finite) and (float(finite.min()) < -0.01 or float(finite.max()) > 1.01):
        raise GenlabError(
            f"samples={path} has values in [{float(finite.min()):.3g}, {float(finite.max()):.3g}]; "
            "rescale them to [0, 1], or save them as uint8"
        )
    chain = _numbers(path, "chain_number", found.get("chain_number"), len(x))
    labels = _numbers(path, "labels", found.get("labels"), len(x)) if data.num_classes else None
    if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < (data.num_classes or 0):
        raise GenlabError(
            f"samples={path}: labels are {int(labels.min())} to {int(labels.max())}, and the classes of the data are 0 to "
            f"{(data.num_classes or 0) - 1}; write these, or leave labels out"
        )
    return Samples(x if data.support == "real" else x.clamp(0, 1), chain, labels)


def _numbers(path: Path, key: str, content: npt.NDArray[Any] | None, n: int) -> Tensor | None:
    """One whole number for each of n samples."""
    if content is None:
        return None
    if content.dtype.kind not in "iu" or content.shape != (n,):
        shape = "x".join(map(str, content.shape))
        raise GenlabError(
            f"samples={path}: {key} is {content.dtype} of shape {shape}; write one whole number for each of the {n:,} samples, "
            "or leave it out"
        )
    return torch.from_numpy(content.astype(np.int64))
