"""Conditional flow matching (Lipman et al. 2023; Liu et al. 2023; Albergo & Vanden-Eijnden 2023): the simplest sibling of
diffusion.

Between noise z ~ N(0, I) and data x lies the straight line x_t = (1 - t) z + t x (here t = 1 is the data). A network v(x_t, t)
learns its velocity by least squares,

    E_t,z,x ||v(x_t, t) - (x - z)||^2,

whose optimum is the mean velocity of all lines through x_t, and the ODE dx/dt = v(x, t) carries N(0, I) to the data: samples by
integrating it forwards, log p(x) by going back (gradual/ode.py). For Gaussian data with standard deviations s_i the least loss is
pi/2 sum_i s_i: lines that cross cost what no network can learn.

    coupling   independent: any z with any x; ot: within a batch, z and x are paired by the least sum of ||x - z||^2, so that
               fewer lines cross (Tong et al. 2024; Pooladian et al. 2023)
    reflow     in the last share of the training so large, z is paired with what the flow made of it until then, so that the lines
               do not cross at all (rectified flow: Liu et al. 2023); such a batch costs as many evaluations more as
               `reflow_steps`
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, Fraction, NonNegative, Share, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, Metrics, Quantity
from genlab.models.diffusion.denoiser import GradualModel, repeated
from genlab.models.diffusion.ode import (
    EVALUATIONS,
    Method,
    Velocity,
    integrate,
    integrate_with_divergence,
    log_standard_normal,
)
from genlab.models.ema import FrozenCopy
from genlab.networks.time_conditioned import Backbone
from genlab.optimizers.recipe import Recipe

EVALUATED = 20  # evaluations of the velocity for a sample, unless `steps` says otherwise
FLOW_STEPS = 20  # back to the noise, for the likelihood
BINS = 10
SCORED = 0.9  # t at which the score is shown: where it is well estimated and near to that of the data
STRAIGHT = 64  # samples whose way is compared with a line


class FlowMatching(GradualModel):
    """Networks are those of diffusion models (networks/timed.py)."""

    taught: Tensor

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "velocity_error": Quantity("squared error"),
    }
    samplers = tuple(EVALUATIONS)
    charts: ClassVar[Charts] = {
        "squared error of the velocity by time": [rf"monitor/velocity_mse_{k}$" for k in range(1, BINS + 1)],
        "distance of the flow from straight lines": ["monitor/curvature"],
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        network: Backbone,
        hidden: Widths | None,
        patch: Count | None,
        depth: Count | None,
        dropout: Share,
        coupling: Literal["independent", "ot"],
        reflow: Share,
        reflow_steps: Annotated[int, Field(ge=2)],
        average: Share,
        conditional: bool,
        label_dropout: Fraction,
    ) -> None:
        super().__init__(
            data,
            optimizer,
            network=network,
            hidden=hidden,
            patch=patch,
            depth=depth,
            dropout=dropout,
            average=average,
            conditional=conditional,
            label_dropout=label_dropout,
        )
        if coupling == "ot" and conditional:
            raise GenlabError(
                "model.coupling=ot pairs noise with examples of any class, which skews p(x|y); set model.coupling=independent"
            )
        if reflow and conditional:
            raise GenlabError(f"model.reflow={reflow}: pairs are drawn without classes; set model.conditional=false")
        self.paired, self.reflow, self.reflow_steps = coupling == "ot", reflow, reflow_steps
        self.teacher = FrozenCopy(self.network) if reflow else None
        self.register_buffer("taught", torch.zeros((), dtype=torch.bool))
        self.optimizers["flow"] = optimizer(self.network.parameters())

    @property
    def replayable(self) -> bool:
        return not self.paired and not self.reflow

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            x, y = self.scaling.inner(batch.x), self.classes_for_training(batch.y)
            z = torch.randn_like(x)
            if self.reflow and float(batch.progress) >= 1 - self.reflow:
                x = self.arrival(z)
            elif self.paired:
                z = z[nearest_partners(x, z)]
            t = self.times(len(x))
            loss = self.error(x, z, t, y, self.network).mean() / self.data.dim
            self.descend(self.optimizers["flow"], loss)
            self.update_ema()
            yield {"loss": loss.detach()}

    def times(self, n: int) -> Tensor:
        """n times that cover [0, 1] evenly, in random order."""
        return (torch.randperm(n, device=self.device) + torch.rand((), device=self.device)) / n

    def error(self, x: Tensor, z: Tensor, t: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """||v(x_t, t) - (x - z)||^2, (n,)."""
        x_t = torch.lerp(z, x, t.view(-1, *[1] * (x.ndim - 1)))
        v: Tensor = network(x_t, t, y).float()
        return (v - (x - z)).square().flatten(1).sum(1)

    @torch.no_grad()
    def arrival(self, z: Tensor) -> Tensor:
        """Where the flow, as it was when reflow began, carries z."""
        assert self.teacher is not None
        if not self.taught:
            self.teacher.take(self.ema_network)
            self.taught.fill_(True)
        teacher = self.teacher

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            out: Tensor = teacher(x, t.expand(len(x)), None).float()
            return out

        times = torch.linspace(0, 1, self.reflow_steps + 1, device=z.device)
        (x,) = deque(integrate(velocity, z, times, "euler"), maxlen=1)
        return x

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """The loss of the averaged network, with independent pairs, per component and summed: (n,)."""
        x = self.scaling.inner(batch.x)
        error = self.error(x, torch.randn_like(x), self.times(len(x)), self.one_hot(batch.y), self.ema_network)
        return {"loss": error / self.data.dim, "velocity_error": error}

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Squared error of the velocity per component in so many parts of [0, 1], and the curvature of the flow."""
        x = repeated(self.scaling.inner(train if held_out is None else held_out), BINS)
        t = (torch.arange(len(x), device=x.device) + 0.5) / len(x)
        error = self.error(x, torch.randn_like(x), t, None, self.ema_network) / self.data.dim
        found = {f"velocity_mse_{k}": part.mean() for k, part in enumerate(error.tensor_split(BINS), 1)}
        return found | {"curvature": self.curvature(min(STRAIGHT, len(x)))}

    def curvature(self, n: int) -> Tensor:
        """int_0^1 E ||(x_1 - x_0) - v(x_t, t)||^2 dt per component along the flow: 0 for straight lines (Liu et al. 2023)."""
        z = torch.randn(n, *self.data.shape, device=self.device)
        times = torch.linspace(0, 1, EVALUATED + 1, device=self.device)
        states = torch.stack([z, *integrate(self.velocity(None, 1.0), z, times, "euler")])
        steps = states.diff(dim=0) * EVALUATED
        return (steps - (states[-1] - z)).square().mean()

    def velocity(self, y: Tensor | None, guidance: float) -> Velocity:
        """The averaged network's v(x, t), leaning towards classes y."""
        return lambda x, t: self.answer(x, t.expand(len(x)), y, guidance)

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
        steps = steps or EVALUATED // EVALUATIONS[sampler]
        velocity = self.velocity(self.wanted(labels, n), self.check_guidance(guidance))
        z = torch.randn(n, *self.data.shape, device=self.device)
        times = torch.linspace(0, 1, steps + 1, device=self.device)
        yield self.scaling.restore(z)
        for k, x in enumerate(integrate(velocity, z, times, sampler), 1):
            yield self.finished(x, mean) if k == steps else self.scaling.restore(x)

    @torch.no_grad()
    def inpaint_loop(self, x: Tensor, known: Tensor, steps: int = 50) -> Iterator[Tensor]:
        """Euler steps in which, at every time, what is `known` (of shape `shape`) of x is put in on its line from the noise."""
        x_1, z = self.scaling.inner(x), torch.randn_like(x)
        velocity, state = self.velocity(None, 1.0), z
        times = torch.linspace(0, 1, steps + 1, device=x.device)
        for k, (now, then) in enumerate(pairwise(times), 1):
            state = torch.where(known, torch.lerp(z, x_1, now), state)
            state = state + (then - now) * velocity(state, now)
            yield torch.where(known, x, self.finished(state, None) if k == steps else self.scaling.restore(state))

    @torch.no_grad()
    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx = (t v - x_t)/(1 - t) of examples with a little noise, in the data's units: (n, *shape)."""
        t, inner = x.new_tensor(SCORED), self.scaling.inner(x)
        x_t = t * inner
        score = (t * self.velocity(None, 1.0)(x_t, t) - x_t) / (1 - t)
        return t * score / self.scaling.scale

    def log_density(self, x: Tensor) -> Tensor:
        """By the ODE from t = 1 back to the noise."""
        times = torch.linspace(1, 0, FLOW_STEPS + 1, device=x.device)
        z, gathered = integrate_with_divergence(self.velocity(None, 1.0), x, times)
        return log_standard_normal(z) + gathered


def nearest_partners(x: Tensor, z: Tensor) -> Tensor:
    """The permutation p that makes sum_i ||x_i - z_p(i)||^2 least, (n,)."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(x.flatten(1), z.flatten(1)).square()
    _, partners = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(partners).to(x.device)
