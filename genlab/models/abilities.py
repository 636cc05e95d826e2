"""What a family may be able to do beyond training and sampling, as protocols: commands ask for these, never for a family.

A model has an ability by having its methods; genlab/evaluation, genlab/gallery.py and genlab/commands show or measure it then.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from genlab.models.base import Metrics
from genlab.networks.trunk import Trunk


@runtime_checkable
class Reconstructs(Protocol):
    def reconstruct(self, x: Tensor) -> Tensor:
        """What the model makes of x, same shape and support."""
        ...


@runtime_checkable
class Encodes(Protocol):
    def encode(self, x: Tensor) -> Tensor:
        """Code h of x, shape (n, latent_dim)."""
        ...


@runtime_checkable
class HasRate(Protocol):
    """Its codes are discrete, so that each has a length in bits."""

    def rate_bits(self, x: Tensor) -> Tensor:
        """Bits that the code of each of x takes, shape (n,)."""
        ...

    def code_bits(self) -> float:
        """Bits of a code whose symbols are stored as they are."""
        ...


@runtime_checkable
class Pretrains(Protocol):
    def trunk(self) -> Trunk:
        """Layers from examples to features that a classifier may start from.

        A family with an `encoder` that sees (x - shift) / scale needs no such method: its last hidden layer is taken.
        """
        ...


@runtime_checkable
class Decodes(Protocol):
    latent_dim: int

    def decode(self, h: Tensor) -> Tensor:
        """Example that belongs to the code h, shape (n, *data.shape)."""
        ...


@runtime_checkable
class Conditional(Protocol):
    """A model of p(x|y), where it is conditional: its sample_loop has an argument `labels`."""

    num_classes: int
    """Number of classes; 0 for an unconditional model."""

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        """Classes y (n,) as the network takes them, (n, num_classes); None for an unconditional model."""
        ...


@runtime_checkable
class DecodesByClass(Conditional, Protocol):
    def decode(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """Example of the one-hot classes y (n, num_classes) that belongs to the code h, shape (n, *data.shape)."""
        ...


@runtime_checkable
class DrawsCodes(Decodes, Protocol):
    """There is a density of codes to draw from, and a way from one code to another that stays where it has mass."""

    def draw_codes(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        ...

    def between(self, start: Tensor, end: Tensor, weight: float) -> Tensor:
        """The code that lies `weight` in [0, 1] of the way from `start` to `end`, (n, latent_dim)."""
        ...


@runtime_checkable
class Discriminates(Protocol):
    """It tells data from samples."""

    def discriminate(self, x: Tensor) -> Tensor:
        """D(x) in [0, 1] of examples (n, *shape): (n,)."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """The likelihood is known exactly."""

    discrete: bool
    """Whether it is the probability of discrete data, or else a density."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, shape (n,)."""
        ...


@runtime_checkable
class HasLogWeights(Protocol):
    """A latent-variable model with an approximate posterior q(h|x), from which bounds on log p(x) follow."""

    discrete: bool
    """Whether p(x|h) is the probability of discrete data, or else a density."""

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, h) - log q(h|x) in nats for k draws h ~ q(h|x), shape (k, n)."""
        ...


@runtime_checkable
class HasLogBound(Protocol):
    """A lower bound on log p(x) of the family's own."""

    discrete: bool
    """Whether it bounds the probability of discrete data, or else a density."""

    def log_bound(self, x: Tensor) -> Tensor:
        """An unbiased estimate of a lower bound on log p(x) in nats, shape (n,)."""
        ...


@runtime_checkable
class HasFlow(Protocol):
    """An ordinary differential equation carries a density that is known to that of the data."""

    discrete: bool

    def flow_log_prob(self, x: Tensor) -> Tensor | None:
        """log p(x) in nats by integrating it, (n,), as exact as the integration; None where x has no density."""
        ...


@runtime_checkable
class HasSamplers(Protocol):
    """There are several ways of drawing samples, of which each can be done in few steps or in many."""

    samplers: ClassVar[tuple[str, ...]]
    """Values of the argument `sampler` of its sample_loop, which has an argument `steps`."""


@runtime_checkable
class HasFreeEnergy(Protocol):
    """The likelihood is known up to a constant: p(x) = exp(-F(x))/Z."""

    discrete: bool
    """Whether it is the probability of discrete data, or else a density."""

    def free_energy(self, x: Tensor) -> Tensor:
        """F(x) in nats, shape (n,)."""
        ...


