"""The contract between a model and everything that runs it: a training loop and a sampling loop, both as generators."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Protocol, final, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genlab.config import family_of
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec, Support
from genlab.errors import GenlabError
from genlab.networks.pretrained import Trunk
from genlab.optimizers import Recipe

Metrics = dict[str, Tensor]
Charts = dict[str, list[str]]
"""Title of a chart -> names of the scalars that belong into one picture."""


class Model(nn.Module, ABC):
    """What the runner needs. A family writes its literal training loop and yields after each complete update.

    Rules: yield detached tensors, and only between complete updates; keep everything that lasts in parameters, buffers or
    optimizers (locals of the loop are disposable); make noise on the model's device from torch's default generators.
    """

    supports: ClassVar[frozenset[Support]]
    """Data supports that the family can model."""
    deterministic_loss: ClassVar[bool] = False
    """Whether the loss of a batch is a function of the parameters alone, as a line search (L-BFGS) needs."""
    needs_labels: ClassVar[bool] = False
    """Whether every training example must come with its class."""
    closed_form: ClassVar[bool] = False
    """Whether the fit is a sum over examples and no descent: then each counts once, and the last batch is cut to what remains."""
    uses_unlabelled: ClassVar[bool] = False
    """Whether a family that is told classes also trains on examples without, y = -1 (dataset.labelled)."""

    charts: ClassVar[Charts] = {}
    """What people of the field look at side by side; the log lays it out so."""
    labelled_beside: ClassVar[bool] = False
    """Whether every batch should come with another one of labelled examples."""

    data: DataSpec
    optimizers: dict[str, Optimizer]

    def __init__(self, data: DataSpec, optimizer: Recipe | None) -> None:
        """Refuses, before any training, data that the family cannot model and optimizers that it cannot take."""
        super().__init__()
        family = family_of(type(self).__name__)
        if data.support not in self.supports:
            raise GenlabError(
                f"model={family} cannot model {data.support} data (dataset={data.name}), only "
                f"{' or '.join(sorted(self.supports))}; {REMEDY[data.support]}"
            )
        if self.needs_labels and data.classes is None:
            raise GenlabError(
                f"model={family} needs labels, and dataset={data.name} has none; "
                "add labels (dataset.labels=FILE, or sub-folders of pictures), or use a family without, such as model=vae"
            )
        if optimizer is not None and optimizer.needs_closure and not self.deterministic_loss:
            raise GenlabError(
                f"optimizer=lbfgs needs a loss without noise, and the loss of model={family} is a Monte Carlo estimate; "
                "set optimizer=adam, or use lbfgs with model=ae"
            )
        self.data = data
        self.optimizers = {}
        self.gradient_norms: Metrics = {}

    @abstractmethod
    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        """Train on the stream of batches; yield the scalars to be logged after each complete update."""

    @abstractmethod
    def evaluate(self, batch: Batch) -> Metrics:
        """What only the family knows of held-out data: one value per example, each of shape (n,)."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @final
    def descend(self, optimizer: Optimizer, loss: Tensor | Callable[[], Tensor]) -> Tensor:
        """One step down `loss`, given as a tensor or, where the optimizer may evaluate it again, as a function."""

        def backward() -> Tensor:
            optimizer.zero_grad(set_to_none=True)
            value = loss() if callable(loss) else loss
            value.backward()
            return value

        if isinstance(optimizer, torch.optim.LBFGS):
            return self.update(optimizer, backward)
        value = backward()
        self.update(optimizer)
        return value.detach()

    @final
    def update(self, optimizer: Optimizer, closure: Callable[[], Tensor] | None = None) -> Tensor:
        """Step with the gradients in `.grad`. Every optimizer step goes through here: the seam for data parallelism."""
        clip = optimizer.param_groups[0]["clip"]
        if clip is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            self.gradient_norms[self._name_of(optimizer)] = nn.utils.clip_grad_norm_(parameters, clip)
        if closure is None:
            optimizer.step()
            return torch.empty(0)
        return torch.as_tensor(optimizer.step(closure)).detach()  # type: ignore[arg-type]  # torch's annotation is too narrow

    @final
    def gradient_norm(self, name: str) -> Tensor:
        """Norm of the gradient of the last update of optimizer `name`, before clipping."""
        if name in self.gradient_norms:
            return self.gradient_norms[name]
        groups = self.optimizers[name].param_groups
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        return nn.utils.get_total_norm(gradients)

    def _name_of(self, optimizer: Optimizer) -> str:
        return next(name for name, known in self.optimizers.items() if known is optimizer)


class GenerativeModel(Model):
    """A model of p(x) that can be sampled."""

    @abstractmethod
    def sample_loop(self, n: int) -> Iterator[Tensor]:
        """Yield each state of the sampling chain, shape (n, *data.shape), in the data's support; the last is the sample.

        Families add keyword arguments of their own (sampler, steps, labels); commands pass only those that a user sets.
        """

    @final
    @torch.no_grad()
    def sample(self, n: int, **options: object) -> Tensor:
        """The last state of `sample_loop`."""
        sample = None
        for state in self.sample_loop(n, **options):
            sample = state
        assert sample is not None, "sample_loop yields at least once"
        return sample


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
class Told(Protocol):
    """It may be told the class of what it makes: its sample_loop has an argument `labels`."""

    told: int
    """Number of classes; 0 where it is not told."""


@runtime_checkable
class Conditional(Told, Protocol):
    def decode(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """Example of the one-hot classes y (n, told) that belongs to the code h, shape (n, *data.shape)."""
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
    classes: int

    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x) in nats, shape (n, classes)."""
        ...


REMEDY: dict[Support, str] = {
    "binary": "set dataset.binarize=none, or model=vae, which models binary data",
    "unit": "set dataset.binarize=dynamic, or model=vae, which models data in [0, 1]",
    "real": "use a family for real data, such as model=vae with model.likelihood=gaussian, or model=ae",
}
