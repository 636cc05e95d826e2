"""Samples from elsewhere that are compared with the data of a run: those of another program, or a user's own."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genlab.data.array_files import FORMATS, is_array_file, read_arrays
from genlab.data.class_choice import numbers_of
from genlab.data.class_labels import classes_of
from genlab.data.measure_spec import refuse_impossible
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.inference.samples import Samples

FEWEST = 20


def read_samples(path: Path, data: DataSpec) -> Samples:
    """Samples as float32 as models see them, with their `chain_number` and `labels` where the file has these arrays.

    The file holds them in the units of the user, and labels as the user calls the classes.

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
    if data.units is not None:
        x = data.from_units(torch.from_numpy(content.astype(np.float64)).reshape(len(content), *data.shape))
    else:
        grey = content.dtype == np.uint8 and data.support != "real" and content.max() > 1
        scale = (data.levels or 256) - 1 if grey else 1
        x = torch.from_numpy(content.astype(np.float32) / scale).reshape(len(content), *data.shape)
    if data.support == "binary" and bool((x.abs() == 1).all()):  # spins of -1 and +1
        x = (x + 1) / 2
    finite = x[x.isfinite()]
    if len(finite):
        refuse_impossible(f"samples={path}", float(finite.abs().max()), float(finite.double().std()))
    if data.support != "real" and len(finite) and (float(finite.min()) < -0.01 or float(finite.max()) > 1.01):
        low, high = (float(value) for value in data.in_units(torch.stack([finite.min(), finite.max()])))
        first, last = (float(value) for value in data.in_units(torch.tensor([0.0, 1.0])))
        also = "" if data.units is not None else ", or save them as uint8"
        raise GenlabError(
            f"samples={path} has values in [{low:.4g}, {high:.4g}], and the data lie in [{first:.4g}, {last:.4g}]; rescale them "
            f"to [{first:.4g}, {last:.4g}]{also}"
        )
    chain = _numbers(path, "chain_number", found.get("chain_number"), len(x))
    labels = _labels(path, found.get("labels"), len(x), data) if data.num_classes else None
    return Samples(x if data.support == "real" else x.clamp(0, 1), chain, labels)


def _labels(path: Path, content: npt.NDArray[Any] | None, n: int, data: DataSpec) -> Tensor | None:
    """Classes (n,) from what the user calls them."""
    if content is None:
        return None
    (labels,), names = classes_of([(content, n, f"samples={path}")])
    try:
        return torch.tensor(numbers_of(names, data.names, "labels", data.name))[labels]
    except GenlabError as error:
        raise GenlabError(f"samples={path}: {error}") from error


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
