"""What Gibbs chains need of a restricted Boltzmann machine: its two layers, and how each is drawn given the other."""

from typing import Protocol

import torch
from torch import Tensor

from genlab.data.spec import DataSpec


class Layers(Protocol):
    """n rows are n chains. Visible units v are (n, visible), hidden units h are (n, hidden)."""

    data: DataSpec
    hidden: int
    num_classes: int
    """Visible units that stand for the classes, after the components of x; 0 without classes."""
    mean_field: bool
    """Whether the negative phase takes E[v|h] in the place of draws of v."""

    @property
    def sees_units(self) -> bool:
        """Whether u(v) = v."""
        ...

    @property
    def W(self) -> Tensor:  # noqa: N802
        """Weights, (visible, hidden)."""
        ...

    @property
    def a(self) -> Tensor:
        """Visible biases, (visible,)."""
        ...

    @property
    def device(self) -> torch.device: ...

    def visible(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Visible units of examples x (n, *shape) and classes y (n,)."""
        ...

    def restore(self, v: Tensor) -> Tensor:
        """Examples (n, *shape) from visible units."""
        ...

    def inputs(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        """u(v), which the weights see; (n, visible)."""
        ...

    def hidden_input(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """z = b + u W, (n, hidden)."""
        ...

    def visible_input(self, h: Tensor, out: Tensor | None = None) -> Tensor:
        """y = a + W h, (n, visible)."""
        ...

    def draw_visible(self, y: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """v ~ p_beta(v|h), written over y."""
        ...

    def mean_visible(self, y: Tensor) -> Tensor:
        """E[v|h]."""
        ...

    def visible_energy(self, v: Tensor) -> Tensor:
        """V(v), (n,), in nats."""
        ...

    def base_energy(self, v: Tensor) -> Tensor:
        """V_0(v) of the base distribution at beta = 0, (n,), in nats."""
        ...

    def base_draws(self, n: int) -> Tensor:
        """Exact draws of the base distribution, (n, visible)."""
        ...

    def workspace(self, name: str, *shape: int) -> Tensor:
        """Memory of that shape, which the next call with that name uses again."""
        ...
