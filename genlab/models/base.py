"""The contract between a model and everything that runs it: a training loop and a sampling loop, both as generators."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from genlab.config.schema import family_of
from genlab.config.targets import moved_parameters
from genlab.data.batches import Batch
from genlab.data.labels import LABELS
from genlab.data.spec import DataSpec, Support
from genlab.errors import GenlabError
from genlab.models.candidates import Candidate
from genlab.models.ema import FrozenCopy
from genlab.numerics import shares
from genlab.optimizers.product_gradient import ProductGradient, descend
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart

Metrics = dict[str, Tensor]
Better = Literal["lower", "higher"] | None


@dataclass(frozen=True)
class Quantity:
    """Unit and kind of one of a family's own measures."""

    unit: str
    better: Better = None
    """The better direction; None where neither is better."""
    lower_bound: bool = False
    """Whether it is a lower bound on a log-likelihood."""


Charts = dict[str, Chart]
"""Title -> scalars that it shows, with a caption."""


class Model(nn.Module, ABC):
    """What the runner needs. A family writes its literal training loop and yields after each complete update.

    Rules: yield detached tensors that no later update changes, and only between complete updates; keep everything that lasts
    in parameters, buffers or optimizers (locals of the loop are disposable); make noise on the model's device from torch's
    default generators.
    """

    supports: ClassVar[frozenset[Support]]
    """Data supports that the family can model."""
    deterministic_loss: ClassVar[bool] = False
    """Whether the loss of a batch depends on the parameters alone, without noise, as a line search (L-BFGS) needs."""
    least_batch: ClassVar[int] = 1
    """Fewest examples of an update."""
    needs_labels: ClassVar[bool] = False
    """Whether every training example must come with its class."""
    closed_form: ClassVar[bool] = False
    """Whether the fit is a sum over examples, without gradients: each then counts once, and the last batch may be short."""
    uses_unlabelled: ClassVar[bool] = False
    """Whether a family that takes classes also trains on examples without a class, y = -1 (dataset.labelled)."""

    quantities: ClassVar[Mapping[str, Quantity]] = {}
    """Unit and kind of what `evaluate` returns; a name without number stands for all levels, as kl for kl_1, kl_2, ..."""
    charts: ClassVar[Charts] = {}
    """What the family looks at: scalars in one chart each, in TensorBoard and in samples/learning_curves.png."""
    learns_widths: ClassVar[bool] = False
    """Whether p(x) of real data may become ever narrower: where values repeat, the likelihood then has no bound."""
    paced: ClassVar[Sequence[str]] = ()
    """Own keys that are shares of the training: what they do depends on its length."""
    of_the_data: ClassVar[Sequence[str]] = ()
    """Own buffers that describe the data, not what was learned of them. A run that starts from another (init) keeps its own."""
    labelled_beside: ClassVar[bool] = False
    """Whether every batch comes with another batch of labelled examples."""

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = {}
    """Name of a diagnosis (evaluation/diagnoses.py) -> changes of the family's own keys that may help, the best first."""

    data: DataSpec
    optimizers: dict[str, Optimizer]

    def __init__(self, data: DataSpec, optimizer: Recipe | None) -> None:
        """Raises GenlabError, before any training, for data that the family cannot model and optimizers that it cannot use."""
        super().__init__()
        family = family_of(type(self).__name__)
        if data.support not in self.supports:
            raise GenlabError(
                f"model={family} cannot model {data.support} data (dataset={data.name}), only "
                f"{' or '.join(sorted(self.supports))}; {REMEDY[data.support]}"
            )
        if self.needs_labels and data.num_classes is None:
            labels = LABELS.get(data.name, "choose a data set that has")
            raise GenlabError(
                f"model={family} needs labels, and dataset={data.name} has none; {labels}, or use a family without, such as "
                "model=vae"
            )
        if optimizer is not None and optimizer.needs_closure and not self.deterministic_loss:
            raise GenlabError(
                f"optimizer=lbfgs needs a loss without noise, and the loss of model={family} is a Monte Carlo estimate; "
                "set optimizer=adam, or use lbfgs with model=ae"
            )
        self.data = data
        self.optimizers = {}
        self.gradient_norms: Metrics = {}
        self._unwritten: dict[str, ProductGradient] = {}  # of the last update, by the name of its optimizer
        self.register_load_state_dict_pre_hook(_rename_moved)

    @abstractmethod
    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        """Train on the stream of batches; yield the scalars to be logged after each complete update."""

    @abstractmethod
    def evaluate(self, batch: Batch) -> Metrics:
        """The family's own measures of held-out data: one value per example, each of shape (n,)."""

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def replayable(self) -> bool:
        """Whether every update does the same operations: a GPU can record and replay it (training/cuda_graphs.py).

        No value of an update may be read from a tensor, counted in Python, or drawn by Python or on the CPU.
        """
        return False

    @property
    def coupling(self) -> str | None:
        """Why an update is no sum over the examples of a batch, made of parts one after the other; None where it is one.

        Any part of a model may say so in an attribute `couples`.
        """
        if len(self.optimizers) != 1:
            return "its networks move in turns"
        if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in self.modules()):
            return "batch normalisation takes the moments of the whole batch"
        return next((why for part in self.modules() if (why := getattr(part, "couples", None))), None)

    def layout(self) -> Charts:
        """Those of `charts` for which this model has scalars."""
        return self.charts

    @property
    def size(self) -> int:
        """Number of parameters, without copies and running averages."""
        copied = {id(p) for part in self.modules() if isinstance(part, FrozenCopy) for p in part.parameters()}
        return sum(p.numel() for p in self.parameters() if id(p) not in copied)

    @final
    def descend(self, optimizer: Optimizer, loss: Tensor | Callable[[], Tensor]) -> Tensor:
        """One gradient step on `loss`, a tensor or, for optimizers that evaluate it several times, a function."""

        def backward() -> Tensor:
            if shares.first_turn():
                optimizer.zero_grad(set_to_none=True)
            value = loss() if callable(loss) else loss
            (value / shares.turns() if shares.turns() > 1 else value).backward()
            return value

        def backward_everywhere() -> Tensor:
            value = backward()
            shares.average_gradients(_parameters_of(optimizer))
            return shares.whole_mean(value.detach())

        if isinstance(optimizer, torch.optim.LBFGS):
            return self.update(optimizer, closure=backward_everywhere)
        value = backward()
        self.update(optimizer)
        return value.detach()

    @final
    def update(
        self,
        optimizer: Optimizer,
        product: ProductGradient | None = None,
        closure: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """Step with the gradients in `.grad` and `product`, averaged over all processes that share the batch.

        Every optimizer step goes through this method. In the turns of an update before the last one there is none.
        """
        if not shares.last_turn():
            return torch.empty(0)
        name = self._name_of(optimizer)
        self._unwritten.pop(name, None)
        if product is not None:
            if shares.count() == 1 and descend(optimizer, product):
                self._unwritten[name] = product
                self.gradient_norms.pop(name, None)  # that of a checkpoint, from before this update
                return torch.empty(0)
            product.write()
        if closure is None:
            shares.average_gradients(_parameters_of(optimizer))
        clip = optimizer.param_groups[0]["clip"]
        if clip is not None:
            self.gradient_norms[name] = nn.utils.clip_grad_norm_(_parameters_of(optimizer), clip)
        elif self.gradient_norms:  # those of a checkpoint, from before this update
            self.gradient_norms.pop(name, None)
        if closure is None:
            optimizer.step()
            return torch.empty(0)
        return torch.as_tensor(optimizer.step(closure)).detach()  # type: ignore[arg-type]  # torch's annotation is too narrow

    @final
    def gradient_norm(self, name: str) -> Tensor:
        """Norm of the gradient of the last update of optimizer `name`, before clipping."""
        if name in self.gradient_norms:
            return self.gradient_norms[name]
        if name in self._unwritten:
            self._unwritten[name].write()
        groups = self.optimizers[name].param_groups
        gradients = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        return nn.utils.get_total_norm(gradients)

    def _name_of(self, optimizer: Optimizer) -> str:
        return next(name for name, known in self.optimizers.items() if known is optimizer)


def _parameters_of(optimizer: Optimizer) -> list[nn.Parameter]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _rename_moved(model: nn.Module, state: dict[str, Any], *_: object) -> None:
    """Before parameters are loaded: give those of an older checkpoint their present names, in the same order."""
    moved = moved_parameters(type(model).__name__, state)
    if moved:
        named = {moved.get(name, name): value for name, value in state.items()}
        state.clear()
        state.update(named)


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Within the block the model is in evaluation mode (no dropout, averaged parameters); afterwards in its former mode."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class GenerativeModel(Model):
    """A model of p(x) that can be sampled."""

    @abstractmethod
    def sample_loop(self, n: int) -> Iterator[Tensor]:
        """Yield each state of the sampling chain, shape (n, *data.shape), in the data's support; the last is the sample.

        Families add keyword arguments of their own (sampler, steps, labels). Commands pass only those that a user sets.
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


REMEDY: dict[Support, str] = {
    "binary": "set dataset.binarize=none, or model=vae, which models binary data",
    "unit": "set dataset.binarize=dynamic, or model=vae, which models data in [0, 1]",
    "real": "use a family for real data, such as model=vae with model.likelihood=gaussian, or model=ae",
}
