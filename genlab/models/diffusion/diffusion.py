"""Variational diffusion model (Sohl-Dickstein et al. 2015; Ho et al. 2020; Kingma et al. 2021; the lecture after Luo 2022).

A Markovian hierarchical VAE whose latents have the dimension of x_0 and whose encoder is fixed, q(x_t|x_{t-1}) =
N(sqrt(alpha_t) x_{t-1}, (1 - alpha_t) I), so that with alpha_bar_t = prod_s alpha_s (the schedule: gradual/noise.py)

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,   eps ~ N(0, I),   and x_T ~ N(0, I) nearly.

The network estimates x_0 from x_t, and p(x_{t-1}|x_t) = q(x_{t-1}|x_t, x_0 = x_hat(x_t)). Then

    log p(x_0) >= E log p(x_0|x_1)                                        reconstruction
                  - KL(q(x_T|x_0) || p(x_T))                              prior matching
                  - sum_{t=2}^T E KL(q(x_{t-1}|x_t, x_0) || p(x_{t-1}|x_t))   denoising matching, each term

    1/2 (SNR_{t-1} - SNR_t) ||x_0 - x_hat||^2 = 1/2 expm1(gamma_t - gamma_{t-1}) ||eps - eps_hat||^2,

(the terms: gradual/bound.py), and for ever finer levels the sum is the integral of 1/2 gamma'(t) ||eps - eps_hat||^2, which
depends on the schedule by its ends only. p(x_0|x_1) is q(x_1|x_0) as a function of x_0, normalised over the values that x_0
can take.

    prediction    what the network puts out: eps, x0 or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans & Ho 2022)
    objective     simple: its squared error, every level alike; elbo: the bound; min_snr: min(SNR, 5) ||x_0 - x_hat||^2 (Hang
                  et al. 2023); consistency: the lecture's first decomposition of the same bound (gradual/consistency.py)
    steps         T; null: continuous time
    schedule      linear, cosine, or learned with its ends by the bound, and between them for a small variance of the loss
"""

import math
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
from genlab.models.diffusion.bound import BoundedModel, Prediction, added_noise, told_of
from genlab.models.diffusion.consistency import consistency
from genlab.models.diffusion.denoiser import Waves, repeated
from genlab.models.diffusion.ode import integrate_with_divergence, log_standard_normal
from genlab.models.diffusion.samplers import LOUDEST, Sampler, karras_gammas, leaping_gammas, posterior, sample_steps
from genlab.models.diffusion.schedules import LearnedSchedule, ScheduleName, level, schedule_of
from genlab.networks.time_conditioned import Backbone
from genlab.optimizers.recipe import Recipe

Objective = Literal["simple", "elbo", "min_snr", "consistency"]

MIN_SNR = 5.0
BINS = 10  # of noise levels, for the log
STEPS: dict[str, int] = {"ancestral": 250, "ddim": 50, "heun": 10, "dpm_solver": 20}
STEPS_OF_VECTORS = STEPS | {"heun": 40, "dpm_solver": 80}  # whose networks cost little
ETA: dict[str, float] = {"ddim": 0.0, "dpm_solver": 1.0}  # of those samplers that have it
SPACING = {"heun": karras_gammas, "dpm_solver": leaping_gammas}  # of levels, where it is not even in time
FLOW_STEPS = 20  # of the ODE, for the likelihood
ENDS = "ends of the schedule"
SCORED = 0.1  # sigma/alpha at which the score is shown: where it is well estimated and near to that of the data


