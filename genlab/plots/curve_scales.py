"""The vertical axes of figures of curves: one for all channels, or one for each where their values differ widely.

An axis holds m - 3 s to m + 3 s, where m and s are the mean and the standard deviation of its channel over the training split, as
far as the range of that split goes, and all values that are drawn, of data and of models. Values beyond the range of the training
split by more than its length are outliers: the frame cuts them, and the figure says so. Values are in the units of the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genlab.data.spec import DataSpec

MOST_CHANNELS = 8  # that are drawn: as many as there are colours
UNLIKE = 4.0  # spreads of the narrowest channel in the widest one and in the distance of the means, above which each has its own
SPREADS = 3.0
MARGIN = 0.06
FARTHEST = 100.0  # height, in panels, at which a cut curve goes on: more would be too much for the drawing


@dataclass(frozen=True)
class Scales:
    """Low and high end of the axis of each channel."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    channel_names: tuple[str, ...]
    data: DataSpec | None
    """For the units of the values; None for numbers that have none, such as weights."""
    note: str = ""
    """Says how many curves the frames cut; empty where they hold all."""

    @classmethod
    def of(cls, data: DataSpec, *drawn: Tensor) -> "Scales":
        """For a figure of the curves `drawn`, (n, C, L) each."""
        mean = data.in_units(data.mean[None])[0].double()
        std = data.std.double() if data.units is None else data.std.double() * data.units.scale
        middle = mean.mean(1)
        spread = (std.square().mean(1) + mean.var(1, unbiased=False)).sqrt().clamp_min(1e-12)
        least = data.in_units(torch.full((1, *data.shape), data.low))[0].double().amin(1)
        most = data.in_units(torch.full((1, *data.shape), data.high))[0].double().amax(1)
        low, high = torch.maximum(middle - SPREADS * spread, least), torch.minimum(middle + SPREADS * spread, most)
        wide = spread.max() + middle.max() - middle.min()  # what a common axis has to show beside the narrowest channel
        if drawn:
            values = data.in_units(torch.cat([x.detach().float().cpu() for x in drawn])).double()
            length = most - least
            inside = _within(values, least - length, most + length)
            low = torch.minimum(low, torch.where(inside, values, torch.inf).amin((0, 2)))
            high = torch.maximum(high, torch.where(inside, values, -torch.inf).amax((0, 2)))
        if float(wide / spread.min()) <= UNLIKE:
            low, high = low.min().expand_as(low), high.max().expand_as(high)
        size = (high - low).clamp_min(1e-12)
        low, high = low - MARGIN * size, high + MARGIN * size
        note = _beyond(values, _within(values, low, high)) if drawn else ""
        return cls(tuple(low.tolist()), tuple(high.tolist()), channel_names(data), data, note)

    @classmethod
    def symmetric(cls, weights: Tensor, data: DataSpec) -> "Scales":
        """One about 0 for all channels, that holds all weights (n, C, L)."""
        limit = (1 + MARGIN) * max(float(weights.abs().nan_to_num(0, 0, 0).max()), 1e-12)
        channels = data.shape[0]
        return cls((-limit,) * channels, (limit,) * channels, channel_names(data), None)

    @property
    def shown(self) -> int:
        """Channels that are drawn."""
        return min(MOST_CHANNELS, len(self.low))

    @property
    def common(self) -> bool:
        return len(set(zip(self.low, self.high, strict=True))) == 1

    @property
    def label(self) -> str:
        return "" if not self.common else "value" if self.data is not None else "weight"

    def in_units(self, x: Tensor) -> npt.NDArray[np.float64]:
        """Curves x (n, C, L) in the units of the user."""
        x = x.detach().float().cpu()
        return np.asarray((x if self.data is None else self.data.in_units(x)).double())

    def heights(self, x: Tensor) -> npt.NDArray[np.float64]:
        """Curves x (n, C, L) in parts of their axes: 0 is the low end, 1 the high one."""
        low, high = (np.array(ends)[:, None] for ends in (self.low, self.high))
        return np.asarray(((self.in_units(x) - low) / (high - low)).clip(-FARTHEST, FARTHEST))

    def height_of_zero(self) -> float | None:
        """Where 0 is in a panel; None where it lies outside, or elsewhere for each channel."""
        low, high = self.low[0], self.high[0]
        return -low / (high - low) if self.common and low < 0 < high else None

    def ends_as_text(self) -> Sequence[str]:
        return (f"{self.low[0]:.3g}", f"{self.high[0]:.3g}") if self.common else ("low", "high")

    def names(self) -> list[str]:
        """Of the channels that are drawn, with their axes where each has its own."""
        found = list(self.channel_names[: self.shown])
        if not self.common:
            ends = zip(found, self.low, self.high, strict=False)
            found = [f"{name} ({low:.3g} to {high:.3g})" for name, low, high in ends]
        if self.shown < len(self.low):
            found[-1] += f" (the first {self.shown} of {len(self.low)})"
        return found


def _within(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Which values of curves (n, C, L) are numbers from `low` (C,) to `high` (C,)."""
    return (values >= low[:, None]) & (values <= high[:, None])


def _beyond(values: Tensor, inside: Tensor) -> str:
    """What the frames cut of curves (n, C, L) whose values lie `inside` or not."""
    cut = ~inside & ~values.isnan()  # what is missing, such as the half that is filled in, is a gap
    if not cut.any():
        return ""
    curves = int(cut.flatten(1).any(1).sum())
    far = values[cut & values.isfinite()]
    reach = f" (from {float(far.min()):.3g} to {float(far.max()):.3g})" if len(far) else ""
    return f"{curves:,} of {len(values):,} curves go on beyond the frame{reach}"


def channel_names(data: DataSpec) -> tuple[str, ...]:
    """Of the channels of curves, or of the bands of pictures."""
    given = data.component_names
    if given is not None and len(given) == data.shape[0]:
        return given
    return tuple(f"{'channel' if data.is_curve else 'band'} {k + 1}" for k in range(data.shape[0]))
