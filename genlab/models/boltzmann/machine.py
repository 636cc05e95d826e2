"""Restricted Boltzmann machines (Smolensky 1986; Hinton 2002): what the binary and the Gaussian machine have in common.

Visible units v and binary hidden units h have the energy and the probability

    E(v, h) = V(v) - b.h - u(v) W h,    p(v, h) = exp(-E(v, h)) / Z,    Z = sum_v sum_h exp(-E(v, h)),

with V(v) = -a.v, u(v) = v for binary v (rbm.py) and V(v) = sum_i (v_i - a_i)^2 / 2 sigma_i^2, u_i(v) = v_i / sigma_i^2 for real v
(gaussian_rbm.py). No connection joins units of one layer, so each layer is drawn at once given the other, p(h_j = 1|v) =
1/(1 + exp(-z_j)) with z = b + u(v) W, and the hidden units can be summed over: p(v) = exp(-F(v))/Z with the free energy

    F(v) = V(v) - sum_j log(1 + exp(z_j)).

With `conditional` the classes join the visible units, v = (x, y) (class_units.py): then p(y|x) has a closed form, and samples of
a chosen class can be drawn. With `average` a running average of the parameters is evaluated and sampled (averages.py): with a
large rate the parameters scatter about an optimum, and their average lies closer to it.

The training loop stands in the file of each machine, the gradient in gradients.py, the negative phase in negative_phase.py, and
sampling in gibbs.py.
"""

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn

from genlab.config.schema import family_of
from genlab.config.types import Count
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.boltzmann import gibbs
from genlab.models.boltzmann.averages import ParameterAverages
from genlab.models.boltzmann.class_units import class_free_energies, hidden_means
from genlab.models.boltzmann.gradients import Centring, Phases, Sparsity, Statistics, write_gradients
from genlab.models.boltzmann.machine_arguments import MachineArguments
from genlab.models.boltzmann.machine_charts import CHARTS
from genlab.models.boltzmann.negative_phase import ContrastiveDivergence, negative_phase_of
from genlab.models.boltzmann.sparse_units import affine_of
from genlab.models.boltzmann.workspace import Workspace
from genlab.models.candidates import Candidate, choose, higher
from genlab.models.conditioning import num_classes_of
from genlab.networks.trunk import Trunk, affine
from genlab.numerics.softplus import softplus
from genlab.optimizers.recipe import Recipe


