"""Columns in units of their own: each with mean 0 and standard deviation 1 over the training split.

Single precision, in which models compute, has 7 digits and squares of up to 1e38, and whatever adds up squares sees the column
with the largest values alone. Columns of numbers are therefore standardised where their units are unlike (`auto`), always
(`true`) or never (`false`); tables always, unless all columns hold only 0 and 1. Of curves (N, C, L) each channel has one scale,
so that their shape stays. Columns that never vary have the scale 1.

What is saved of samples is in the units of the file again: `DataSpec.units` has shift and scale.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genlab.data.dataset import RawData
from genlab.data.examples import Examples, Store
from genlab.data.measure_spec import refuse_impossible
from genlab.data.units import Units
from genlab.errors import GenlabError

UNLIKE = 10.0
"""Ratio of standard deviations, above which columns are standardised."""
RESOLVED = 10
"""Steps of single precision in a standard deviation, at least."""

Columns = Literal["column", "channel"]


@dataclass(frozen=True)
class Standardised:
    units: Units
    remark: str

    def of(self, examples: Examples) -> Examples:
        """The same examples, standardised, in single precision."""
        x = examples.x
        assert isinstance(x, Tensor)
        return Examples(self.units.inner(x).float(), examples.y)


def standardised(raw: RawData, train: Examples) -> Standardised | None:
    """Shift and scale of the columns of the training split, and what to say of them; None where they stay as they are.

    Raises GenlabError where they are to be standardised and are no columns of numbers.
    """
    if raw.standardise is False:
        return None
    x = train.x
    if not isinstance(x, Tensor) or x.ndim > 3 or not x.is_floating_point():
        if raw.standardise is True:
            what = "pictures; set dataset.range" if len(train.shape) == 3 else "binary; set dataset.standardise=false"
            raise GenlabError(
                f"dataset.standardise=true: is for columns of numbers, and the data of {raw.name} are {what}"
            )
        return None
    if raw.standardise != "auto" and raw.standardise is not True and bool(((x == 0) | (x == 1)).all()):
        return None
    mean, std = moments(x)
    reason = "" if raw.standardise != "auto" else _reason(raw, mean, std)
    if reason is None:  # before single precision rounds them to 0 or infinity
        where = raw.where or f"dataset={raw.name}"
        refuse_impossible(where, float(x.abs().max()), float(std.max()), columns=True)
        return None
    kind = "column" if x.ndim == 2 else "channel"
    units = Units(mean.expand(x.shape[1:]).clone(), torch.where(std > 0, std, 1.0).expand(x.shape[1:]).clone())
    return Standardised(
        units,
        f"each {kind} of {raw.name} is standardised{reason}: mean 0 and standard deviation 1 in training, the units of the data "
        "in what is saved; dataset.standardise=false takes the values as they are",
    )


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of vectors (N, D) by column, (D,), and of curves (N, C, L) by channel, (C, 1); float64."""
    over = (0,) if x.ndim == 2 else (0, 2)
    largest = x.double().abs().amax(over, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    y = x.double() / largest  # whose squares are finite
    mean = y.mean(over, keepdim=True)
    std = (y - mean).square().mean(over, keepdim=True).sqrt()
    std = torch.where(std > 1e-12 * mean.abs(), std, 0.0)  # a constant, but for rounding
    return (mean * largest).squeeze(0), (std * largest).squeeze(0)


def _reason(raw: RawData, mean: Tensor, std: Tensor) -> str | None:
    """Why the columns need units of their own; None where they do not."""
    flat, centre = std.flatten(), mean.flatten()
    varying = flat[flat > 0]
    if len(varying) > 1 and float(varying.max() / varying.min()) > UNLIKE:
        small, large = int(torch.where(flat > 0, flat, torch.inf).argmin()), int(flat.argmax())
        return (
            f", since the standard deviations reach from {float(flat[small]):.2g} ({_called(raw, small)}) to "
            f"{float(flat[large]):.2g} ({_called(raw, large)})"
        )
    step = torch.finfo(torch.float32).eps * centre.abs()
    coarse = (flat > 0) & (step > flat / RESOLVED)
    if bool(coarse.any()):
        k = int((step / flat).where(coarse, torch.zeros(())).argmax())
        return f", since {_called(raw, k)} varies by {float(flat[k]):.2g} around {float(centre[k]):.7g}"
    return None


def _called(raw: RawData, k: int) -> str:
    return f"column {k}" if raw.component_names is None else f"column {raw.component_names[k]}"


def single_precision(examples: Examples) -> Examples:
    """The same examples as models see them: float32 where they are float64."""
    x: Store = examples.x
    return Examples(x.float(), examples.y) if isinstance(x, Tensor) and x.dtype == torch.float64 else examples
