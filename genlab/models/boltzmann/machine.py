"""Restricted Boltzmann machines (Smolensky 1986; Hinton 2002): what the binary and the Gaussian machine have in common.

Visible units v and binary hidden units h have the energy and the probability

    E(v, h) = V(v) - b.h - u(v) W h,    p(v, h) = exp(-E(v, h)) / Z,    Z = sum_v sum_h exp(-E(v, h)),

with V(v) = -a.v, u(v) = v for binary v (rbm.py) and V(v) = sum_i (v_i - a_i)^2 / 2 sigma_i^2, u_i(v) = v_i / sigma_i^2 for real v
(gaussian_rbm.py). Nothing connects units of one layer, so each layer is drawn at once given the other, p(h_j = 1|v) =
1/(1 + exp(-z_j)) with z = b + u(v) W, and the hidden units can be summed over: p(v) = exp(-F(v))/Z with the free energy

    F(v) = V(v) - sum_j log(1 + exp(z_j)).

The gradient of log p is a positive phase, taken over the data, minus a negative phase, taken over the model (lecture):

    d log p/dW = <u h>_data - <u h>_model,   d log p/da = <u>_data - <u>_model,   d log p/db = <h>_data - <h>_model.

The model's averages are estimated by Gibbs sampling (negative_phase.py): k sweeps from the data (contrastive divergence, Hinton
2002), from chains that persist (Tieleman 2008), or from tempered chains. `centred` measures the units from offsets mu of u and
lambda of h (Montavon & Mueller 2012; Melchior et al. 2016), which changes the steps but not the distribution:

    dW = <(u - mu)(h - lambda)>_data - <(u - mu)(h - lambda)>_model,   da = <u>_data - <u>_model - dW lambda,   db likewise.

With `conditional` the classes join the visible units as one softmax unit y (Larochelle & Bengio 2008): v = (x, y), from which
follow p(y|x) in closed form and samples of a chosen class. `average` evaluates and samples with a running average of the
parameters: what a large rate scatters about, they lie in the middle of.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genlab.config.schema import family_of
from genlab.config.types import Count, Fraction, NonNegative, Share
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import GenerativeModel, Metrics, Quantity
from genlab.models.boltzmann import gibbs
from genlab.models.boltzmann.negative_phase import Contrastive, Negative, Persistent, Tempered
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
    sees_units: ClassVar[bool]
    """Whether u(v) = v."""

    mu: Tensor
    lam: Tensor

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        hidden: Count | None,
        negative: Literal["cd", "pcd", "tempered"],
        k: Count,
        chains: Count,
        temperatures: Annotated[int, Field(ge=2)],
        mean_field: bool,
        centred: bool,
        average: Share,
        sparsity: NonNegative,
        sparsity_target: Fraction,
        conditional: bool,
    ) -> None:
        super().__init__(data, optimizer)
        self.hidden = hidden or min(500, max(16, 2 * data.dim))
        self.latent_dim = self.hidden
        self.num_classes = num_classes_of(data, conditional)
        self.classifies = conditional
        self.mean_field, self.centred, self.average = mean_field, centred, average
        self.sparsity, self.sparsity_target = sparsity, sparsity_target
        visible = data.dim + self.num_classes
        self.W = nn.Parameter(0.01 * torch.randn(visible, self.hidden))
        self.a = nn.Parameter(torch.zeros(visible))
        self.b = nn.Parameter(torch.zeros(self.hidden))
        self.register_buffer("mu", torch.zeros(visible))
        self.register_buffer("lam", torch.full((self.hidden,), 0.5))
        self._make_visible_layer()
        if average:
            for name, parameter in self.named_parameters():
                self.register_buffer(f"average_{name}", parameter.detach().clone())
        self.averaged_at, self.not_averaged = 0.0, 0  # share of the training, and updates since
        self.negative: Negative = (
            Contrastive(k)
            if negative == "cd"
            else Persistent(self, k, chains)
            if negative == "pcd"
            else Tempered(self, k, chains, temperatures)
        )
        self._scratch: dict[str, Tensor] = {}
        weights: dict[str, Any] = {"params": [self.W]}  # decay of the weights leaves the biases alone
        others: dict[str, Any] = {"params": [p for p in self.parameters() if p is not self.W], "weight_decay": 0.0}
        self.optimizers[family_of(type(self).__name__)] = optimizer([weights, others])

    # What a machine says of its visible units. y = a + W h is what they hear of the hidden ones.

    @abstractmethod
    def _make_visible_layer(self) -> None:
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

    @abstractmethod
    def draw_visible(self, y: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        """v ~ p_beta(v|h), in the place of y (n, visible); beta may be (n, 1)."""

    @abstractmethod
    def mean_visible(self, y: Tensor) -> Tensor:
        """E[v|h], (n, visible)."""

    @abstractmethod
    def held_out_loss(self, v: Tensor, effort: float = 1.0) -> Metrics:
        """What falls as the model improves and needs no Z: `loss` and whatever goes with it; (n,) each.

        `effort` is how dear an estimate may be, in units of what an evaluation spends.
        """

    @abstractmethod
    def log_sum_visible(self, y: Tensor) -> Tensor:
        """log sum_v exp(-V(v) + u(v) (y - a)) over all visible units, for y = a + W h; (n,)."""

    def further_gradients(self, product: Tensor, du: Tensor, dh: Tensor, v: Tensor, v_model: Tensor) -> None:
        """Write the gradients of parameters that only this machine has (none by default)."""

    def after_update(self) -> None:
        """Keep parameters in their range (nothing by default)."""

    # What both do with classes.

    def class_units(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The last visible units: 1 for the class y, all 0 where it is not given; (n, classes)."""
        if y is None:
            return x.new_zeros(len(x), self.num_classes)
        return F.one_hot(y, self.num_classes).to(x.dtype)

    def draw_classes(self, y: Tensor, beta: float | Tensor = 1.0) -> None:
        """Replace the last columns of y, log p(class|h) up to a constant, by draws at beta."""
        logits = y[:, self.data.dim :]
        drawn = torch.softmax(logits * beta, 1).multinomial(1)
        logits.zero_().scatter_(1, drawn, 1.0)

    # The conditional distributions and the free energy.

    def theta(self, name: str) -> Tensor:
        """Parameter `name`, or its running average where the model is evaluated."""
        found: Tensor = getattr(self, name if self.training or not self.average else f"average_{name}")
        return found

    def hidden_input(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """z = b + u W, (n, hidden)."""
        return torch.addmm(self.theta("b"), u, self.theta("W"), out=out)

    def visible_input(self, h: Tensor, out: Tensor | None = None) -> Tensor:
        """y = a + W h, (n, visible)."""
        return torch.addmm(self.theta("a"), h, self.theta("W").t(), out=out)

    def free_energy_of(self, v: Tensor) -> Tensor:
        """F(v), (n,), in nats."""
        return self.visible_energy(v) - softplus(self.hidden_input(self.inputs(v))).sum(1)

    def class_free_energies(self, x: Tensor) -> Tensor:
        """F(x, y) for every class y: (n, classes); (n, 1) of F(x) for a machine without classes."""
        v = self.visible(x)
        if not self.num_classes:
            return self.free_energy_of(v).unsqueeze(1)
        z = self.hidden_input(self.inputs(v))  # of a v whose classes are all 0
        to_classes = self.theta("W")[self.data.dim :]
        parts = [softplus(z + w).sum(1) for w in to_classes]
        return self.visible_energy(v).unsqueeze(1) - self.theta("a")[self.data.dim :] - torch.stack(parts, 1)

    def free_energy(self, x: Tensor) -> Tensor:
        """F(x) with hidden units and classes summed over, p(x) = exp(-F(x))/Z in the units of the data; (n,), in nats."""
        return -torch.logsumexp(-self.class_free_energies(x), 1) + self.log_volume

    @property
    def log_volume(self) -> float:
        """log of the volume, in the units of the data, of a unit cube of visible units."""
        return 0.0

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x), (n, classes)."""
        return torch.log_softmax(-self.class_free_energies(x), 1)

    # Training.

    @torch.no_grad()
    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        (optimizer,) = self.optimizers.values()
        for batch in batches:
            with torch.autocast(self.device.type, enabled=False):  # differences of means: bf16 would round them away
                metrics = self.phases(batch)
                self.update(optimizer)
                self.after_update()
                self._average(float(batch.progress))
            yield metrics | self.negative.metrics

    def phases(self, batch: Batch) -> Metrics:
        """Positive phase, negative phase, gradients."""
        n, m = len(batch.x), self.negative.chains or len(batch.x)
        # The units of both phases lie in one array each, so that one product gives both their statistics.
        u, h = self.scratch("u", n + m + 2, len(self.a)), self.scratch("h", n + m + 2, self.hidden)
        v = self.visible(batch.x, batch.y)
        h_data = self.hidden_input(self.inputs(v, out=u[:n]), out=h[:n]).sigmoid_()
        v_model = self.negative(self, h_data, u[n : n + m], h[n : n + m])
        return self.write_gradients(u, h, n, m, v, v_model)

    def write_gradients(self, u: Tensor, h: Tensor, n: int, m: int, v: Tensor, v_model: Tensor) -> Metrics:
        """Gradients of -log p from u and p(h|v), of the data in the first n rows and of the model in the next m.

        The last two rows of u and h are scratch: the outer products that centre the statistics join the matrix product.
        """
        share = self.scratch("share", n + m)  # times the rows, it averages: the data, and the data minus the model
        share[:n], share[n:] = 1 / n, -1 / m
        h_mean = share[:n] @ h[:n]
        du, dh = share @ u[: n + m], share @ h[: n + m]
        metrics = {
            "hidden_activity": h_mean.mean(),
            "visible_gap": du.square().mean().sqrt_(),
            "hidden_gap": dh.square().mean().sqrt_(),
        }
        h[n : n + m].mul_(-n / m)
        if self.sparsity:  # gradient of sparsity/2 sum_j (<h_j>_data - target)^2
            push = self.sparsity * (h_mean - self.sparsity_target) * h[:n] * (1 - h[:n])
            h[:n].sub_(push)
            dh = dh - push.mean(0)
        if self.centred:
            u[-2], u[-1] = self.mu, du
            torch.mul(dh, -n, out=h[-2])
            torch.mul(self.lam, -n, out=h[-1])
        rows = n + m + 2 if self.centred else n + m
        gradient = self.gradient_of(self.W)
        torch.addmm(gradient, u[:rows].t(), h[:rows], beta=0, alpha=-1 / n, out=gradient)
        self.further_gradients(gradient, du, dh, v, v_model)
        torch.neg(du, out=self.gradient_of(self.a))
        torch.neg(dh, out=self.gradient_of(self.b))
        if self.centred:
            # gradient lambda and mu gradient, by way of the few rows that made the gradient
            self.gradient_of(self.a).addmv_(u[:rows].t(), h[:rows] @ self.lam, alpha=1 / n)
            self.gradient_of(self.b).addmv_(h[:rows].t(), u[:rows] @ self.mu, alpha=1 / n)
            self.lam.lerp_(h_mean, 0.01)
        return metrics

    def gradient_of(self, parameter: nn.Parameter) -> Tensor:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        return parameter.grad

    def scratch(self, name: str, *shape: int) -> Tensor:
        """Memory that one update after another uses: fresh memory would be cleared page by page every time."""
        found = self._scratch.get(name)
        if found is None or found.shape != shape or found.device != self.device or found.dtype != self.W.dtype:
            found = self._scratch[name] = torch.zeros(shape, device=self.device, dtype=self.W.dtype)
        return found

    def _average(self, progress: float) -> None:
        """Move the averages; they look back over the share `average` of the training, and at its start over all of it."""
        step = progress - self.averaged_at
        self.not_averaged += 1
        if self.average and step >= self.average / 300 and self.not_averaged >= 4:
            weight = min(1.0, step / min(self.average, progress))
            for name, parameter in self.named_parameters():
                getattr(self, f"average_{name}").lerp_(parameter, weight)
            self.averaged_at, self.not_averaged = progress, 0

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.averaged_at, self.not_averaged], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.averaged_at, self.not_averaged = float(state[0]), int(state[1])

    # What can be asked of a trained machine.

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
        """Free energy of training examples minus that of held-out ones, which falls below 0 as the machine overfits, and more."""
        free_energy = self.free_energy(train).mean()
        found = {"free_energy": free_energy}
        if held_out is not None:
            found["free_energy_gap"] = free_energy - self.free_energy(held_out).mean()
        ema_network = self.held_out_loss(self.with_classes(train if held_out is None else held_out), effort=0.1)
        return found | {name: values.mean() for name, values in ema_network.items() if name != "loss"}

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """p(h = 1|x), (n, hidden)."""
        z = self.hidden_input(self.inputs(self.visible(x)))
        if not self.num_classes:
            return torch.sigmoid(z)
        p = self.classify(x).exp()
        to_classes = self.theta("W")[self.data.dim :]
        parts = [p[:, k : k + 1] * torch.sigmoid(z + to_classes[k]) for k in range(self.num_classes)]
        return torch.stack(parts).sum(0)

    @torch.no_grad()
    def trunk(self) -> Trunk:
        """p(h = 1|x) as a layer of sigmoid units; those of classes, where there are any, are left at 0."""
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
        """Columns of W, what each hidden unit looks for: (hidden, *shape)."""
        return self.theta("W")[: self.data.dim].t().reshape(self.hidden, *self.data.shape)

    @torch.no_grad()
    def fantasies(self) -> Tensor | None:
        """E[x|h] of the chains that persist, (chains, *shape); None where none do."""
        h = self.negative.fantasies()
        return None if h is None else self.decode(h)

    # Sampling (gibbs.py).

    @torch.no_grad()
    def base_draws(self, n: int) -> Tensor:
        """Exact draws of the base distribution, which is that at beta = 0: (n, visible)."""
        return self.draw_visible(self.theta("a").expand(n, -1).clone(), 0.0)

    def sample_loop(
        self,
        n: int,
        sampler: str | None = None,
        steps: int | None = None,
        labels: list[int] | int | None = None,
        mean: bool | None = None,
    ) -> Iterator[Tensor]:
        """States of n chains, as E[x|h] (`mean`, the default for images) or as x itself; see gibbs.sample."""
        show_mean = self.data.is_image if mean is None else mean
        return gibbs.sample(self, n, sampler, steps, labels, show_mean)

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

    # The partition function: what genlab/likelihood asks for.

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
