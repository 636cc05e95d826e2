"""Variational diffusion model (Sohl-Dickstein et al. 2015; Ho et al. 2020; Kingma et al. 2021; the lecture after Luo 2022).

A Markovian hierarchical VAE whose latents have the dimension of x_0 and whose encoder is fixed, q(x_t|x_{t-1}) =
N(sqrt(alpha_t) x_{t-1}, (1 - alpha_t) I), so that with alpha_bar_t = prod_s alpha_s (the schedule: noise.py)

    x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,   eps ~ N(0, I),   and x_T ~ N(0, I) nearly.

The network estimates x_0 from x_t, and p(x_{t-1}|x_t) = q(x_{t-1}|x_t, x_0 = x_hat(x_t)). Then

    log p(x_0) >= E log p(x_0|x_1)                                        reconstruction
                  - KL(q(x_T|x_0) || p(x_T))                              prior matching
                  - sum_{t=2}^T E KL(q(x_{t-1}|x_t, x_0) || p(x_{t-1}|x_t))   denoising matching, each term

    1/2 (SNR_{t-1} - SNR_t) ||x_0 - x_hat||^2 = 1/2 expm1(gamma_t - gamma_{t-1}) ||eps - eps_hat||^2,

and for ever finer levels the sum is the integral of 1/2 gamma'(t) ||eps - eps_hat||^2, which depends on the schedule by its
ends only. p(x_0|x_1) is q(x_1|x_0) as a function of x_0, normalised over the values that x_0 can take.

    prediction    what the network puts out: eps, x0 or v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x_0 (Salimans & Ho 2022)
    objective     simple: its squared error, every level alike; elbo: the bound; min_snr: min(SNR, 5) ||x_0 - x_hat||^2 (Hang
                  et al. 2023); consistency: the lecture's first decomposition of the same bound, with terms for t = 1..T-1

                      E log q(x_t|x_{t-1}) - log p(x_t|x_{t+1}),   x_{t-1}, x_t, x_{t+1} drawn from one chain.

                  The lecture writes it as KL(q(x_t|x_{t-1}) || p(x_t|x_{t+1})); but given both neighbours x_t is not
                  distributed as given one, so x_t too has to be drawn. It aims at a noisy x_t where the form above has its
                  mean: the same expectation and far higher variance. Its prior term KL(q(x_T|x_{T-1}) || p(x_T)) is large; the
                  entropies cancel in the sum.
    steps         T; null: continuous time
    schedule      linear, cosine, or learned with its ends by the bound, and between them for a small variance of the loss
"""

import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, Metrics
from genlab.models.denoising_steps import Sampler, descent, karras_gammas, posterior
from genlab.models.gradual import Count, GradualModel, Part, Share, Widths
from genlab.models.noise import Level, Monotone, Schedule, ScheduleName, Table, level, schedule
from genlab.models.ode import carried, log_standard_normal
from genlab.networks.timed import Backbone
from genlab.numerics import logsigmoid, softplus
from genlab.optimizers import Recipe

Prediction = Literal["eps", "x0", "v"]
Objective = Literal["simple", "elbo", "min_snr", "consistency"]

MIN_SNR = 5.0
GAMMAS = (-15.0, 15.0)  # that u = 0 and u = 1 stand for, as the network is told them
BINS = 10  # of noise levels, for the log
STEPS: dict[str, int] = {"ancestral": 250, "ddim": 50, "heun": 10, "dpm_solver": 20}
FLOW_STEPS = 20  # of the ODE, for the likelihood
SCORED = 0.1  # sigma/alpha at which the score is shown: where it is well estimated and near to that of the data
DRAWS = 8  # levels for one example's bound


