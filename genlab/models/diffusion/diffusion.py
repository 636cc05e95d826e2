"""Variational diffusion model (Sohl-Dickstein et al. 2015; Ho et al. 2020; Kingma et al. 2021; the lecture after Luo 2022).

A Markovian hierarchical VAE whose latents have the dimension of x_0 and whose encoder is fixed, q(x_t|x_{t-1}) =
N(sqrt(alpha_t) x_{t-1}, (1 - alpha_t) I), so that with alpha_bar_t = prod_s alpha_s (schedules.py)

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,   eps ~ N(0, I),   and x_T ~ N(0, I) nearly.

The network estimates x_0 from x_t, and p(x_{t-1}|x_t) = q(x_{t-1}|x_t, x_0 = x_hat(x_t)). Then

    log p(x_0) >= E log p(x_0|x_1)                                        reconstruction (reconstruction.py)
                  - KL(q(x_T|x_0) || p(x_T))                              prior matching
                  - sum_{t=2}^T E KL(q(x_{t-1}|x_t, x_0) || p(x_{t-1}|x_t))   denoising matching, each term

    1/2 (SNR_{t-1} - SNR_t) ||x_0 - x_hat||^2 = 1/2 expm1(gamma_t - gamma_{t-1}) ||eps - eps_hat||^2.

For ever finer levels the sum tends to the integral of 1/2 gamma'(t) ||eps - eps_hat||^2, which depends on the schedule by its
ends only. Pictures and binary data are modelled in [-1, 1], vectors in units of their standard deviations.

    prediction    what the network predicts (prediction.py): eps, x0, v
    objective     simple: the squared error of the prediction, every level alike; elbo: the bound; min_snr: min(SNR, 5)
                  ||x_0 - x_hat||^2 (Hang et al. 2023); consistency: the lecture's first decomposition of the same bound
                  (consistency.py)
    steps         T; null: continuous time
    schedule      linear, cosine, or learned: its ends by the bound, and between them for a small variance of the loss
    average       samples and test values come from a running average of the network's parameters (Polyak & Juditsky 1992)
    conditional   the network sees the class; samples have classes, and guidance (guidance.py)
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, ClassVar, Literal, Unpack

import torch
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, NonNegative
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot
from genlab.models.diffusion.bound_charts import BINS, CHARTS, SCHEDULE_CHART
from genlab.models.diffusion.consistency import consistency, consistency_terms
from genlab.models.diffusion.forward_process import ForwardProcess
from genlab.models.diffusion.guidance import (
    EMA_REACH,
    FourierArguments,
    build_network,
    drop_labels,
    guidance_weight,
    guided,
)
from genlab.models.diffusion.prediction import Prediction, estimate, network_time, noise_error, target
from genlab.models.diffusion.probability_flow import log_density
from genlab.models.diffusion.reconstruction import log_reconstruction
from genlab.models.diffusion.samplers import (
    STEPS,
    Sampler,
    default_steps,
    eta_of,
    inpaint_steps,
    sample_steps,
    sampling_gammas,
)
from genlab.models.diffusion.schedules import LearnedSchedule, ScheduleName, level, schedule_of
from genlab.models.ema import EMA
from genlab.models.scaling import Scaling
from genlab.numerics import shares
from genlab.optimizers.recipe import Recipe

MIN_SNR = 5.0
BOUND_DRAWS = 4  # levels for one example's bound
SCORE_SIGMA = 0.1  # sigma/alpha at which the score is shown: it is well estimated there and near to that of the data


class Diffusion(GenerativeModel):
    """The network is a U-Net, a transformer or a perceptron (networks/time_conditioned.py)."""

    supports = frozenset({"binary", "unit", "real"})
    samplers = tuple(STEPS)
    quantities: ClassVar[Mapping[str, Quantity]] = {
        "bound": Quantity("nats", "higher", lower_bound=True),
        "bound_given_class": Quantity("nats", "higher"),
        "reconstruction": Quantity("nats"),
        "prior": Quantity("nats"),
        "denoising": Quantity("nats"),
        "noise_mse": Quantity("squared error/component"),
    }
    charts: ClassVar[Charts] = CHARTS

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        steps: Annotated[int, Field(ge=3)] | None,
        schedule: ScheduleName,
        prediction: Prediction,
        objective: Literal["simple", "elbo", "min_snr", "consistency"],
        **network: Unpack[FourierArguments],
    ) -> None:
        super().__init__(data, optimizer)
        self.label_dropout = network["label_dropout"]
        self.num_classes = num_classes_of(data, network["conditional"])
        self.network = build_network(data, self.num_classes, **network)
        self.ema = EMA(self.network, network["average"], EMA_REACH) if network["average"] else None
        self.scaling = Scaling.of(data)
        self.discrete = data.support == "binary" or data.levels is not None
        if objective == "consistency" and (steps is None or schedule == "learned"):
            raise GenlabError(
                "model.objective=consistency compares neighbouring levels of a fixed schedule; set model.steps=1000 and "
                "model.schedule=cosine"
            )
        if schedule == "learned" and objective != "elbo":
            raise GenlabError(
                f"model.schedule=learned is learned from the bound, not from model.objective={objective}; "
                "set model.objective=elbo"
            )
        self.steps, self.prediction, self.objective = steps, prediction, objective
        self.schedule = schedule_of(schedule, steps)
        self.process = ForwardProcess(self.schedule, steps)
        self.optimizers["diffusion"] = optimizer([*self.network.parameters(), *self.schedule.parameters()])

    def layout(self) -> Charts:
        learned = isinstance(self.schedule, LearnedSchedule)
        return {title: names for title, names in self.charts.items() if learned or title != SCHEDULE_CHART}

    # Training

    @property
    def replayable(self) -> bool:
        return self.objective != "consistency"

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["diffusion"]
        for batch in batches:
            x, y = self.scaling.inner(batch.x), drop_labels(self.one_hot(batch.y), self.label_dropout)
            if isinstance(self.schedule, LearnedSchedule):
                yield self.update_with_schedule(self.schedule, x, batch.x, y)
                continue
            metrics = {name: values.mean() for name, values in self.loss(x, y, self.network).items()}
            self.descend(optimizer, metrics["loss"])
            self.update_ema()
            yield {name: value.detach() for name, value in metrics.items()}

    def update_with_schedule(self, schedule: LearnedSchedule, x: Tensor, x_0: Tensor, y: Tensor | None) -> Metrics:
        """One update of the network and of the schedule by the bound of examples, `x` in inner units and `x_0` in the data's.

        In continuous time the bound does not depend on the schedule between its ends. There the schedule moves so that the
        variance of the loss falls: down the gradient of loss^2 (Kingma et al. 2021).
        """
        optimizer, t = self.optimizers["diffusion"], self.process.times(len(x))
        denoising = self.denoising(x, t, self.process.step_weights(t), y, self.network)
        loss = (denoising + self.process.prior(x) - self.reconstruction(x, x_0)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.steps is None:
            for parameter in schedule.interior():
                assert parameter.grad is not None, "the loss depends on the whole schedule"
                parameter.grad.mul_(2 * shares.whole_mean(loss.detach()))
        self.update(optimizer)
        self.update_ema()
        first, last = (gamma.detach().clone() for gamma in schedule.ends())
        return {"loss": loss.detach(), "gamma_0": first, "gamma_1": last}

    def loss(self, x: Tensor, y: Tensor | None, network: nn.Module) -> Metrics:
        """The loss of each example x (n, *shape) in inner units, and what goes with it, (n,)."""
        if self.objective == "consistency":
            return {"loss": consistency(self.process, x, lambda x_t, gamma: self.x_hat(x_t, gamma, y, network))}
        if self.objective == "elbo":
            ((t, weights),) = zip(*self.process.bound_levels(len(x)), strict=True)
            return {"loss": self.denoising(x, t, weights, y, network)}
        t = self.process.times(len(x))
        error = self.error(x, t, y, network) / self.data.dim
        gamma = self.schedule.gamma(t)
        noise_mse = noise_error(self.prediction, error, gamma)
        if self.objective == "min_snr":
            error = noise_mse * torch.exp(gamma) * torch.exp(-gamma).clamp_max(MIN_SNR)
        return {"loss": error, "noise_mse": noise_mse}

    def error(self, x: Tensor, t: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """Squared error of what the network predicts at times t (n,), summed over components: (n,)."""
        x_t, eps, gamma, at = self.process.noised(x, t)
        out = network(x_t, network_time(gamma), y).float()
        error: Tensor = (target(self.prediction, x, eps, at) - out).square().flatten(1).sum(1)
        return error

    def noise_error(self, x: Tensor, t: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """||eps - eps_hat||^2 at times t (n,): (n,)."""
        return noise_error(self.prediction, self.error(x, t, y, network), self.schedule.gamma(t))

    def denoising(self, x: Tensor, t: Tensor, weights: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """An unbiased estimate of the sum of the denoising terms from one level for each example, (n,), in nats."""
        return weights * self.noise_error(x, t, y, network)

    def reconstruction(self, x: Tensor, x_0: Tensor) -> Tensor:
        """log p(x_0|x_1) for a draw of x_1, (n,), in nats."""
        first, _ = self.schedule.ends()
        return log_reconstruction(level(first), self.scaling, x, x_0)

    def x_hat(self, x_t: Tensor, gamma: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """The estimate of x_0 by `network`, from x_t (n, *shape) and its gamma (n,)."""
        return estimate(self.prediction, x_t, gamma, network(x_t, network_time(gamma), y).float())

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
        """Loss, bound and its terms by the averaged network; for a conditional model the bound on log p(x|y)."""
        y = self.one_hot(batch.y)
        metrics = self.bound_terms(batch.x, y)
        learned = isinstance(self.schedule, LearnedSchedule)
        loss = {"loss": -metrics["bound"]} if learned else self.loss(self.scaling.inner(batch.x), y, self.ema_network)
        if y is not None:
            metrics["bound_given_class"] = metrics.pop("bound")
        return loss | metrics

    def bound_terms(self, x_0: Tensor, y: Tensor | None, draws: int = 1) -> Metrics:
        """The bound and its three terms, each an unbiased estimate in nats, from `draws` levels for each example: (n,).

        The x_hat is that of the samples, which stays within the range of the data.
        """
        x = self.scaling.inner(x_0)
        sums = []
        for t, weights in zip(*self.process.bound_levels(len(x), draws), strict=True):
            x_t, _, gamma, _ = self.process.noised(x, t)
            x_hat = self.denoise(x_t, gamma, y)
            sums.append(weights * (torch.exp(-gamma) * (x - x_hat).square().flatten(1).sum(1)))
        metrics = {
            "reconstruction": self.reconstruction(x, x_0),
            "prior": self.process.prior(x),
            "denoising": torch.stack(sums).mean(0),
        }
        return {"bound": metrics["reconstruction"] - metrics["prior"] - metrics["denoising"], **metrics}

    @torch.no_grad()
    def log_bound(self, x: Tensor) -> Tensor:
        """The variational bound on log p(x): (n,), in nats."""
        return self.bound_terms(x, None, BOUND_DRAWS)["bound"]

    @torch.no_grad()
    def bound_estimates(self, x: Tensor) -> dict[str, Tensor]:
        """The bound by its denoising terms and by the lecture's consistency terms, from one level for each example."""
        if self.steps is None:
            return {}
        inner = self.scaling.inner(x)
        by_neighbours = consistency_terms(self.process, inner, self.denoise, self.reconstruction(inner, x))
        return {"noise form": self.bound_terms(x, None)["bound"], "consistency form": by_neighbours["bound"]}

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Mean of ||eps - eps_hat||^2 per component in BINS parts of the levels, from the least noise to the most."""
        x = self.scaling.inner(train if held_out is None else held_out)
        x = x[torch.arange(max(BINS, len(x)), device=x.device) % len(x)]  # an example for each part at least
        t = (torch.arange(len(x), device=x.device) + 0.5) / len(x)
        error = self.noise_error(x, t, None, self.ema_network) / self.data.dim
        return {f"noise_mse_{k}": part.mean() for k, part in enumerate(error.tensor_split(BINS), 1)}

    # Sampling

    def denoise(self, x: Tensor, gamma: Tensor, y: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """x_hat of x_t (n, *shape) at gamma, a scalar or (n,), by the averaged network, within the range of the data."""
        gammas = gamma.expand(len(x)).to(x.device)
        out = guided(self.ema_network, x, network_time(gammas), y, guidance)
        x_hat = estimate(self.prediction, x, gammas, out)
        return x_hat if self.data.support == "real" else x_hat.clamp(-1, 1)

    @torch.no_grad()
    def sample_loop(
        self,
        n: int,
        sampler: Sampler = "dpm_solver",
        steps: Count | None = None,
        labels: list[int] | int | None = None,
        guidance: NonNegative | None = None,
        eta: Annotated[float, Field(ge=0, le=1)] | None = None,
        mean: bool | None = None,
    ) -> Iterator[Tensor]:
        """x_T ~ N(0, I), then x_t at each level of the `sampler`, and x_hat at the last (samplers.py).

        `steps` levels; `eta` is the share of fresh noise of ddim (default 0) and dpm_solver (1). Raises GenlabError for others.
        """
        eta = eta_of(sampler, steps, eta)
        y = classes_to_sample(labels, n, self.num_classes, self.device)
        weight = guidance_weight(guidance, self.num_classes)
        x = torch.randn(n, *self.data.shape, device=self.device)
        steps = steps or default_steps(sampler, self.data.on_grid, self.steps)
        gammas = sampling_gammas(sampler, steps, self.schedule, self.steps)

        def denoise(x: Tensor, gamma: Tensor) -> Tensor:
            return self.denoise(x, gamma, y, weight)

        yield self.scaling.restore(x)
        for x_s, gamma in sample_steps(x, gammas, denoise, sampler, eta):
            yield self.scaling.restore(x_s) if gamma is not None else self.scaling.samples(x_s, mean)

    @torch.no_grad()
    def inpaint_loop(
        self, x: Tensor, known: Tensor, steps: int = 50, labels: list[int] | int | None = None
    ) -> Iterator[Tensor]:
        """Ancestral sampling in which the components of x at `known` (*shape,) stay (samplers.py)."""
        y = None if labels is None else classes_to_sample(labels, len(x), self.num_classes, self.device)
        gammas = sampling_gammas("ancestral", min(steps, self.steps or steps), self.schedule, self.steps)

        def denoise(x_t: Tensor, gamma: Tensor) -> Tensor:
            return self.denoise(x_t, gamma, y)

        for x_s, gamma in inpaint_steps(self.scaling.inner(x), known, gammas, denoise):
            filled = self.scaling.restore(x_s) if gamma is not None else self.scaling.samples(x_s, None)
            yield torch.where(known, x, filled)

    # Likelihood and score by the probability-flow ODE

    def flow_log_prob(self, x: Tensor) -> Tensor | None:
        """log p(x) in nats by the ODE, (n,); None for binary data, which have no density. For grey levels it is a lower bound."""
        if self.data.support == "binary":
            return None
        u, log_volume = self.scaling.dequantised(x)
        return self.log_density(u) + log_volume

    def log_density(self, x: Tensor) -> Tensor:
        """log of the density that the probability-flow ODE gives to x (n, *shape) in inner units: (n,), in nats."""

        def x_hat(z: Tensor, gamma: Tensor) -> Tensor:
            alpha = level(gamma, z).alpha
            return estimate(self.prediction, alpha * z, gamma, guided(self.ema_network, alpha * z, network_time(gamma)))

        return log_density(x, x_hat, self.schedule)

    @torch.no_grad()
    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx = -eps_hat/sigma of examples with a little noise, in the data's units: (n, *shape)."""
        gamma = x.new_tensor(2 * math.log(SCORE_SIGMA)).expand(len(x))
        at, inner = level(gamma, x), self.scaling.inner(x)
        x_hat = self.x_hat(at.alpha * inner, gamma, None, self.ema_network)
        return (x_hat - inner) / (SCORE_SIGMA**2 * self.scaling.scale)
