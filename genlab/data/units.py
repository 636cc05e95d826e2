"""The units of the user: v = shift + scale x, where x is what models see.

Columns that are standardised have the shift and the scale of each, and pictures of counts those of their range.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Units:
    """Shift and scale, float64, scalars or of the shape of an example; the scale is positive."""

    shift: Tensor
    scale: Tensor

    @classmethod
    def of_range(cls, low: float, high: float) -> "Units":
        """Those in which `low` is seen as 0, and `high` as 1."""
        return cls(torch.tensor(low, dtype=torch.float64), torch.tensor(high - low, dtype=torch.float64))

    def outer(self, x: Tensor) -> Tensor:
        """Examples x in the units of the user, float64, since single precision would round what is large or far from 0."""
        return self.shift.to(_where(x)) + self.scale.to(_where(x)) * x.to(_where(x), torch.float64)

    def inner(self, v: Tensor) -> Tensor:
        """Examples v in the units of the user as models see them, float64."""
        return (v.to(_where(v), torch.float64) - self.shift.to(_where(v))) / self.scale.to(_where(v))

    def same_as(self, other: "Units | None") -> bool:
        """Whether both are equal, but for rounding."""
        if other is None or self.shift.shape != other.shift.shape:
            return False
        near = (self.shift - other.shift).abs() <= 1e-6 * self.scale
        return bool((near & ((self.scale / other.scale - 1).abs() <= 1e-6)).all())

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], shape: tuple[int, ...]) -> "Units":
        """From the plain containers of a checkpoint. Raises ValueError where they are no units of examples of this shape."""
        found = [state["shift"], state["scale"]]
        if not all(isinstance(part, Tensor) and tuple(part.shape) in ((), shape) for part in found):
            raise ValueError(f"units of examples of shape {shape} are of no data")
        shift, scale = (part.double() for part in found)
        if not bool(shift.isfinite().all() and scale.isfinite().all() and (scale > 0).all()):
            raise ValueError("units that are not finite and positive are of no data")
        return cls(shift, scale)


def _where(x: Tensor) -> torch.device:
    """Apple's mps device has no float64."""
    return torch.device("cpu") if x.device.type == "mps" else x.device