class BoltzmannMachine(GenerativeModel):
    """W: (visible, hidden); a: (visible,); b: (hidden,). Visible units are the D components of x, then one for each class."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "free_energy": Quantity("nats"),
        "pseudo_log_likelihood": Quantity("nats", "higher"),
        "accuracy": Quantity("share", "higher"),
    }
    of_the_data: ClassVar[Sequence[str]] = ("mu", "base_bias", "base_var")
    paced: ClassVar[Sequence[str]] = ("average",)
    charts: ClassVar[Charts] = CHARTS
    couples = "its chains and offsets move once an update"
    sees_units: ClassVar[bool]
    """Whether u(v) = v."""

    mu: Tensor
    lam: Tensor
    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = {
        "chains do not mix": (choose("model.negative", "tempered"), higher("model.k", 5)),
        **dict.fromkeys(
            ("mode collapse", "low coverage", "missing classes", "samples far from the data"),
            (choose("model.negative", "tempered"), higher("model.k", 5), higher("model.hidden", 2)),
        ),
    }

    def __init__(self, data: DataSpec, optimizer: Recipe, **shared: Unpack[MachineArguments]) -> None:
        super().__init__(data, optimizer)
        self.hidden = shared["hidden"] or min(500, max(16, 2 * data.dim))
        self.latent_dim = self.hidden
        self.num_classes = num_classes_of(data, shared["conditional"])
        self.classifies = shared["conditional"]
        self.mean_field, self.centred, self.average = shared["mean_field"], shared["centred"], shared["average"]
        self.sparsity = Sparsity(shared["sparsity"], shared["sparsity_target"]) if shared["sparsity"] else None
        visible = data.dim + self.num_classes
        self.W = nn.Parameter(0.01 * torch.randn(visible, self.hidden))
        self.a = nn.Parameter(torch.zeros(visible))
        self.b = nn.Parameter(torch.zeros(self.hidden))
        self.register_buffer("mu", torch.zeros(visible))
        self.register_buffer("lam", torch.full((self.hidden,), 0.5))
        self.make_visible_layer()
        self.averages = ParameterAverages(self, self.average)
        self.negative = negative_phase_of(
            shared["negative"], shared["k"], shared["chains"], self.hidden, shared["temperatures"]
        )
        self.memory = Workspace()
        weights: dict[str, Any] = {"params": [self.W]}  # weight decay leaves the biases alone
        others: dict[str, Any] = {"params": [p for p in self.parameters() if p is not self.W], "weight_decay": 0.0}
        self.optimizers[family_of(type(self).__name__)] = optimizer([weights, others])

    # What a machine says of its visible units. y = a + W h is their input from the hidden units.

    @abstractmethod
    def make_visible_layer(self) -> None:
        """Set a and the offset mu from the moments of the data; make parameters and buffers that only this machine has."""

    @abstractmethod
    def visible(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Visible units of examples x (n, *shape) and classes y (n,): (n, visible)."""

    @abstractmethod
    def restore(self, v: Tensor) -> Tensor:
        """Examples (n, *shape) in the support of the data from visible units."""

    @abstractmethod
    def inputs(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        """u(v), which the weights see; (n, visible)."""

    @abstractmethod
    def visible_energy(self, v: Tensor) -> Tensor:
        """V(v), (n,), in nats."""

    @abstractmethod
    def base_energy(self, v: Tensor) -> Tensor:
        """V_0(v) of the base distribution, independent visible units with the moments of the data; (n,), in nats."""

    @property
    @abstractmethod
    def base_log_z(self) -> float:
        """log of the integral of exp(-V_0(v)) over the visible units."""

    @property
    @abstractmethod
    def log_volume(self) -> float:
        """log of the volume, in the units of the data, of a unit cube of visible units; 0 for binary units."""

    @abstractmethod
    def draw_visible(self, y: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """v ~ p_beta(v|h), written over y (n, visible); beta may be (n, 1)."""

    @abstractmethod
    def mean_visible(self, y: Tensor) -> Tensor:
        """E[v|h], (n, visible)."""

    @abstractmethod
    def held_out_loss(self, v: Tensor, effort: float = 1.0) -> Metrics:
        """A `loss` that falls as the model improves and needs no Z, and what goes with it; (n,) each.

        `effort` is the cost of the estimate, in units of that of an evaluation.
        """

    @abstractmethod
    def log_sum_visible(self, y: Tensor) -> Tensor:
        """log sum_v exp(-V(v) + u(v) (y - a)) over all visible units, for y = a + W h; (n,)."""

    # The conditional distributions and the free energy.

    def theta(self, name: str) -> Tensor:
        """Parameter `name`, or its running average where the model is evaluated."""
        found: Tensor = getattr(self, name if self.training or not self.average else f"average_{name}")
        return found

    def hidden_input(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """z = b + u W, (n, hidden)."""
        return affine_of(self.theta("b"), u, self.theta("W"), out=out)

    def visible_input(self, h: Tensor, out: Tensor | None = None) -> Tensor:
        """y = a + W h, (n, visible)."""
        return torch.addmm(self.theta("a"), h, self.theta("W").t(), out=out)

    def free_energy_of(self, v: Tensor) -> Tensor:
        """F(v), (n,), in nats."""
        return self.visible_energy(v) - softplus(self.hidden_input(self.inputs(v))).sum(1)

    def class_free_energies(self, x: Tensor) -> Tensor:
        """F(x, y) for every class y: (n, num_classes); F(x), (n, 1), for a machine without classes."""
        v, d = self.visible(x), self.data.dim  # without y, the units of the classes are 0
        if not self.num_classes:
            return self.free_energy_of(v).unsqueeze(1)
        z = self.hidden_input(self.inputs(v))
        return class_free_energies(self.visible_energy(v), z, self.theta("a")[d:], self.theta("W")[d:])

    def free_energy(self, x: Tensor) -> Tensor:
        """F(x) with hidden units and classes summed over, p(x) = exp(-F(x))/Z in the units of the data; (n,), in nats."""
        return -torch.logsumexp(-self.class_free_energies(x), 1) + self.log_volume

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x), (n, num_classes)."""
        return torch.log_softmax(-self.class_free_energies(x), 1)

    # Parts of the training loop, which is in the file of each machine.

    @property
    def replayable(self) -> bool:
        return self.negative.replayable

    def workspace(self, name: str, *shape: int) -> Tensor:
        """Memory to be written, which lasts to the next call with this name."""
        return self.memory(self.W, name, *shape)

    def phases(self, n: int) -> Phases:
        """Memory for the units of n examples and of the chains of the negative phase."""
        return self.memory.phases(n, self.negative.own_chains or n, self.W)

    def write_gradients(self, phases: Phases) -> Statistics:
        """Write the gradients of -log p by a and b, and find that by W (gradients.py)."""
        centring = Centring(self.mu, self.lam) if self.centred else None
        return write_gradients(phases, self.W, self.a, self.b, centring, self.sparsity)

    def move_offset(self, h_data: Tensor) -> None:
        """lambda follows the mean of p(h|v) over the data, (hidden,)."""
        if self.centred:
            self.lam.lerp_(h_data, 0.01)

    def get_extra_state(self) -> Tensor:
        return self.averages.state()

    def set_extra_state(self, state: Tensor) -> None:
        self.averages.load(state)

    # What a trained machine can do.

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        v = self.visible(batch.x, batch.y)
        mse = (batch.x - self.reconstruct(batch.x)).square().flatten(1).sum(1)
        found = {**self.held_out_loss(v), "free_energy": self.free_energy(batch.x), "mse": mse}
        if self.num_classes and batch.y is not None:
            found["accuracy"] = (self.classify(batch.x).argmax(1) == batch.y).float()
        return found

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Free energies, and the held-out loss. The gap, training minus held-out examples, falls below 0 with overfitting."""
        free_energy = self.free_energy(train).mean()
        found = {"free_energy": free_energy}
        if held_out is not None:
            found["free_energy_gap"] = free_energy - self.free_energy(held_out).mean()
        measured = self.held_out_loss(self.with_classes(train if held_out is None else held_out), effort=0.1)
        return found | {name: values.mean() for name, values in measured.items() if name != "loss"}

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """p(h = 1|x), (n, hidden)."""
        z = self.hidden_input(self.inputs(self.visible(x)))
        if not self.num_classes:
            return torch.sigmoid(z)
        return hidden_means(self.classify(x).exp(), z, self.theta("W")[self.data.dim :])

    @torch.no_grad()
    def trunk(self) -> Trunk:
        """p(h = 1|x) as a layer of sigmoid units, with the units of classes at 0."""
        d, x = self.data.dim, torch.zeros(1, *self.data.shape, device=self.device)
        low, high = (self.inputs(self.visible(at))[0, :d].reshape(self.data.shape) for at in (x, x + 1))
        scale = 1 / (high - low)  # u(x) is affine in x
        return Trunk(affine(self.theta("W")[:d], self.theta("b"), nn.Sigmoid()), -low * scale, scale, self.data.shape)

    def activations(self, x: Tensor) -> Tensor:
        return self.encode(x)

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        """E[x|h], (n, *shape)."""
        return self.restore(self.mean_visible(self.visible_input(h)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|h] at the mean h of p(h|x)."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def filters(self) -> Tensor:
        """Columns of W, the pattern to which each hidden unit responds: (hidden, *shape)."""
        return self.theta("W")[: self.data.dim].t().reshape(self.hidden, *self.data.shape)

    @torch.no_grad()
    def fantasies(self) -> Tensor | None:
        """E[x|h] of the persistent chains, (chains, *shape); None where there are none."""
        h = self.negative.fantasies()
        return None if h is None else self.decode(h)

    @torch.no_grad()
    def negative_states(self, x: Tensor) -> Tensor | None:
        """Where the k Gibbs sweeps of an update end that start at examples x, (n, *shape); None for persistent chains."""
        if not isinstance(self.negative, ContrastiveDivergence):
            return None
        (state,) = deque(self.walk(x, self.negative.k), maxlen=1)
        return state

    # Sampling (gibbs.py).

    @torch.no_grad()
    def base_draws(self, n: int) -> Tensor:
        """Exact draws of the base distribution, at beta = 0: (n, visible)."""
        return self.draw_visible(self.theta("a").expand(n, -1).clone(), 0.0)

    def chains_continued(self, sampler: str | None = None, labels: list[int] | int | None = None) -> int:
        fantasies = self.negative.fantasies()
        return (
            len(fantasies) if fantasies is not None and gibbs.sampler_of(sampler, fantasies, labels) == "chains" else 0
        )

    def sample_loop(
        self,
        n: int,
        sampler: str | None = None,
        steps: Count | None = None,
        labels: list[int] | int | None = None,
        mean: bool | None = None,
        chains: list[int] | None = None,
    ) -> Iterator[Tensor]:
        """States of n chains, as E[x|h] (`mean`, the default for images) or as x itself; see gibbs.sample."""
        show_mean = self.data.on_grid if mean is None else mean
        return gibbs.sample(self, self.negative.fantasies(), n, sampler, steps, labels, show_mean, chains)

    def walk(self, x: Tensor | int, steps: int, mean: bool = False) -> Iterator[Tensor]:
        """States of chains at beta = 1 from examples x, or of so many chains from the base distribution."""
        start = self.base_draws(x) if isinstance(x, int) else self.with_classes(x)
        return gibbs.chains(self, start, [1.0] * steps, mean=mean)

    def inpaint_loop(self, x: Tensor, known: Tensor, steps: int = 200, mean: bool = True) -> Iterator[Tensor]:
        """Chains of p(unknown|known), annealed as samples are. `known` (*shape,) is true where x is to stay."""
        return gibbs.inpaint(self, x, known, steps, mean)

    def with_classes(self, x: Tensor) -> Tensor:
        """Visible units of x, with the most probable class where the machine has classes."""
        return self.visible(x, self.classify(x).argmax(1) if self.num_classes else None)

    # The partition function (inference/partition.py).

    def log_sum_over_visible(self, h: Tensor) -> Tensor:
        """log sum_v exp(-E(v, h)) of hidden configurations h (n, hidden): (n,)."""
        return h @ self.theta("b") + self.log_sum_visible(self.visible_input(h))

    def log_marginals(self) -> list[tuple[int, Callable[[Tensor], Tensor]]]:
        """Layers over whose configurations Z can be summed: number of units, and log of the sum of exp(-E) over all else."""
        return [(self.hidden, self.log_sum_over_visible)]

    def settle(self, x: Tensor, sweeps: int) -> Tensor:
        """Visible units of chains at beta = 1 that ran so many sweeps from examples x."""
        return gibbs.settle(self, self.with_classes(x), sweeps)

    @property
    def log_z_base(self) -> float:
        """log Z at beta = 0, where E_0 = V_0."""
        return self.base_log_z + self.hidden * math.log(2)

    def anneal(self, v: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
        return gibbs.anneal(self, v, beta, following)