class Diffusion(GradualModel):
    """The network is a U-Net, a transformer or a perceptron (networks/timed.py)."""

    schedule: Schedule

    samplers = tuple(STEPS)
    charts: ClassVar[Charts] = {
        "the bound and its terms": ["eval/bound", "eval/reconstruction", "eval/prior", "eval/denoising"],
        "squared error of the noise by level": [rf"monitor/noise_mse_{k}$" for k in range(1, BINS + 1)],
        "ends of the schedule": ["train/gamma_0", "train/gamma_1"],
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        network: Backbone,
        hidden: Widths,
        patch: Count | None,
        depth: Count | None,
        dropout: Share,
        steps: Annotated[int, Field(ge=3)] | None,
        schedule: ScheduleName,
        prediction: Prediction,
        objective: Objective,
        average: Share,
        conditional: bool,
        label_dropout: Part,
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
        self.schedule = _schedule(schedule, steps)
        self.optimizers["diffusion"] = optimizer([*self.network.parameters(), *self.schedule.parameters()])

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["diffusion"]
        for batch in batches:
            x, y = self.inner(batch.x), self.classes_for_training(batch.y)
            if isinstance(self.schedule, Monotone):
                yield self.learn_schedule_too(x, batch.x, y)
                continue
            found = {name: values.mean() for name, values in self.loss(x, y, self.network).items()}
            self.descend(optimizer, found["loss"])
            self.follow()
            yield {name: value.detach() for name, value in found.items()}

    def learn_schedule_too(self, x: Tensor, x_0: Tensor, y: Tensor | None) -> Metrics:
        """One update of the network and of the schedule by the bound. In continuous time it is the same whatever the schedule
        between its ends, which then moves so that the loss scatters less: down the gradient of loss^2 (Kingma et al. 2021).
        """
        assert isinstance(self.schedule, Monotone)
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
        self.follow()
        ends = (gamma.detach() for gamma in self.schedule.ends())
        return {"loss": loss.detach(), **dict(zip(("gamma_0", "gamma_1"), ends, strict=True))}

    def times(self, n: int) -> Tensor:
        """Times t of n levels that cover all of them evenly, in random order: (n,)."""
        u = (torch.randperm(n, device=self.device) + torch.rand((), device=self.device)) / n
        return u if self.steps is None else (u * self.steps).floor() / (self.steps - 1)

    def noised(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Level]:
        """x_t of x = x_0 at times t (n,), its eps, its gamma (n,), and its level."""
        gamma = self.schedule.gamma(t)
        at = level(gamma, x)
        eps = torch.randn_like(x)
        return at.alpha * x + at.sigma * eps, eps, gamma, at

    def error(self, x: Tensor, t: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """Squared error of what the network predicts, summed over components: (n,)."""
        x_t, eps, gamma, at = self.noised(x, t)
        target = {"eps": eps, "x0": x, "v": at.alpha * eps - at.sigma * x}[self.prediction]
        out = network(x_t, told_of(gamma), y).float()
        error: Tensor = (target - out).square().flatten(1).sum(1)
        return error

    def noise_error(self, error: Tensor, t: Tensor) -> Tensor:
        """||eps - eps_hat||^2 where the predicted quantity has the squared error `error`, (n,)."""
        gamma = self.schedule.gamma(t)
        return (
            error
            * {"eps": torch.ones_like(gamma), "v": torch.sigmoid(-gamma), "x0": torch.exp(-gamma)}[self.prediction]
        )

    def simple(self, x: Tensor, y: Tensor | None, network: nn.Module) -> tuple[Tensor, Tensor]:
        """The weighed squared error of what the network predicts, and that of eps, both per component, (n,)."""
        t = self.times(len(x))
        error = self.error(x, t, y, network) / self.data.dim
        noise_error = self.noise_error(error, t)
        if self.objective == "min_snr":
            gamma = self.schedule.gamma(t)
            error = noise_error * torch.exp(gamma) * torch.exp(-gamma).clamp_max(MIN_SNR)
        return error, noise_error

    def bound_levels(self, n: int) -> tuple[Tensor, Tensor]:
        """Times of n levels, and what each one's ||eps - eps_hat||^2 is to be multiplied with for an unbiased estimate of the sum
        over steps, in nats: (n,), (n,).

        Drawn evenly in gamma, where the terms are of one size; with a learned schedule, which sees to that, evenly in time.
        """
        if isinstance(self.schedule, Monotone):
            t = self.times(n)
            return t, self.step_weights(t)
        u = (torch.randperm(n, device=self.device) + torch.rand((), device=self.device)) / n
        assert isinstance(self.schedule, Table)
        t, density = self.schedule.evenly(u, whole=self.steps is not None)
        return t, self.step_weights(t) / density

    def step_weights(self, t: Tensor) -> Tensor:
        """The same for levels that are drawn evenly in time, (n,)."""
        if self.steps is None:
            return 0.5 * self.schedule.slope(t)
        before = self.schedule.gamma(
            (t - 1 / (self.steps - 1)).clamp_min(0)
        )  # of the first level, itself: there is no such step
        return 0.5 * self.steps * torch.expm1(self.schedule.gamma(t) - before)

    def denoising(self, x: Tensor, t: Tensor, weights: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """An unbiased estimate of the sum over steps from one level each, (n,), in nats."""
        return weights * self.noise_error(self.error(x, t, y, network), t)

    def prior(self, x: Tensor) -> Tensor:
        """KL(q(x_T|x_0) || N(0, I)), (n,), in nats."""
        _, last = self.schedule.ends()
        alpha_bar = torch.sigmoid(-last)
        return 0.5 * (alpha_bar * (x.square() - 1) + softplus(-last)).flatten(1).sum(1)

    def reconstruction(self, x: Tensor, x_0: Tensor) -> Tensor:
        """log p(x_0|x_1) for a draw of x_1, (n,), in nats; `x_0` in the data's units."""
        first, _ = self.schedule.ends()
        at = level(first)
        width, eps = at.sigma / at.alpha, torch.randn_like(x)
        if self.data.support == "binary":  # both points at the same distance from 0, x_1 nearer to one
            logit = 2 * (x + width * eps) / width.square()
            return logsigmoid(torch.where(x_0 > 0.5, logit, -logit)).flatten(1).sum(1)
        if self.data.levels is None:
            log_p = log_standard_normal(eps) - self.data.dim * width.log()
            return log_p - self.scale.log().sum()
        return log_nearest_level(eps, width, x_0, self.data.levels)

    def loss(self, x: Tensor, y: Tensor | None, network: nn.Module) -> Metrics:
        """The loss of each example and what goes with it, (n,)."""
        if self.objective == "consistency":
            return {"loss": self.consistency(x, y, network)}
        if self.objective == "elbo":
            return {"loss": self.denoising(x, *self.bound_levels(len(x)), y, network)}
        error, noise_error = self.simple(x, y, network)
        return {"loss": error, "noise_mse": noise_error}

    def terms(self, x_0: Tensor, y: Tensor | None, draws: int = 1) -> Metrics:
        """The bound and its three terms, each an unbiased estimate in nats, from so many levels an example: (n,)."""
        x = self.inner(x_0)
        steps = [self.denoising(x, *self.bound_levels(len(x)), y, self.judged) for _ in range(draws)]
        found = {
            "reconstruction": self.reconstruction(x, x_0),
            "prior": self.prior(x),
            "denoising": torch.stack(steps).mean(0),
        }
        return {"bound": found["reconstruction"] - found["prior"] - found["denoising"], **found}

    def consistency(self, x: Tensor, y: Tensor | None, network: nn.Module) -> Tensor:
        """An unbiased estimate of the sum over t = 1..T-1 of log q(x_t|x_{t-1}) - log p(x_t|x_{t+1}), (n,), in nats."""
        assert self.steps is not None
        last = self.steps - 1
        u = (torch.randperm(len(x), device=x.device) + torch.rand((), device=x.device)) / len(x)
        now = (u * last).floor()  # t - 1 of x_t, from 0 to T - 2
        here, after = self.schedule.gamma(now / last), self.schedule.gamma((now + 1) / last)
        first = now == 0
        before = self.schedule.gamma((now - 1).clamp_min(0) / last)
        noised = level(before, x)
        spread = [-1, *[1] * (x.ndim - 1)]
        x_before = torch.where(first.view(spread), x, noised.alpha * x + noised.sigma * torch.randn_like(x))
        added = torch.where(first, torch.sigmoid(here), added_noise(before, here)).view(spread)
        added_after = added_noise(here, after).view(spread)
        drawn = torch.randn_like(x)
        x_here = (1 - added).sqrt() * x_before + added.sqrt() * drawn
        x_after = (1 - added_after).sqrt() * x_here + added_after.sqrt() * torch.randn_like(x)
        x_hat = self.estimate(x_after, after, network(x_after, told_of(after), y).float())
        mean, sigma = posterior(x_after, x_hat, after.view(spread), here.view(spread))
        log_q = log_standard_normal(drawn) - self.data.dim * 0.5 * added.log().flatten()
        log_p = log_standard_normal((x_here - mean) / sigma) - self.data.dim * sigma.log().flatten()
        return last * (log_q - log_p)

    def consistency_terms(self, x_0: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """The bound by the lecture's first decomposition, each term an unbiased estimate in nats, (n,)."""
        assert self.steps is not None
        x = self.inner(x_0)
        before, last = self.schedule.gamma(
            torch.tensor([self.steps - 2, self.steps - 1], device=x.device) / (self.steps - 1)
        )
        at, added = level(before), added_noise(before, last)
        x_before = at.alpha * x + at.sigma * torch.randn_like(x)
        prior = 0.5 * ((1 - added) * (x_before.square() - 1) - added.log()).flatten(1).sum(1)
        reconstruction, consistency = self.reconstruction(x, x_0), self.consistency(x, y, self.judged)
        return {
            "bound": reconstruction - prior - consistency,
            "reconstruction": reconstruction,
            "prior": prior,
            "consistency": consistency,
        }

    def estimate(self, x: Tensor, gamma: Tensor, out: Tensor) -> Tensor:
        """x_hat, from x_t, its gamma (n,) and what the network put out."""
        at = level(gamma, x)
        if self.prediction == "x0":
            return out
        return (x - at.sigma * out) / at.alpha if self.prediction == "eps" else at.alpha * x - at.sigma * out

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """Loss, bound and its terms by the averaged network; of a conditional model the bound on log p(x|y)."""
        y = self.one_hot(batch.y)
        found = self.terms(batch.x, y)
        learned = isinstance(self.schedule, Monotone)
        loss = {"loss": -found["bound"]} if learned else self.loss(self.inner(batch.x), y, self.judged)
        if y is not None:
            found["bound_given_class"] = found.pop("bound")
        return loss | found

    @torch.no_grad()
    def log_bound(self, x: Tensor) -> Tensor:
        """The variational bound on log p(x), from DRAWS levels of noise an example: (n,), in nats."""
        return self.terms(x, None, DRAWS)["bound"]

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Mean of ||eps - eps_hat||^2 per component, in so many parts of the levels, from the least noise to the most."""
        x = self.inner(train if held_out is None else held_out)
        t = (torch.arange(len(x), device=x.device) + 0.5) / len(x)
        error = self.noise_error(self.error(x, t, None, self.judged), t) / self.data.dim
        return {f"noise_mse_{k}": part.mean() for k, part in enumerate(error.tensor_split(BINS), 1)}

    def denoise(self, x: Tensor, gamma: Tensor, y: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """x_hat of x_t (n, *shape) at one gamma, within the range of the data."""
        gammas = gamma.expand(len(x)).to(x.device)
        return self.bounded(self.estimate(x, gammas, self.answer(x, told_of(gammas), y, guidance)))

    def gammas(self, sampler: Sampler, steps: int) -> Tensor:
        """So many levels, the loudest first: evenly spaced in time, or for the ODE's solvers as Karras et al. have it."""
        if sampler in ("heun", "dpm_solver"):
            first, last = self.schedule.ends()
            return karras_gammas(steps, float(first), float(last)).to(self.device)
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
        steps: int | None = None,
        labels: list[int] | int | None = None,
        guidance: float | None = None,
        eta: float | None = None,
        mean: bool | None = None,
    ) -> Iterator[Tensor]:
        """x_T ~ N(0, I), then x_t at each level of the `sampler` and x_hat at the last (denoising_steps.py).

        `steps` levels; `eta`, the share of fresh noise of ddim, is 0 unless given. Raises GenlabError for what is not there.
        """
        if sampler not in STEPS:
            raise GenlabError(f"sampler={sampler}: model=diffusion has {', '.join(STEPS)}")
        if eta is not None and sampler != "ddim":
            raise GenlabError(f"eta={eta}: only sampler=ddim has it; leave eta out")
        if steps is not None and steps < 2:
            raise GenlabError(f"steps={steps}: a sampler goes through 2 levels of noise or more")
        y, weight = self.wanted(labels, n), self.check_guidance(guidance)
        x = torch.randn(n, *self.data.shape, device=self.device)
        gammas = self.gammas(sampler, steps or min(STEPS[sampler], self.steps or STEPS[sampler]))

        def denoise(x: Tensor, gamma: Tensor) -> Tensor:
            return self.denoise(x, gamma, y, weight)

        yield self.outer(x)
        for x_s, gamma in descent(x, gammas, denoise, sampler, eta or 0.0):
            yield self.finished(x_s, mean) if gamma is None else self.outer(x_s)

    @torch.no_grad()
    def inpaint_loop(
        self, x: Tensor, known: Tensor, steps: int = 50, labels: list[int] | int | None = None
    ) -> Iterator[Tensor]:
        """Ancestral sampling in which, at every level, what is `known` (of shape `shape`) of x is put in with that level's noise.

        Each step is taken twice, the second time from where the first one got, noised again (Lugmayr et al. 2022).
        """
        x_0, y = self.inner(x), None if labels is None else self.wanted(labels, len(x))
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
            yield torch.where(known, x, self.outer(state))
        yield torch.where(known, x, self.finished(self.denoise(state, gammas[-1], y), None))

    def log_density(self, x: Tensor) -> Tensor:
        """By the probability-flow ODE dx~/d log(sigma~) = sigma~ eps_hat of x~ = x_t/alpha_t, sigma~ = sigma_t/alpha_t, in
        steps of even ratio, from x at the least noise to N(0, I) (Song et al. 2021).
        """
        first, last = (float(end) for end in self.schedule.ends())
        times = torch.linspace(first, min(last, -first), FLOW_STEPS + 1, device=x.device) / 2  # log sigma~

        def velocity(z: Tensor, log_sigma: Tensor) -> Tensor:
            gamma = 2 * log_sigma.expand(len(z))
            at = level(gamma, z)
            x_hat = self.estimate(at.alpha * z, gamma, self.answer(at.alpha * z, told_of(gamma)))
            return z - x_hat

        z, gathered = carried(velocity, x, times)
        alpha = level(2 * times[-1]).alpha
        return log_standard_normal(alpha * z) + self.data.dim * alpha.log() + gathered

    @torch.no_grad()
    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx = -eps_hat/sigma of examples with a little noise, in the data's units: (n, *shape)."""
        gamma = x.new_tensor(2 * math.log(SCORED)).expand(len(x))
        at, inner = level(gamma, x), self.inner(x)
        x_t = at.alpha * inner
        x_hat = self.estimate(x_t, gamma, self.answer(x_t, told_of(gamma)))
        return (x_hat - inner) / (SCORED**2 * self.scale)


_schedule = schedule  # a constructor's argument has this name too


def log_nearest_level(eps: Tensor, width: Tensor, x_0: Tensor, levels: int) -> Tensor:
    """log p(x_0|x_1) of grey levels x_0 in [0, 1], where p is proportional to N(x_1; x_0, width^2) and x_1 = x_0 + width eps,
    all in units in which the levels span 2: (n,), in nats. Levels beyond 8 widths count for nothing.
    """
    gap = 2 / (levels - 1) / width
    reach = min(levels - 1, math.ceil(8 / float(gap)) + 1)
    offsets = torch.arange(-reach, reach + 1, device=eps.device)
    there = (x_0 * (levels - 1)).round().unsqueeze(-1) + offsets
    exponents = -0.5 * (eps.unsqueeze(-1) - offsets * gap).square()
    exponents = exponents.masked_fill((there < 0) | (there > levels - 1), -torch.inf)
    return (-0.5 * eps.square() - exponents.logsumexp(-1)).flatten(1).sum(1)


def added_noise(before: Tensor, after: Tensor) -> Tensor:
    """1 - alpha_t of the step from gamma `before` to `after`; no digits are lost where it is small."""
    return torch.sigmoid(after) * -torch.expm1(before - after)


def told_of(gamma: Tensor) -> Tensor:
    """What the network is told of gamma."""
    low, high = GAMMAS
    return (gamma - low) / (high - low)
