"""What a data set may know of the distribution that its examples were drawn from.

A source that knows hands it on as `Raw.truth`. Figures and `genlab evaluate` ask it for what they need, one small protocol for
each thing that can be known, as they ask a model for its capabilities. Answers are float64 and on the CPU.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class KnowsLogProb(Protocol):
    """The examples are draws of a known p(x)."""

    discrete: bool
    """Whether p is the probability of discrete data, or else a density."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats of examples (n, *shape), on any device: (n,)."""
        ...


@runtime_checkable
class KnowsEntropy(Protocol):
    """The floor of every model's negative log-likelihood is known."""

    def entropy(self) -> float:
        """-E log p(x) in nats."""
        ...


@runtime_checkable
class KnowsPlane(KnowsLogProb, Protocol):
    """A density of two components that can be drawn."""

    def box(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Intervals of both components, beyond which there is no more than 1e-9 of the probability."""
        ...
