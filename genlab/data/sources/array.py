"""The user's own arrays: points of space, or images, from a file of NumPy or of torch.

`path` names a .npy file with the examples, or an .npz file with one array, with `x` (and `y`), or with `x_train` (`y_train`)
and perhaps `x_test` (`y_test`); or a .pt file with a tensor, or with a dictionary of such names. What an array holds follows
from its type and shape:

    (N, d)                                 any number type    N points of d-dimensional space, float32
    (N, d)                                 bool               N binary vectors
    (N, L), (N, C, L)                      any number type    N curves of C channels over L points, float32
    (N, H, W), (N, H, W, C), (N, C, H, W)  uint8              N images of 256 grey levels and C channels
    (N, H, W), (N, H, W, C), (N, C, H, W)  bool               N binary images
    (N, H, W), (N, H, W, C), (N, C, H, W)  float              N images of real values, float32
    any of these                           -1 and +1 only     N configurations of spins, stored as 0 and 1: binary

`kind` says whether examples are vectors, curves or images; where it is null, data/shapes.py decides. An array that could be
read in two ways is refused. Labels are integers 0..K-1, one per example.

Configurations of a lattice (N, H, W), spins or real numbers, are evaluated as a simulation is, where `observables` names some
of those in lattice/observables.py: `observables=[energy,magnetisation,correlation]`, and `temperature`, in units of the
coupling, for the specific heat and the susceptibility.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from genlab.config.types import Positive
from genlab.data.array_files import FORMATS, Array, read_arrays
from genlab.data.dataset import RawData
from genlab.data.examples import Examples
from genlab.data.measure_spec import refuse_impossible
from genlab.data.shapes import KindKey, arranged, describe
from genlab.errors import GenlabError, did_you_mean
from genlab.lattice.observables import ALLOWED

LAYOUTS: list[set[str]] = [
    {"x", "y"},
    {"x_train", "y_train"},
    {"x_train", "x_test"},
    {"x_train", "y_train", "x_test", "y_test"},
]
RENUMBER = "np.unique(y, return_inverse=True)[1] makes them so"


class Configurations:
    """What is known of the user's own lattice: its observables, but no exact values."""

    def __init__(self, observables: list[str], temperature: float | None, spins: bool) -> None:
        self.observables, self.temperatures, self.spins = tuple(observables), (temperature,), spins

    def exact(self, name: str, temperature: float | None) -> float | None:
        return None


def array(
    *,
    path: str | None,
    labels: str | None,
    observables: Annotated[list[str], Field(min_length=1)] | None,
    temperature: Positive | None,
    kind: KindKey = "by_shape",
) -> RawData:
    """The examples in the .npy, .npz or .pt file `path`; `labels` names a file of labels, where `path` holds none.

    `observables` are measured of samples of lattice configurations; `temperature` is that of the configurations.
    """
    if not path:
        raise GenlabError(f"dataset.path=null: set dataset.path to {FORMATS}")
    where = f"dataset.path={path}"
    found = read_arrays("dataset.path", path)
    if len(found) == 1:
        found = {"x": next(iter(found.values()))}
    elif {name.lower() for name in found} not in LAYOUTS:
        raise GenlabError(
            f"{where}: holds the arrays {', '.join(sorted(found)) or '(none)'}; "
            "keep one array, or x and y, or x_train, y_train, x_test and y_test"
        )
    parts = {name.lower().removesuffix("_train"): values for name, values in found.items()}
    if labels and "x_test" in parts:
        raise GenlabError(f"dataset.labels={labels}: {path} has a test split; put y_train and y_test there instead")
    if labels and "y" in parts:
        raise GenlabError(f"dataset.labels={labels}: {path} holds labels of its own; set dataset.labels=null")
    if labels:
        parts["y"] = _only(read_arrays("dataset.labels", labels), f"dataset.labels={labels}")

    first, read_as, note = arranged(parts["x"], kind if observables is None else kind or "by_shape", where)
    x, levels = _examples(first, where)
    y = _labels(parts["y"], len(x), f"dataset.labels={labels}" if labels else where) if "y" in parts else None
    train, test = Examples(x, y), None
    if "x_test" in parts:
        x_test, levels_test = _examples(arranged(parts["x_test"], read_as, where)[0], where)
        if (x_test.shape[1:], x_test.dtype, levels_test) != (x.shape[1:], x.dtype, levels):
            raise GenlabError(
                f"{where}: x_train is {describe(parts['x'])} and x_test {describe(parts['x_test'])}; store both alike"
            )
        test = Examples(x_test, _labels(parts["y_test"], len(x_test), where) if "y_test" in parts else None)
    truth = _lattice(observables, temperature, x, levels, where)
    return RawData("array", train, test, levels, _classes(train, test, labels or path), truth, note)


