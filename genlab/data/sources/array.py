"""The user's own arrays: points of space, or images, from a file of NumPy, torch, HDF5 or MATLAB.

`path` names a .npy file with the examples, or one of several arrays: .npz, .pt (a dictionary of tensors), .h5 or .mat. They are
`x` (and `y`), or `x_train` (`y_train`) and perhaps `x_test` (`y_test`), at the top of an HDF5 file or together in one of its
groups; an array that is alone may have any name. `key` names another one, and `labels` the array of its labels in the same file,
or a file of labels.

`kind` says whether examples are vectors, curves or images; where it is null, data/shapes.py decides. How they are stored
follows from their type (data/array_kinds.py). Labels may be text or whole numbers (data/class_labels.py).

Configurations of a lattice (N, H, W), spins or real numbers, are evaluated as a simulation is, where `observables` names some
of those in lattice/observables.py: `observables=[energy,magnetisation,correlation]`, and `temperature`, in units of the
coupling, for the specific heat and the susceptibility.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from genlab.config.types import NonNegative, Positive
from genlab.data.array_files import FORMATS, Array, Arrays, is_array_file, read_arrays
from genlab.data.array_kinds import Span, rising, whole
from genlab.data.arrays import Standardise, arrays_as_raw
from genlab.data.dataset import RawData
from genlab.data.label_files import read_labels
from genlab.data.shapes import BY_SHAPE, KindKey
from genlab.errors import GenlabError, did_you_mean
from genlab.lattice.observables import ALLOWED

LAYOUTS: list[set[str]] = [
    {"x", "y"},
    {"x_train", "y_train"},
    {"x_train", "x_test"},
    {"x_train", "y_train", "x_test", "y_test"},
]


class Configurations:
    """What is known of the user's own lattice: its observables, but no exact values."""

    def __init__(self, observables: list[str], temperature: float | None, spins: bool) -> None:
        self.observables, self.temperatures, self.spins = tuple(observables), (temperature,), spins

    def exact(self, name: str, temperature: float | None) -> float | None:
        return None


def array(
    *,
    path: str | None,
    key: str | None = None,
    labels: str | None,
    observables: Annotated[list[str], Field(min_length=1)] | None,
    temperature: Positive | None,
    kind: KindKey = BY_SHAPE,
    range: Span | None = None,
    standardise: Standardise = False,
    missing: Literal["drop"] | None = None,
    memory_limit_gb: NonNegative = float("inf"),
) -> RawData:
    """The examples in the file `path`, in its array `key` where it holds several, with `labels`, a file or an array of it.

    The values `range` of pictures become 0 to 1, and columns of vectors are standardised where `standardise` says so.
    With `missing=drop` examples that hold a value that is not finite are left out; else they are named as a mistake.
    A .npy file of more than `memory_limit_gb` stays on disk (older runs lack the key). `observables` are measured of samples of
    lattice configurations; `temperature` is that of the configurations.
    """
    if not path:
        raise GenlabError(f"dataset.path=null: set dataset.path to {FORMATS}")
    where = f"dataset.path={path}"
    found = read_arrays("dataset.path", path)
    parts = _chosen(found, key, labels, where)
    of_labels = where
    if labels and "y" not in parts:
        if "x_test" in parts:
            raise GenlabError(f"dataset.labels={labels}: {path} has a test split; put y_train and y_test there instead")
        of_labels = f"dataset.labels={labels}"
        parts["y"] = read_labels("dataset.labels", labels)
    if observables is None and temperature is not None:
        raise GenlabError(
            f"dataset.temperature={temperature}: is for the specific heat and the susceptibility; "
            "set 'dataset.observables=[energy,magnetisation]' too"
        )
    if observables is not None and range is not None:
        raise GenlabError(f"dataset.range={range}: a lattice is measured in its own units; set dataset.range=null")
    dropped = []
    if missing == "drop":
        for of_x, of_y in (("x", "y"), ("x_test", "y_test")):
            if of_x in parts:
                dropped += _drop(parts, of_x, of_y, where)
    x = parts["x"]
    if observables is not None and x.dtype.kind in "iu" and x.dtype.itemsize > 1 and not bool((abs(x[:16]) == 1).all()):
        parts = {name: values.astype("f8") if name.startswith("x") else values for name, values in parts.items()}
    raw = arrays_as_raw(
        parts["x"],
        parts.get("y"),
        x_test=parts.get("x_test"),
        y_test=parts.get("y_test"),
        kind=kind if observables is None else kind or BY_SHAPE,
        where=where,
        where_labels=of_labels,
        span=rising(range),
        standardise=standardise,
        memory_limit_gb=memory_limit_gb,
    )
    raw = replace(raw, remarks=(*dropped, *raw.remarks))
    return raw if observables is None else replace(raw, truth=_lattice(observables, temperature, raw, where))


