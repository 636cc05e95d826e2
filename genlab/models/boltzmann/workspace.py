"""Memory that one update after another uses: new memory would be cleared page by page every time."""

import torch
from torch import Tensor


class Workspace:
    """Tensors by name, on the device and of the type of the tensor `like`."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.tensors: dict[str, Tensor] = {}

    def __call__(self, name: str, *shape: int) -> Tensor:
        """The tensor of that name, with whatever was written there last; new zeros where it had another shape."""
        found = self.tensors.get(name)
        if found is None or found.shape != shape or found.device != self.like.device or found.dtype != self.like.dtype:
            found = self.tensors[name] = torch.zeros(shape, device=self.like.device, dtype=self.like.dtype)
        return found
