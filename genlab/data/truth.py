"""What a data set may know of the distribution that its examples were drawn from.

A source that knows hands it on as `RawData.truth`. Figures and `genlab evaluate` ask it for what they need, through one small
protocol for each quantity, as they ask a model for its abilities. Answers are float64 and on the CPU.
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

    def entropy(self) -> float | None:
        """-E log p(x) in nats; None where it is not known of these examples."""
        ...


@runtime_checkable
class KnowsPlane(KnowsLogProb, Protocol):
    """A density of two components that can be drawn."""

    def box(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Intervals of both components, beyond which there is no more than 1e-9 of the probability."""
        ...


@runtime_checkable
class KnowsStates(KnowsLogProb, Protocol):
    """Where there are few configurations, all of them can be listed."""

    def states(self) -> Tensor | None:
        """Every x with p(x) > 0, float32, (n, *shape); None where these are too many."""
        ...


@runtime_checkable
class HasObservables(Protocol):
    """The examples are configurations of a lattice (1, H, W), whose observables are measured as in a simulation."""

    observables: tuple[str, ...]
    """Names in lattice/observables.py."""
    temperatures: tuple[float | None, ...]
    """Of each class, or the one of all examples; None where it is not known."""
    spins: bool
    """Whether 0 and 1 stand for the spins -1 and +1."""

    def exact(self, name: str, temperature: float | None) -> float | None:
        """The exact value of a quantity of lattice/statistics.py; None where it is not known."""
        ...
