"""Memory that one update after another uses: new memory would be cleared page by page every time."""

import torch
from torch import Tensor

from genlab.models.boltzmann.gradients import Phases


class Workspace:
    """Tensors by name."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.of_phases: Phases | None = None

    def __call__(self, like: Tensor, name: str, *shape: int) -> Tensor:
        """The tensor of that name, with whatever was written there last, on the device and of the type of `like`.

        It is new, and zero, where it had another shape or device.
        """
        found = self.tensors.get(name)
        if found is None or found.shape != shape or found.device != like.device or found.dtype != like.dtype:
            found = self.tensors[name] = torch.zeros(shape, device=like.device, dtype=like.dtype)
        return found

    def phases(self, n: int, m: int, W: Tensor) -> Phases:
        """For the units of n examples and of m states of the model."""
        last = self.of_phases
        if last is None or (last.n, last.m, last.u.dtype, last.u.device) != (n, m, W.dtype, W.device):
            last = self.of_phases = Phases(n, m, W)
        return last
