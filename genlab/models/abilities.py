"""Abilities of a family beyond training and sampling, as protocols: commands ask for these, never for a family.

A model has an ability by having its methods. genlab/evaluation, genlab/inference and genlab/commands then show or measure it.
"""

from collections.abc import Callable, Iterator
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from genlab.models.base import Metrics
from genlab.networks.trunk import Trunk


@runtime_checkable
class Reconstructs(Protocol):
    def reconstruct(self, x: Tensor) -> Tensor:
        """The reconstruction of x, of the same shape and support."""
        ...


@runtime_checkable
class Encodes(Protocol):
    def encode(self, x: Tensor) -> Tensor:
        """Code h of x, shape (n, latent_dim)."""
        ...


@runtime_checkable
class HasRate(Protocol):
    """Codes are discrete, so that each has a length in bits."""

    def rate_bits(self, x: Tensor) -> Tensor:
        """Length of the code of each example in bits, under the model's prior, shape (n,)."""
        ...

    def code_bits(self) -> float:
        """Length in bits of a code whose symbols are stored without compression."""
        ...


@runtime_checkable
class Pretrains(Protocol):
    def trunk(self) -> Trunk:
        """Layers from examples to features that a classifier may start from.

        A family with an `encoder`, and a `scaling` of the data before it, needs no such method: its last hidden layer is used.
        """
        ...


@runtime_checkable
class Decodes(Protocol):
    latent_dim: int

    def decode(self, h: Tensor) -> Tensor:
        """Example for each code h (n, latent_dim), shape (n, *data.shape)."""
        ...


@runtime_checkable
class Conditional(Protocol):
    """A family that can be a model of p(x|y). Its sample_loop then has an argument `labels`."""

    num_classes: int
    """Number of classes; 0 for an unconditional model."""

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        """Classes y (n,) as the network takes them, (n, num_classes); None for an unconditional model."""
        ...