def _drop(parts: dict[str, Array], of_x: str, of_y: str, where: str) -> list[str]:
    """Leave out, in place, the examples with values that are not finite, and their labels; a line that says how many."""
    x, y = parts[of_x], parts.get(of_y)
    kept = whole(x)
    n = int(len(kept) - kept.sum())
    if not n:
        return []
    if n == len(kept):
        raise GenlabError(f"{where}: no example of {of_x} has finite values only; choose components that have")
    parts[of_x] = x[kept]
    if y is not None and y.size == len(kept):  # other labels are refused where they are read
        parts[of_y] = y.reshape(-1)[kept]
    return [f"{where}: {n:,} of {len(kept):,} examples lack a value (not finite), and are left out"]


def _chosen(found: Arrays, key: str | None, labels: str | None, where: str) -> dict[str, Array]:
    """The arrays x, y, x_test and y_test of a file, those of them that there are."""
    own = labels if labels in found else None  # an array of the same file
    if labels and own is None and len(found) > 1 and not _may_be_file(labels):
        raise GenlabError(
            f"dataset.labels={labels}: there is no such file, and {where} holds {found.listing}; name one of these"
        )
    if key is not None:
        if key not in found:
            raise GenlabError(f"dataset.key={key}: {where} holds {found.listing}; name one of these")
        beside = own or (None if labels else _beside(found, key))
        return {"x": found[key]} | ({"y": found[beside]} if beside else {})
    others = [name for name in found if name != own]
    if len(others) == 1:
        return {"x": found[others[0]]} | ({"y": found[own]} if own else {})
    names = _layout(others)
    if names is None:
        raise GenlabError(
            f"{where}: holds the arrays {found.listing}; name one with dataset.key=NAME, or keep one array, or x and y, or "
            "x_train, y_train, x_test and y_test"
        )
    if labels and "y" in names:
        raise GenlabError(f"dataset.labels={labels}: {where} holds labels of its own; set dataset.labels=null")
    return {part: found[name] for part, name in names.items()} | ({"y": found[own]} if own else {})


def _may_be_file(labels: str) -> bool:
    return Path(labels).expanduser().exists() or is_array_file(Path(labels)) or "." in Path(labels).name


def _layout(names: list[str]) -> dict[str, str] | None:
    """The part that each array is, where their names are one of LAYOUTS, and nothing else lies in the same group."""
    groups = {name.rpartition("/")[0] for name in names}
    for group in sorted(groups):
        mine = {name.rpartition("/")[2].lower(): name for name in names if name.rpartition("/")[0] == group}
        if set(mine) in LAYOUTS and (len(groups) == 1 or group == ""):
            return {part.removesuffix("_train"): name for part, name in mine.items()}
    return None


def _beside(found: Arrays, key: str) -> str | None:
    """The labels that belong to the array `key` by their name: y to x, and y_train to x_train."""
    group, slash, name = key.rpartition("/")
    labels = f"{group}{slash}{name.lower().replace('x', 'y', 1)}"
    return labels if name.lower() in ("x", "x_train", "x_test") and labels in found else None


def _lattice(observables: list[str], temperature: float | None, raw: RawData, where: str) -> Configurations:
    for name in observables:
        if name not in ALLOWED:
            raise GenlabError(f"dataset.observables={name}: {did_you_mean(name, ALLOWED)}")
    shape = raw.train.shape
    if len(shape) != 3 or shape[0] != 1 or raw.levels == 256:
        raise GenlabError(
            f"dataset.observables={observables}: are those of a lattice (N, H, W) of spins or real numbers, and {where} holds "
            f"{'grey images' if raw.levels == 256 else 'shapes ' + 'x'.join(map(str, shape))}; set dataset.observables=null"
        )
    if min(shape[1:]) < 2:
        raise GenlabError(
            f"dataset.observables={observables}: have neighbours along two axes, and {where} holds lattices of "
            f"{'x'.join(map(str, shape[1:]))} sites; set dataset.observables=null"
        )
    return Configurations(observables, temperature, spins=raw.levels == 2)