def _lattice(
    observables: list[str] | None, temperature: float | None, x: Tensor, levels: int | None, where: str
) -> Configurations | None:
    if observables is None:
        if temperature is not None:
            raise GenlabError(
                f"dataset.temperature={temperature}: is for the specific heat and the susceptibility; "
                "set 'dataset.observables=[energy,magnetisation]' too"
            )
        return None
    for name in observables:
        if name not in ALLOWED:
            raise GenlabError(f"dataset.observables={name}: {did_you_mean(name, ALLOWED)}")
    if x.ndim != 4 or x.shape[1] != 1 or levels == 256:
        raise GenlabError(
            f"dataset.observables={observables}: are those of a lattice (N, H, W) of spins or real numbers, and {where} holds "
            f"{'grey images' if levels == 256 else 'shapes ' + 'x'.join(map(str, x.shape[1:]))}; set dataset.observables=null"
        )
    if min(x.shape[2:]) < 2:
        raise GenlabError(
            f"dataset.observables={observables}: have neighbours along two axes, and {where} holds lattices of "
            f"{'x'.join(map(str, x.shape[2:]))} sites; set dataset.observables=null"
        )
    return Configurations(observables, temperature, spins=levels == 2)


def _only(found: dict[str, Array], where: str) -> Array:
    if len(found) != 1:
        raise GenlabError(f"{where}: holds the arrays {', '.join(sorted(found))}; keep one")
    return next(iter(found.values()))


def _examples(x: Array, where: str) -> tuple[Tensor, int | None]:
    """Arranged examples in the form in which they are stored, and the number of their grey levels."""
    kind = x.dtype.kind
    if kind in "if" and _are_spins(x):
        return torch.from_numpy(np.array(x > 0, np.uint8, order="C")), 2
    if kind == "b":
        return torch.from_numpy(np.array(x, np.uint8, order="C")), 2
    if x.ndim > 3 and x.dtype == np.uint8:
        if x.max() == 1:
            raise GenlabError(f"{where}: {describe(x)} holds only 0 and 1; store binary images as bool")
        return torch.from_numpy(np.array(x, order="C")), 256
    if x.ndim > 3 and kind != "f":
        raise GenlabError(
            f"{where}: images of type {x.dtype} have no agreed white; store bool, uint8 (0..255) or float"
        )
    with np.errstate(over="ignore"):
        values = torch.from_numpy(np.array(x, np.float32, order="C"))
    if not all(bool(part.isfinite().all()) for part in torch.split(values, 1 << 16)):
        raise GenlabError(f"{where}: {describe(x)} holds values that are not finite in float32; remove or replace them")
    refuse_impossible(where, float(values.abs().max()), float(values.double().std()))
    return values, None


def _are_spins(x: Array) -> bool:
    """Whether -1 and +1 are the only values, and both occur. The first examples decide, as a rule."""
    return all(bool((np.abs(part) == 1).all()) for part in (x[:16], x)) and bool((x[:1000] < 0).any() or (x < 0).any())


def _labels(y: Array, n: int, where: str) -> Tensor:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.shape != (n,):
        raise GenlabError(f"{where}: labels of shape {y.shape} for {n} examples; store one integer per example")
    if y.dtype.kind not in "bui" or int(y.min()) < 0:
        what = f"some are {int(y.min())}" if y.dtype.kind in "bui" else f"these are of type {y.dtype}"
        raise GenlabError(f"{where}: labels must be integers 0..K-1 ({what}); {RENUMBER}")
    return torch.from_numpy(np.array(y, np.int64))


def _classes(train: Examples, test: Examples | None, path: str) -> int | None:
    """K, once every class 0..K-1 is known to occur."""
    present = [part.y for part in (train, test) if part is not None and part.y is not None]
    if not present:
        return None
    values = torch.unique(torch.cat(present))
    if len(values) != int(values[-1]) + 1:
        raise GenlabError(
            f"{path}: {len(values)} different labels between {int(values[0])} and {int(values[-1])} are not 0..K-1; "
            + RENUMBER
        )
    return len(values)
