"""The specification of a data set, measured on its training split."""

from collections.abc import Iterator

import torch
from torch import Tensor

from genlab.data.dataset import RawData
from genlab.data.examples import Examples
from genlab.data.representation import Representation
from genlab.data.spec import DataSpec, Support
from genlab.data.subsets import places
from genlab.errors import GenlabError


def specify(raw: RawData, train: Examples, represent: Representation) -> DataSpec:
    """Moments, range and support of the training split, in the representation that models see.

    Raises GenlabError for values that are not finite, and for values outside [0, 1] that are to be binarised.
    """
    scale = 1 if raw.levels is None else raw.levels - 1
    first = second = torch.zeros(()).double()
    low, high, n, binary = float("inf"), float("-inf"), 0, True
    for stored in _chunks(train):
        # In float32 the squares of points far from the origin would cancel their variance away; grey values are near it.
        x = stored.double() if raw.levels is None else stored.float().div_(scale)
        if not bool(x.isfinite().all()):
            raise GenlabError(f"dataset={raw.name}: the data hold values that are not finite; remove or replace them")
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
    )


def _chunks(examples: Examples) -> Iterator[Tensor]:
    """Examples, a few at a time. Moments do not need all of them, and pictures on disk are slow to read."""
    most = 65_536 if isinstance(examples.x, Tensor) else 8_192
    index = places(len(examples), most).sort().values
    size = max(1, 2**22 // examples.x[index[:1]].numel())
    for part in torch.split(index, size):
        yield examples.take(part)