@runtime_checkable
class HasTemperature(HasFreeEnergy, Protocol):
    temperature: float
    """Its samples are drawn from exp(-F(x)/T); at T other than 1 a likelihood of p(x) would not be theirs."""


@runtime_checkable
class HasScore(Protocol):
    """It knows the slope of log p(x), whatever else it knows of p(x)."""

    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx in the data's units, (n, *shape); of a model of many noise levels, at the least of them."""
        ...


@runtime_checkable
class Anneals(HasFreeEnergy, Protocol):
    """There is a path of distributions p_beta from one that is known, at beta = 0, to the model at beta = 1."""

    @property
    def log_z_base(self) -> float:
        """log Z at beta = 0."""
        ...

    def base_draws(self, n: int) -> Tensor:
        """Exact draws at beta = 0, states of the model's own of shape (n, ...)."""
        ...

    def settle(self, x: Tensor, sweeps: int) -> Tensor:
        """States of chains at beta = 1 after so many transitions from examples x."""
        ...

    def anneal(self, v: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
        """log p*_following(v) - log p*_beta(v), (n,) in float64, and v after a transition that leaves p_following as it is.

        May overwrite v.
        """
        ...


@runtime_checkable
class Enumerates(HasFreeEnergy, Protocol):
    """Z is a sum over the configurations of binary units."""

    def sides(self) -> list[tuple[int, Callable[[Tensor], Tensor]]]:
        """Numbers of units, each with the function of configurations (n, units) that gives the log of the rest of the sum."""
        ...


@runtime_checkable
class Walks(HasFreeEnergy, Protocol):
    """Its samples are states of a Markov chain that can start anywhere."""

    def walk(self, x: Tensor | int, steps: int, mean: bool = False) -> Iterator[Tensor]:
        """States (n, *shape) after each of so many transitions from examples x, or of so many chains from noise."""
        ...


@runtime_checkable
class Inpaints(Protocol):
    def inpaint_loop(self, x: Tensor, known: Tensor) -> Iterator[Tensor]:
        """States (n, *shape) of chains that leave x where `known`, of shape `shape`, is true; the last one is the answer."""
        ...


@runtime_checkable
class HasFilters(Protocol):
    def filters(self) -> Tensor:
        """What each hidden unit looks for in the data, (hidden, *shape)."""
        ...


@runtime_checkable
class HasSpectrum(Protocol):
    """Its latent axes are principal components, in the order of the variance along them."""

    latent_dim: int

    def spectrum(self) -> tuple[Tensor, float]:
        """Variance of the training data along each latent axis, (latent_dim,), and summed over all of space."""
        ...

    def reconstruct_with(self, x: Tensor, components: int) -> Tensor:
        """What the first so many components keep of x, same shape and support."""
        ...


@runtime_checkable
class SamplesExPost(Protocol):
    """It is no model of p(x): samples are decoded from a density that was fitted to the codes afterwards."""

    @property
    def ex_post(self) -> str:
        """That density, in words."""
        ...


@runtime_checkable
class Remarks(Protocol):
    def remarks(self) -> list[str]:
        """What one must know to read its figures, a line each; empty where all is as it should be."""
        ...


@runtime_checkable
class HasLevels(Protocol):
    """A chain of latent levels, of which level 1 is next to the data."""

    levels: list[int]

    def hierarchy(self, n: int, kept: int, *, below: bool) -> Tensor:
        """n samples that share the noise of levels 1..kept (`below`), or of those above, while the others are drawn anew."""
        ...


@runtime_checkable
class HasFantasies(Protocol):
    def fantasies(self) -> Tensor | None:
        """Chains that the training keeps, as examples (n, *shape); None where it keeps none."""
        ...


@runtime_checkable
class HasActivations(Protocol):
    def activations(self, x: Tensor) -> Tensor:
        """Probabilities of binary hidden units given x, (n, hidden)."""
        ...


@runtime_checkable
class Monitors(Protocol):
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Scalars of the present state, from a few examples of each split: too dear for every update, but not for the log."""
        ...


@runtime_checkable
class Classifies(Protocol):
    classifies: bool
    """Whether this model does so: some families classify only where they are conditional."""

    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x) in nats, shape (n, classes)."""
        ...


def able(ability: type) -> Callable[[object], bool]:
    """Whether a model has an ability."""
    return lambda model: isinstance(model, ability)


def classifies(model: object) -> bool:
    """Whether `model` gives p(y|x)."""
    return isinstance(model, Classifies) and model.classifies