class Diffusion(BoundedModel):
    """The network is a U-Net, a transformer or a perceptron (networks/timed.py)."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "bound": Quantity("nats", "higher", lower_bound=True),
        "bound_given_class": Quantity("nats", "higher"),
        "reconstruction": Quantity("nats"),
        "prior": Quantity("nats"),
        "denoising": Quantity("nats"),
        "noise_mse": Quantity("squared error/component"),
    }
    samplers = tuple(STEPS)
    charts: ClassVar[Charts] = {
        "the bound and its terms": ["eval/bound", "eval/reconstruction", "eval/prior", "eval/denoising"],
        "squared error of the noise by level": [rf"monitor/noise_mse_{k}$" for k in range(1, BINS + 1)],
        ENDS: ["train/gamma_0", "train/gamma_1"],
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
        steps: Annotated[int, Field(ge=3)] | None,
        schedule: ScheduleName,
        prediction: Prediction,
        objective: Objective,
        average: Share,
        conditional: bool,
        label_dropout: Fraction,
        fourier: Waves = None,  # runs older than this key have none
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
            fourier=fourier,
        )
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
        self.optimizers["diffusion"] = optimizer([*self.network.parameters(), *self.schedule.parameters()])

    def layout(self) -> Charts:
        return {
            title: names
            for title, names in self.charts.items()
            if title != ENDS or isinstance(self.schedule, LearnedSchedule)
        }

    @property
    def replayable(self) -> bool:
        return self.objective != "consistency"

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["diffusion"]
        for batch in batches:
            x, y = self.scaling.inner(batch.x), self.classes_for_training(batch.y)
            if isinstance(self.schedule, LearnedSchedule):
                yield self.learn_schedule_too(x, batch.x, y)
                continue
            found = {name: values.mean() for name, values in self.loss(x, y, self.network).items()}
            self.descend(optimizer, found["loss"])
            self.update_ema()
            yield {name: value.detach() for name, value in found.items()}

    def learn_schedule_too(self, x: Tensor, x_0: Tensor, y: Tensor | None) -> Metrics:
        """One update of the network and of the schedule by the bound. In continuous time it is the same whatever the schedule
        between its ends, which then moves so that the loss scatters less: down the gradient of loss^2 (Kingma et al. 2021).
        """
        assert isinstance(self.schedule, LearnedSchedule)
        optimizer, t = self.optimizers["diffusion"], self.times(len(x))
        denoising = self.denoising(x, t, self.step_weights(t), y, self.network)
        loss = (denoising + self.prior(x) - self.reconstruction(x, x_0)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.steps is None:
            for parameter in self.schedule.interior():
                assert parameter.grad is not None, "the loss depends on the whole schedule"
                parameter.grad.mul_(2 * loss.detach())
        self.update(optimizer)
        self.update_ema()
        ends = (gamma.detach() for gamma in self.schedule.ends())
        return {"loss": loss.detach(), **dict(zip(("gamma_0", "gamma_1"), ends, strict=True))}

    def simple(self, x: Tensor, y: Tensor | None, network: nn.Module) -> tuple[Tensor, Tensor]:
        """The weighed squared error of what the network predicts, and that of eps, both per component, (n,)."""
        t = self.times(len(x))
        error = self.error(x, t, y, network) / self.data.dim
        noise_error = self.noise_error(error, t)
        if self.objective == "min_snr":
            gamma = self.schedule.gamma(t)
            error = noise_error * torch.exp(gamma) * torch.exp(-gamma).clamp_max(MIN_SNR)
        return error, noise_error

    def loss(self, x: Tensor, y: Tensor | None, network: nn.Module) -> Metrics:
        """The loss of each example and what goes with it, (n,)."""
        if self.objective == "consistency":
            return {"loss": consistency(self, x, y, network)}
        if self.objective == "elbo":
            return {"loss": self.denoising(x, *self.bound_levels(len(x)), y, network)}
        error, noise_error = self.simple(x, y, network)
        return {"loss": error, "noise_mse": noise_error}

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Loss, bound and its terms by the averaged network; of a conditional model the bound on log p(x|y)."""
        y = self.one_hot(batch.y)
        found = self.terms(batch.x, y)
        learned = isinstance(self.schedule, LearnedSchedule)
        loss = {"loss": -found["bound"]} if learned else self.loss(self.scaling.inner(batch.x), y, self.ema_network)
        if y is not None:
            found["bound_given_class"] = found.pop("bound")
        return loss | found

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Mean of ||eps - eps_hat||^2 per component, in so many parts of the levels, from the least noise to the most."""
        x = repeated(self.scaling.inner(train if held_out is None else held_out), BINS)
        t = (torch.arange(len(x), device=x.device) + 0.5) / len(x)
        error = self.noise_error(self.error(x, t, None, self.ema_network), t) / self.data.dim
        return {f"noise_mse_{k}": part.mean() for k, part in enumerate(error.tensor_split(BINS), 1)}

    def denoise(self, x: Tensor, gamma: Tensor, y: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """x_hat of x_t (n, *shape) at one gamma, within the range of the data."""
        gammas = gamma.expand(len(x)).to(x.device)
        return self.bounded(self.estimate(x, gammas, self.answer(x, told_of(gammas), y, guidance)))

    def gammas(self, sampler: Sampler, steps: int) -> Tensor:
        """So many levels, the loudest first: evenly spaced in time, or as SPACING has it."""
        if sampler in SPACING:
            first, last = (float(end.detach()) for end in self.schedule.ends())
            return SPACING[sampler](steps, first, last).to(self.device)
        if self.steps is not None and steps > self.steps:
            raise GenlabError(
                f"steps={steps}: the model has {self.steps} levels of noise; set steps={self.steps} or fewer"
            )
        t = torch.linspace(1, 0, steps, device=self.device)
        if self.steps is not None:
            t = (t * (self.steps - 1)).round() / (self.steps - 1)
        return self.schedule.gamma(t).detach()

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
        """x_T ~ N(0, I), then x_t at each level of the `sampler` and x_hat at the last (gradual/denoising_steps.py).

        `steps` levels; `eta` is the share of fresh noise of ddim (0 unless given) and of dpm_solver (1). Raises
        GenlabError for what is not there.
        """
        if sampler not in STEPS:
            raise GenlabError(f"sampler={sampler}: model=diffusion has {', '.join(STEPS)}")
        if eta is not None and sampler not in ETA:
            raise GenlabError(f"eta={eta}: only sampler=ddim and dpm_solver have it, not {sampler}; leave eta out")
        if steps is not None and steps < 2:
            raise GenlabError(f"steps={steps}: a sampler goes through 2 levels of noise or more")
        y, weight = self.wanted(labels, n), self.check_guidance(guidance)
        share = ETA.get(sampler, 0.0) if eta is None else eta
        x = torch.randn(n, *self.data.shape, device=self.device)
        default = (STEPS if self.data.is_image else STEPS_OF_VECTORS)[sampler]
        gammas = self.gammas(sampler, steps or min(default, self.steps or default))

        def denoise(x: Tensor, gamma: Tensor) -> Tensor:
            return self.denoise(x, gamma, y, weight)

        yield self.scaling.restore(x)
        for x_s, gamma in sample_steps(x, gammas, denoise, sampler, share):
            yield self.finished(x_s, mean) if gamma is None else self.scaling.restore(x_s)

    @torch.no_grad()
    def inpaint_loop(
        self, x: Tensor, known: Tensor, steps: int = 50, labels: list[int] | int | None = None
    ) -> Iterator[Tensor]:
        """Ancestral sampling in which, at every level, what is `known` (of shape `shape`) of x is put in with that level's noise.

        Each step is taken twice, the second time from where the first one got, noised again (Lugmayr et al. 2022).
        """
        x_0, y = self.scaling.inner(x), None if labels is None else self.wanted(labels, len(x))
        gammas = self.gammas("ancestral", min(steps, self.steps or steps))
        state = torch.randn_like(x_0)
        for t, s in pairwise(gammas):
            for again in (True, False):
                mean, sigma = posterior(state, self.denoise(state, t, y), t, s)
                drawn = mean + sigma * torch.randn_like(state)
                at = level(s)
                drawn = torch.where(known, at.alpha * x_0 + at.sigma * torch.randn_like(x_0), drawn)
                if again:
                    added = added_noise(s, t)
                    state = (1 - added).sqrt() * drawn + added.sqrt() * torch.randn_like(state)
            state = drawn
            yield torch.where(known, x, self.scaling.restore(state))
        yield torch.where(known, x, self.finished(self.denoise(state, gammas[-1], y), None))

    def log_density(self, x: Tensor) -> Tensor:
        """By the probability-flow ODE dx~/d log(sigma~) = sigma~ eps_hat of x~ = x_t/alpha_t, sigma~ = sigma_t/alpha_t, in
        steps of even ratio, from x at the least noise to N(0, I) (Song et al. 2021).
        """
        first, last = (float(end.detach()) for end in self.schedule.ends())
        far = max(-first, 2 * math.log(LOUDEST))  # where x~ is noise
        times = torch.linspace(first, min(last, far), FLOW_STEPS + 1, device=x.device) / 2  # log sigma~

        def velocity(z: Tensor, log_sigma: Tensor) -> Tensor:
            gamma = 2 * log_sigma.expand(len(z))
            at = level(gamma, z)
            x_hat = self.estimate(at.alpha * z, gamma, self.answer(at.alpha * z, told_of(gamma)))
            return z - x_hat

        z, gathered = integrate_with_divergence(velocity, x, times)
        alpha = level(2 * times[-1]).alpha
        return log_standard_normal(alpha * z) + self.data.dim * alpha.log() + gathered

    @torch.no_grad()
    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx = -eps_hat/sigma of examples with a little noise, in the data's units: (n, *shape)."""
        gamma = x.new_tensor(2 * math.log(SCORED)).expand(len(x))
        at, inner = level(gamma, x), self.scaling.inner(x)
        x_t = at.alpha * inner
        x_hat = self.estimate(x_t, gamma, self.answer(x_t, told_of(gamma)))
        return (x_hat - inner) / (SCORED**2 * self.scaling.scale)
