"""Reference distributions q(u) = exp(-B(u))/Z_0, known exactly. The energy of the model is E = B + f.

    NormalReference    N(0, 1) for each component, for real data: where f grows slower than u^2, Z is finite
    UniformReference   uniform in [-1, 1]^D, for pictures
    SpinReference      independent u_i = +-1 with the means of the data, for binary data

The path of energies B + beta f leads from q (beta = 0) to the model (beta = 1).
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec


class Reference(nn.Module, ABC):
    device_marker: Tensor
    """Has no other use than its device and type, which are those of the draws."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.dim = math.prod(shape)
        self.register_buffer("device_marker", torch.zeros(()), persistent=False)

    @abstractmethod
    def energy(self, u: Tensor) -> Tensor:
        """B(u) of u (n, *shape): (n,), in nats."""

    @property
    @abstractmethod
    def log_z(self) -> float:
        """log Z_0, the integral of exp(-B) or the sum."""

    @abstractmethod
    def draw(self, n: int) -> Tensor:
        """n exact draws, (n, *shape)."""


class NormalReference(Reference):
    def energy(self, u: Tensor) -> Tensor:
        return 0.5 * u.square().flatten(1).sum(1)

    @property
    def log_z(self) -> float:
        return 0.5 * self.dim * math.log(2 * math.pi)

    def draw(self, n: int) -> Tensor:
        return torch.randn(n, *self.shape, device=self.device_marker.device, dtype=self.device_marker.dtype)


class UniformReference(Reference):
    def energy(self, u: Tensor) -> Tensor:
        return u.new_zeros(len(u))

    @property
    def log_z(self) -> float:
        return self.dim * math.log(2)

    def draw(self, n: int) -> Tensor:
        return torch.rand(n, *self.shape, device=self.device_marker.device, dtype=self.device_marker.dtype) * 2 - 1


class SpinReference(Reference):
    """B(u) = -h.u, tanh h_i = E u_i."""

    field: Tensor

    def __init__(self, data: DataSpec) -> None:
        super().__init__(data.shape)
        self.register_buffer("field", 0.5 * torch.logit(data.mean.clamp(1e-3, 1 - 1e-3)))

    def energy(self, u: Tensor) -> Tensor:
        return -(u * self.field).flatten(1).sum(1)

    @property
    def log_z(self) -> float:
        h = self.field.cpu().double().abs()
        return float((h + torch.log1p(torch.exp(-2 * h))).sum())

    def draw(self, n: int) -> Tensor:
        p = torch.sigmoid(2 * self.field).expand(n, *self.shape)
        return 2 * torch.bernoulli(p) - 1


def reference_for(data: DataSpec, *, bounded: bool) -> Reference:
    """`bounded`: real states lie in [-1, 1]."""
    if data.support == "binary":
        return SpinReference(data)
    return UniformReference(data.shape) if bounded else NormalReference(data.shape)