@runtime_checkable
class DecodesByClass(Conditional, Protocol):
    def decode(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """Example for each code h (n, latent_dim) and its class, one-hot y (n, num_classes); shape (n, *data.shape)."""
        ...


@runtime_checkable
class DrawsCodes(Decodes, Protocol):
    """There is a density p(h) of codes, and a path from one code to another that stays where p(h) has its mass."""

    def draw_codes(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        ...

    def interpolate(self, start: Tensor, end: Tensor, weight: float) -> Tensor:
        """The code at `weight` in [0, 1] on the path from `start` to `end`, (n, latent_dim)."""
        ...


@runtime_checkable
class Discriminates(Protocol):
    """It distinguishes data from samples."""

    def discriminate(self, x: Tensor) -> Tensor:
        """D(x) in [0, 1] of examples x (n, *shape): (n,)."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """The likelihood is known exactly."""

    discrete: bool
    """Whether p(x) is a probability of discrete data; else it is a density."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, shape (n,)."""
        ...


@runtime_checkable
class Dequantises(HasLogProb, Protocol):
    """A density of real numbers. Grey levels become such by noise within their cells: then log p(x) is no longer exact."""

    dequantises: bool
    """Whether these data have grey levels: log_prob is an unbiased estimate of a lower bound, with one draw of the noise."""


@runtime_checkable
class HasLogWeights(Protocol):
    """A latent-variable model with an approximate posterior q(h|x), from which bounds on log p(x) follow."""

    discrete: bool
    """Whether p(x|h) is a probability of discrete data; else it is a density."""

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, h) - log q(h|x) in nats for k draws h ~ q(h|x), shape (k, n)."""
        ...


@runtime_checkable
class HasLogBound(Protocol):
    """The family has a lower bound on log p(x) of its own."""

    discrete: bool
    """Whether the bound is one on a probability of discrete data; else it is one on a density."""

    def log_bound(self, x: Tensor) -> Tensor:
        """An unbiased estimate of a lower bound on log p(x) in nats, shape (n,)."""
        ...


@runtime_checkable
class HasProbabilityFlow(Protocol):
    """An ordinary differential equation transports a known density to that of the data (a continuous normalising flow)."""

    discrete: bool
    """Whether p(x) is a probability of discrete data; else it is a density."""

    def flow_log_prob(self, x: Tensor) -> Tensor | None:
        """log p(x) in nats by integrating the equation, (n,), as exact as the integration; None where x has no density."""
        ...


@runtime_checkable
class HasSamplers(Protocol):
    """There are several samplers, each of which takes a number of steps."""

    samplers: ClassVar[tuple[str, ...]]
    """Values of the argument `sampler` of its sample_loop, which also has an argument `steps`."""


@runtime_checkable
class HasFreeEnergy(Protocol):
    """The likelihood is known up to a constant: p(x) = exp(-F(x))/Z."""

    discrete: bool
    """Whether p(x) is a probability of discrete data; else it is a density."""

    def free_energy(self, x: Tensor) -> Tensor:
        """F(x) in nats, shape (n,)."""
        ...


@runtime_checkable
class HasTemperature(HasFreeEnergy, Protocol):
    temperature: float
    """T: samples are drawn from exp(-F(x)/T). For T other than 1 they are not samples of p(x)."""


@runtime_checkable
class HasScore(Protocol):
    """The gradient of log p(x) is known."""

    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx in the data's units, (n, *shape). A model of many noise levels gives it at the lowest of them."""
        ...


@runtime_checkable
class Anneals(HasFreeEnergy, Protocol):
    """There is a path of distributions p_beta from a known one, at beta = 0, to the model, at beta = 1."""

    @property
    def log_z_base(self) -> float:
        """log Z at beta = 0."""
        ...

    def base_draws(self, n: int) -> Tensor:
        """Exact draws at beta = 0, (n, ...), as states of the model's chains."""
        ...

    def settle(self, x: Tensor, sweeps: int) -> Tensor:
        """States of chains at beta = 1 after `sweeps` transitions from examples x."""
        ...

    def anneal(self, v: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
        """log p*_following(v) - log p*_beta(v), (n,) in float64, and v after a transition that leaves p_following as it is.

        May overwrite v.
        """
        ...


@runtime_checkable
class Enumerates(HasFreeEnergy, Protocol):
    """Z is a sum over the configurations of binary units."""

    def log_marginals(self) -> list[tuple[int, Callable[[Tensor], Tensor]]]:
        """Ways to enumerate: a number of units, and the unnormalised log-marginal of their configurations (n, units), (n,).

        The log-marginal is the log of the sum over all other units, which is known in closed form.
        """
        ...


@runtime_checkable
class HasMarkovChain(HasFreeEnergy, Protocol):
    """Samples are states of a Markov chain that can start anywhere."""

    def walk(self, x: Tensor | int, steps: int, mean: bool = False) -> Iterator[Tensor]:
        """States (n, *shape) after each of `steps` transitions of chains from examples x, or of x chains from noise."""
        ...


@runtime_checkable
class Inpaints(Protocol):
    def inpaint_loop(self, x: Tensor, known: Tensor) -> Iterator[Tensor]:
        """States (n, *shape) of chains that keep x fixed where `known`, of shape `shape`, is true; the last one is the result."""
        ...


@runtime_checkable
class HasFilters(Protocol):
    def filters(self) -> Tensor:
        """The weights of each hidden unit as an example, (hidden, *shape)."""
        ...


@runtime_checkable
class HasSpectrum(Protocol):
    """The latent axes are principal components, in the order of the variance along them."""

    latent_dim: int

    def spectrum(self) -> tuple[Tensor, float]:
        """Variance of the training data along each latent axis, (latent_dim,), and the total variance."""
        ...

    def reconstruct_with(self, x: Tensor, components: int) -> Tensor:
        """Reconstruction of x from the first `components` components, of the same shape and support."""
        ...


@runtime_checkable
class SamplesExPost(Protocol):
    """It is no model of p(x): samples are decoded from a density that is fitted to the codes after training."""

    @property
    def ex_post(self) -> str:
        """The fitted density in words."""
        ...


@runtime_checkable
class HasRemarks(Protocol):
    def remarks(self) -> list[str]:
        """Warnings about the model's figures, a line each; empty where there is nothing to remark."""
        ...


@runtime_checkable
class HasLevels(Protocol):
    """A hierarchy of latent levels, of which level 1 is next to the data."""

    levels: list[int]

    def hierarchy(self, n: int, kept: int, *, below: bool) -> Tensor:
        """n samples that share the noise of levels 1..kept (`below`), or of the levels above; the other noise is independent."""
        ...


@runtime_checkable
class HasFantasies(Protocol):
    def fantasies(self) -> Tensor | None:
        """Persistent chains of the training as examples (n, *shape); None where there are none."""
        ...


@runtime_checkable
class HasNegativeStates(Protocol):
    def negative_states(self, x: Tensor) -> Tensor | None:
        """Where the chains of an update end that start at examples x, (n, *shape); None where they start elsewhere."""
        ...


@runtime_checkable
class EstimatesBound(Protocol):
    """The same bound on log p(x) can be estimated in several ways, which differ in their variance."""

    def bound_estimates(self, x: Tensor) -> dict[str, Tensor]:
        """One unbiased estimate for each example by each way, in nats: name -> (n,). Empty where there is one way only."""
        ...


@runtime_checkable
class HasActivations(Protocol):
    def activations(self, x: Tensor) -> Tensor:
        """Probabilities p(h = 1|x) of binary hidden units, (n, hidden)."""
        ...


@runtime_checkable
class Monitors(Protocol):
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Scalars of the current state, from a few examples of each split: too costly for every update, but not for the log."""
        ...


@runtime_checkable
class Classifies(Protocol):
    classifies: bool
    """Whether this model classifies: some families do so only where they are conditional."""

    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x) in nats, shape (n, num_classes)."""
        ...


def able(ability: type) -> Callable[[object], bool]:
    """Whether a model has an ability."""
    return lambda model: isinstance(model, ability)


def classifies(model: object) -> bool:
    """Whether `model` gives p(y|x)."""
    return isinstance(model, Classifies) and model.classifies
