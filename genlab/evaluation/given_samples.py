"""Samples from elsewhere that are compared with the data of a run: those of another program, or a user's own."""

from collections.abc import Mapping, Sequence
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
from genlab.data.table_columns import labels_in, numbers_in
from genlab.data.table_files import FORMATS as TABLES
from genlab.data.table_files import is_table_file, read_table
from genlab.errors import GenlabError
from genlab.inference.samples import Samples

FEWEST = 20
MOST_NAMED = 6  # columns in a message


def read_samples(path: Path, data: DataSpec) -> Samples:
    """Samples as float32 as models see them, with their `chain_number` and `labels` where the file has these arrays.

    The file holds them in the units of the user, and labels as the user calls the classes. Where the data are a table, it may
    be one too, with the columns by name in any order, and of others one for the labels.

    Raises GenlabError for a file that holds no samples, or other numbers of them.
    """
    found: Mapping[str, npt.NDArray[Any]]
    if is_table_file(path) and data.component_names is not None:
        found = _of_table(path, data.component_names, bool(data.num_classes))
    elif not is_array_file(path) and path.is_file():
        table = "" if data.component_names is None else f", or {TABLES}"
        raise GenlabError(f"samples={path}: samples are read from {FORMATS}{table}; write one with np.save")
    else:
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
    content = _channels_first(content, data.shape)
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


def _of_table(path: Path, columns: Sequence[str], labelled: bool) -> dict[str, npt.NDArray[Any]]:
    """The arrays samples (n, d), of these columns, and labels (n,) where there is a column for them."""
    where = f"samples={path}"
    table = read_table("samples", str(path), None, None, None)
    place = {name: k for k, name in reversed(list(enumerate(table.names)))}
    lacking = [name for name in columns if name not in place]
    if lacking:
        raise GenlabError(
            f"{where}: lacks {', '.join(lacking[:MOST_NAMED])} of the columns {', '.join(columns[:MOST_NAMED])}"
            f"{',...' if len(columns) > MOST_NAMED else ''}; it holds {', '.join(table.names[:MOST_NAMED])}"
            f"{',...' if len(table.names) > MOST_NAMED else ''}"
        )
    values = []
    for name in columns:
        numbers, text = numbers_in(table.frame[str(place[name])], table.decimal)
        if text:
            raise GenlabError(f"{where}: column {name} holds text, such as {str(text[0])[:20]!r}; write numbers")
        if missing := int(np.isnan(numbers).sum()):
            raise GenlabError(
                f"{where}: column {name} lacks {missing:,} of {len(numbers):,} values; leave these rows out"
            )
        values.append(numbers)
    found = {"samples": np.stack(values, 1)}
    rest = [k for k in range(len(table.names)) if k not in {place[name] for name in columns}]
    called = [k for k in rest if table.names[k].lower() in ("label", "labels")]
    of_labels = rest if len(rest) == 1 else called[-1:]
    if labelled and of_labels:
        labels = labels_in(table.frame[str(of_labels[0])])
        if None in labels:
            raise GenlabError(
                f"{where}: {labels.count(None):,} rows have no label; fill them in, or leave these rows out"
            )
        found["labels"] = np.array(labels)
    return found


def _channels_first(content: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Curves (n, L, C) and images (n, H, W, C) with the channels of `shape` in front; others as they are."""
    last = (*shape[1:], shape[0])
    return np.moveaxis(content, -1, 1) if len(shape) > 1 and last != shape and content.shape[1:] == last else content


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
