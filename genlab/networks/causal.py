"""Networks for p(u) = prod_i p(u_i | u_1, ..., u_{i-1}): their outputs for a component depend on earlier components alone.

`order` lists the components of a flattened example from the first to the last that is drawn. The outputs for a component are
the parameters of its conditional distribution.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from torch import Tensor, nn

Draw = Callable[[Tensor, int], Tensor]
"""Outputs for component i of n examples, (n, outputs), and i -> its values, (n,)."""


class CausalNetwork(nn.Module, ABC):
    """Examples u (n, D), one-hot classes y (n, K) or None -> the outputs for all components, (n, outputs, D), in one pass."""

    order: Tensor
    """The component at each position, int64, (D,)."""
    masks: int = 1
    """Number of sets of masks: each is another factorisation of p(u), with the same weights."""

    def orders(self) -> list[list[int]]:
        """The component at each position, for every set of masks."""
        return [self.order.tolist()]

    @abstractmethod
    def forward(self, u: Tensor, y: Tensor | None, which: Tensor | int = 0) -> Tensor:
        """The outputs, (n, outputs, D), with set `which` of the masks."""

    @abstractmethod
    def walk(self, n: int, draw: Draw, y: Tensor | None, which: int = 0) -> Iterator[Tensor]:
        """Draw n examples component by component; what is known of earlier ones is kept, so that all cost about one pass.

        Yields the examples (n, D) after each component, row or place, as the same tensor; components still to come are 0.
        """

    @property
    @abstractmethod
    def stops(self) -> int:
        """How often `walk` yields."""
