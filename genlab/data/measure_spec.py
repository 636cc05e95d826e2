"""The specification of a data set, measured on its training split."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from genlab.data.dataset import RawData
from genlab.data.examples import Examples
from genlab.data.representation import Representation
from genlab.data.spec import DataSpec, Support
from genlab.data.subsets import places
from genlab.errors import GenlabError

LARGEST, SMALLEST = 1e15, 1e-15
"""Of values, and of their standard deviation: squares of 1e15, added up over 1e8 components, are still finite."""
UNLIKE = 1e3
"""Ratio of standard deviations: a millionth of the variance is seen by nothing."""
RESOLVED = 10
"""Steps of single precision in a standard deviation."""


def specify(raw: RawData, train: Examples, represent: Representation) -> DataSpec:
    """Moments, range and support of the training split, in the representation that models see.

    Raises GenlabError for values that are not finite, and for values outside [0, 1] that are to be binarised.
    """
    where = raw.where or f"dataset={raw.name}"
    scale = 1 if raw.levels is None else raw.levels - 1
    first = second = torch.zeros(()).double()
    low, high, n, binary = float("inf"), float("-inf"), 0, True
    for stored in _chunks(train):
        # In float32 the squares of points far from the origin would cancel their variance away; grey values are near it.
        x = stored.double() if raw.levels is None else stored.float().div_(scale)
        if not bool(x.isfinite().all()):
            raise GenlabError(f"{where}: the data hold values that are not finite; remove or replace them")
        low, high = min(low, float(x.min())), max(high, float(x.max()))
        binary = binary and bool(((x == 0) | (x == 1)).all())
        if represent.binarize == "threshold":
            x = (x > 0.5).double()
        first, second, n = first + x.sum(0), second + x.square().sum(0), n + len(x)
    if represent.binarize == "dynamic":
        second = first  # E x^2 = E x for a binary x
    if represent.binarize != "none" and (low < 0 or high > 1):
        raise GenlabError(
            f"dataset.binarize={represent.binarize}: values lie in [{low:.3g}, {high:.3g}], not in [0, 1]; "
            "rescale them or set dataset.binarize=none"
        )
    mean = first / n
    variance = (second / n - mean.square()).clamp_min(0)
    spread = float(variance.max()) ** 0.5
    refuse_impossible(where, max(abs(low), abs(high)), spread, columns=mean.ndim < 3 and raw.where is not None)
    if represent.dequantize and raw.levels is not None:  # x = (v + u)/L, where u has the mean 1/2 and the variance 1/12
        shrink, step = scale / raw.levels, 1 / raw.levels
        mean, variance = shrink * mean + step / 2, shrink**2 * variance + step**2 / 12
        low, high = shrink * low, shrink * high + step
    is_image = mean.ndim == 3
    support: Support = "real"  # vectors are points of space, whatever their range
    if represent.binarize != "none" or (binary and not represent.dequantize):
        support = "binary"
    elif is_image and low >= 0 and high <= 1:
        support = "unit"
    return DataSpec(
        name=raw.name,
        shape=tuple(mean.shape),
        support=support,
        levels=raw.levels if support == "unit" and not represent.dequantize else None,
        num_classes=raw.num_classes,
        low=low,
        high=high,
        mean=mean.float(),
        std=variance.sqrt().float(),
        class_names=raw.class_names,
        component_names=raw.component_names,
        units=raw.units,
    )


def refuse_impossible(where: str, largest: float, spread: float, *, columns: bool = False) -> None:
    """Raises GenlabError for data whose squares, added up, are beyond single precision (3e38), or vanish in it (1e-38).

    Of `columns` of numbers dataset.standardise is a remedy.
    """
    remedy = "set dataset.standardise=true, or " if columns else ""
    if largest > LARGEST:
        raise GenlabError(
            f"{where}: values reach {largest:.3g}, and sums of squares of values beyond {LARGEST:.0g} are infinite in "
            f"single precision; {remedy}leave out what lies far off, or store the data in a larger unit, divided by "
            f"{_power_of_ten(largest):.0e}"
        )
    if 0 < spread < SMALLEST:
        raise GenlabError(
            f"{where}: the values vary by {spread:.3g} only (standard deviation), and squares of numbers below "
            f"{SMALLEST:.0g} vanish in single precision; {remedy}store the data in a smaller unit, divided by "
            f"{_power_of_ten(spread):.0e}"
        )


def _power_of_ten(value: float) -> float:
    return 10.0 ** math.floor(math.log10(value))


def warnings_of(data: DataSpec) -> list[str]:
    """What is odd in columns of numbers, and harms a training without making it impossible: a line each."""
    if data.on_grid or data.support != "real":
        return []
    found, std = [], data.std.double()
    varying = std[std > 0]
    if len(varying) > 1 and float(varying.max() / varying.min()) > UNLIKE:
        smallest, largest = int(torch.where(std > 0, std, torch.inf).argmin()), int(std.argmax())
        found.append(
            f"the columns of dataset={data.name} have unlike units: standard deviations from {float(std[smallest]):.2g} "
            f"(column {smallest}) to {float(std[largest]):.2g} (column {largest}); whatever adds up squares, such as model=pca "
            "or mse, sees the largest alone: set dataset.standardise=true"
        )
    step = torch.finfo(torch.float32).eps * data.mean.double().abs()
    coarse = (std > 0) & (step > std / RESOLVED)
    if bool(coarse.any()):
        column = int((step / std).where(coarse, torch.zeros(())).argmax())
        found.append(
            f"column {column} of dataset={data.name} varies by {float(std[column]):.2g} around "
            f"{float(data.mean[column]):.2g}, where single precision has steps of {float(step[column]):.1g}; subtract a "
            "constant from it, or set dataset.standardise=true"
        )
    return found


def _chunks(examples: Examples) -> Iterator[Tensor]:
    """Examples, a few at a time. Moments do not need all of them, and pictures on disk are slow to read."""
    most = 65_536 if isinstance(examples.x, Tensor) else 8_192
    index = places(len(examples), most).sort().values
    size = max(1, 2**22 // examples.x[index[:1]].numel())
    for part in torch.split(index, size):
        yield examples.take(part)
