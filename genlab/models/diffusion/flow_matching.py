"""Conditional flow matching (Lipman et al. 2023; Liu et al. 2023; Albergo & Vanden-Eijnden 2023): the simplest relative of
diffusion.

Between noise z ~ N(0, I) and data x lies the straight line x_t = (1 - t) z + t x (here t = 1 is the data). A network v(x_t, t)
learns its velocity by least squares,

    E_t,z,x ||v(x_t, t) - (x - z)||^2.

The optimum is the mean velocity of all lines through x_t. The ODE dx/dt = v(x, t) carries N(0, I) to the data: samples by
integrating it forwards, log p(x) by integrating it backwards (ode.py). For Gaussian data with standard deviations s_i the least
loss is pi/2 sum_i s_i, because lines cross. Networks, averages and guidance are those of diffusion.py.

    coupling   independent: any z with any x; ot: within a batch, z and x are paired by the least sum of ||x - z||^2, so that
               fewer lines cross (Tong et al. 2024; Pooladian et al. 2023)
    reflow     share of the training, the last part of it, in which z is paired with the sample that the flow makes of it, so
               that the lines do not cross at all (rectified flow: Liu et al. 2023). The flow that makes the samples is that of
               the beginning of this part. Such a batch costs `reflow_steps` more evaluations of the network
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Unpack

import torch
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, NonNegative, Share
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot
from genlab.models.diffusion.guidance import (
    EMA_REACH,
    NetworkArguments,
    build_network,
    drop_labels,
    guidance_weight,
    guided,
)
from genlab.models.diffusion.ode import (
    EVALUATIONS,
    Method,
    Velocity,
    integrate,
    integrate_with_divergence,
    log_standard_normal,
)
from genlab.models.ema import EMA, FrozenCopy
from genlab.models.scaling import Scaling
from genlab.numerics import shares
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart

SAMPLE_EVALUATIONS = 20  # of the velocity for a sample, where the user sets no steps
ODE_STEPS = 20  # back to the noise, for the likelihood
BINS = 10  # of times, for the log
SCORE_TIME = 0.9  # t at which the score is shown: it is well estimated there and near to that of the data
CURVATURE_SAMPLES = 64


class FlowMatching(GenerativeModel):
    """The network is a U-Net, a transformer or a perceptron (networks/time_conditioned.py)."""

    teacher_set: Tensor

    paced: ClassVar[Sequence[str]] = ("reflow",)
    supports = frozenset({"binary", "unit", "real"})

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "velocity_error": Quantity("squared error"),
    }
    samplers = tuple(EVALUATIONS)
    charts: ClassVar[Charts] = {
        "squared error of the velocity by time": Chart(
            [f"monitor/velocity_mse_{k}" for k in range(1, BINS + 1)],
            "From noise (1) to data: at which times the velocity is hard to predict.",
        ),
        "distance of the flow from straight lines": Chart(
            ["monitor/curvature"], "0: each sample moves along a straight line, and one step would do."
        ),
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        coupling: Literal["independent", "ot"],
        reflow: Share,
        reflow_steps: Annotated[int, Field(ge=2)],
        **network: Unpack[NetworkArguments],
    ) -> None:
        super().__init__(data, optimizer)
        conditional, self.label_dropout = network["conditional"], network["label_dropout"]
        self.num_classes = num_classes_of(data, conditional)
        self.network = build_network(data, self.num_classes, **network)
        self.ema = EMA(self.network, network["average"], EMA_REACH) if network["average"] else None
        self.scaling = Scaling.of(data)
        self.discrete = data.support == "binary" or data.levels is not None
        if coupling == "ot" and conditional:
            raise GenlabError(
                "model.coupling=ot pairs noise with examples of any class, which skews p(x|y); set model.coupling=independent"
            )
        if reflow and conditional:
            raise GenlabError(f"model.reflow={reflow}: pairs are drawn without classes; set model.conditional=false")
        self.optimal_transport, self.reflow, self.reflow_steps = coupling == "ot", reflow, reflow_steps
        self.couples = "model.coupling=ot pairs the noise with the whole batch" if coupling == "ot" else None
        self.teacher = FrozenCopy(self.network) if reflow else None
        self.register_buffer("teacher_set", torch.zeros((), dtype=torch.bool))
        self.optimizers["flow"] = optimizer(self.network.parameters())

    @property
    def replayable(self) -> bool:
        return not self.optimal_transport and not self.reflow

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            x, y = self.scaling.inner(batch.x), drop_labels(self.one_hot(batch.y), self.label_dropout)
            z = torch.randn_like(x)
            if self.reflow and float(batch.progress) >= 1 - self.reflow:
                x = self.teacher_sample(z)
            elif self.optimal_transport:
                whole_z = shares.whole_rows(z)
                z = shares.mine(whole_z[nearest_partners(shares.whole_rows(x), whole_z)])
            t = shares.even_times(len(x), self.device)
            loss = self.error(x, z, t, y, self.network).mean() / self.data.dim
            self.descend(self.optimizers["flow"], loss)
            self.update_ema()
            yield {"loss": loss.detach()}

    def error(self, x: Tensor, z: Tensor, t: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """||v(x_t, t) - (x - z)||^2, (n,)."""
        x_t = torch.lerp(z, x, t.view(-1, *[1] * (x.ndim - 1)))
        v: Tensor = network(x_t, t, y).float()
        return (v - (x - z)).square().flatten(1).sum(1)

    @torch.no_grad()
    def teacher_sample(self, z: Tensor) -> Tensor:
        """Where the flow at the beginning of the reflow carries z (n, *shape)."""
        assert self.teacher is not None
        if not self.teacher_set:
            self.teacher.take(self.ema_network)
            self.teacher_set.fill_(True)
        teacher = self.teacher

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            out: Tensor = teacher(x, t.expand(len(x)), None).float()
            return out

        times = torch.linspace(0, 1, self.reflow_steps + 1, device=z.device)
        (x,) = deque(integrate(velocity, z, times, "euler"), maxlen=1)
        return x

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        return one_hot(y, self.num_classes)

    @property
    def ema_network(self) -> nn.Module:
        """The network that samples and is evaluated: the average, where there is one."""
        return self.network if self.ema is None else self.ema

    def update_ema(self) -> None:
        if self.ema is not None:
            self.ema.update(self.network)

    # Evaluation

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """The loss of the averaged network, with independent pairs, per component and summed: (n,)."""
        x = self.scaling.inner(batch.x)
        error = self.error(
            x, torch.randn_like(x), shares.even_times(len(x), self.device), self.one_hot(batch.y), self.ema_network
        )
        return {"loss": error / self.data.dim, "velocity_error": error}

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Squared error of the velocity per component in BINS parts of [0, 1], and the curvature of the flow."""
        x = self.scaling.inner(train if held_out is None else held_out)
        x = x[torch.arange(max(BINS, len(x)), device=x.device) % len(x)]  # an example for each part at least
        t = (torch.arange(len(x), device=x.device) + 0.5) / len(x)
        error = self.error(x, torch.randn_like(x), t, None, self.ema_network) / self.data.dim
        found = {f"velocity_mse_{k}": part.mean() for k, part in enumerate(error.tensor_split(BINS), 1)}
        return found | {"curvature": self.curvature(min(CURVATURE_SAMPLES, len(x)))}

    def curvature(self, n: int) -> Tensor:
        """int_0^1 E ||(x_1 - x_0) - v(x_t, t)||^2 dt per component along the flow: 0 for straight lines (Liu et al. 2023)."""
        z = torch.randn(n, *self.data.shape, device=self.device)
        times = torch.linspace(0, 1, SAMPLE_EVALUATIONS + 1, device=self.device)
        states = torch.stack([z, *integrate(self.velocity(None, 1.0), z, times, "euler")])
        steps = states.diff(dim=0) * SAMPLE_EVALUATIONS
        return (steps - (states[-1] - z)).square().mean()

    def velocity(self, y: Tensor | None, guidance: float) -> Velocity:
        """v(x, t) of the averaged network, guided to the classes y."""
        return lambda x, t: guided(self.ema_network, x, t.expand(len(x)), y, guidance)

    @torch.no_grad()
    def sample_loop(
        self,
        n: int,
        sampler: Method = "midpoint",
        steps: Count | None = None,
        labels: list[int] | int | None = None,
        guidance: NonNegative | None = None,
        mean: bool | None = None,
    ) -> Iterator[Tensor]:
        """z ~ N(0, I), and where the flow has carried it after each of `steps` equal steps of time."""
        if sampler not in EVALUATIONS:
            raise GenlabError(f"sampler={sampler}: model=flow_matching has {', '.join(EVALUATIONS)}")
        steps = steps or SAMPLE_EVALUATIONS // EVALUATIONS[sampler]
        y = classes_to_sample(labels, n, self.num_classes, self.device)
        velocity = self.velocity(y, guidance_weight(guidance, self.num_classes))
        z = torch.randn(n, *self.data.shape, device=self.device)
        times = torch.linspace(0, 1, steps + 1, device=self.device)
        yield self.scaling.restore(z)
        for k, x in enumerate(integrate(velocity, z, times, sampler), 1):
            yield self.scaling.samples(x, mean) if k == steps else self.scaling.restore(x)

    @torch.no_grad()
    def inpaint_loop(self, x: Tensor, known: Tensor, steps: int = 50) -> Iterator[Tensor]:
        """Euler steps. At every time the components of x that are `known` (*shape,) are put in on their line from the noise."""
        x_1, z = self.scaling.inner(x), torch.randn_like(x)
        velocity, state = self.velocity(None, 1.0), z
        times = torch.linspace(0, 1, steps + 1, device=x.device)
        for k, (now, then) in enumerate(pairwise(times), 1):
            state = torch.where(known, torch.lerp(z, x_1, now), state)
            state = state + (then - now) * velocity(state, now)
            yield torch.where(
                known, x, self.scaling.samples(state, None) if k == steps else self.scaling.restore(state)
            )

    @torch.no_grad()
    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx = (t v - x_t)/(1 - t) of examples with a little noise, in the data's units: (n, *shape)."""
        t, inner = x.new_tensor(SCORE_TIME), self.scaling.inner(x)
        x_t = t * inner
        score = (t * self.velocity(None, 1.0)(x_t, t) - x_t) / (1 - t)
        return t * score / self.scaling.scale

    def flow_log_prob(self, x: Tensor) -> Tensor | None:
        """log p(x) in nats by the ODE, (n,); None for binary data, which have no density. For grey levels it is a lower bound."""
        if self.data.support == "binary":
            return None
        u, log_volume = self.scaling.dequantised(x)
        return self.log_density(u) + log_volume

    def log_density(self, x: Tensor) -> Tensor:
        """log of the density that the ODE gives to x (n, *shape) in inner units, from t = 1 back to the noise: (n,), in nats."""
        times = torch.linspace(1, 0, ODE_STEPS + 1, device=x.device)
        z, integral = integrate_with_divergence(self.velocity(None, 1.0), x, times)
        return log_standard_normal(z) + integral


def nearest_partners(x: Tensor, z: Tensor) -> Tensor:
    """The permutation p that makes sum_i ||x_i - z_p(i)||^2 least, (n,)."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(x.flatten(1), z.flatten(1)).square()
    _, partners = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(partners).to(x.device)
