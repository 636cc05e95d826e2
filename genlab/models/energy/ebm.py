"""Energy-based model (LeCun et al. 2006; Du & Mordatch 2019): any network f as an energy,

    p(x) = exp(-E(x))/Z,    E(x) = B(x) + f(x),    Z = integral of exp(-E),

with B the energy of a simple reference distribution that is known exactly (reference.py). Z is unknown, and the gradient of log p
does not need it:

    d log p(x)/d theta = -dE(x)/d theta + <dE/d theta>_model.

Training lowers the energy of the data (positive phase) and raises that of the model's own samples (negative phase). The two
cancel when data and samples have the same distribution. `objective`:

    contrastive   minimises <E>_data - <E>_chains + alpha (<f^2>_data + <f^2>_chains). The chains make k transitions along the
                  gradient of E (transitions.py). They start from noise each time (`short`, Nijkamp et al. 2019), or continue
                  from the states of a replay buffer (`persistent`, replay_buffer.py). alpha keeps f near 0
    denoising,    match the score -grad E to that of the data instead (score_matching.py). They run no chains, and hardly depend
    sliced        on how much of the data lies in each of several clusters far apart

For pictures in [0, 1] contrastive training uses the recipe of Du & Mordatch: Langevin steps with far less noise than their size
asks for, so that chains run at a temperature near 0, down to the minima of E. Their states are not draws of exp(-E)/Z, and no
likelihood is stated. `metropolis` corrects the chains and sets the temperature to 1. Real and binary data have this correction
unless it is switched off. Chains see x in inner units u: [-1, 1], or standard deviations from the mean.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Literal, Unpack

import torch
from torch import Tensor

from genlab.config.types import Count, NonNegative, Share, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError, did_you_mean
from genlab.models.base import Charts, GenerativeModel, Metrics
from genlab.models.ema import EMA
from genlab.models.energy import ebm_defaults, score_matching
from genlab.models.energy.chains import Energy, State, run
from genlab.models.energy.ebm_defaults import Objective, TransitionOptions
from genlab.models.energy.energy_charts import CHARTS
from genlab.models.energy.reference import UniformReference, reference_for
from genlab.models.energy.replay_buffer import ReplayBuffer
from genlab.models.energy.transitions import MALA, Langevin
from genlab.models.kept_chains import continued
from genlab.models.scaling import Scaling
from genlab.models.tempering import annealed_betas
from genlab.networks.discriminators import Architecture
from genlab.networks.energy import energy_network
from genlab.networks.mlp import Activation
from genlab.numerics import shares
from genlab.optimizers.recipe import Recipe

SAMPLERS = ("buffer", "noise", "annealed")
STEPS = 500  # transitions of chains from noise, unless the user sets others


class EBM(GenerativeModel):
    supports = frozenset({"binary", "unit", "real"})
    charts: ClassVar[Charts] = CHARTS

    remedies = ebm_defaults.REMEDIES

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        objective: Objective,
        negative: Literal["persistent", "short"],
        k: Count,
        anneal: bool,
        buffer: Count | None,
        restart: Share | None,
        alpha: NonNegative | None,
        sigma: NonNegative | None,
        network: Architecture,
        hidden: Widths | None,
        activation: Activation,
        spectral_norm: bool,
        average: Share,
        **transition: Unpack[TransitionOptions],
    ) -> None:
        super().__init__(data, optimizer)
        ebm_defaults.refuse_conflicts(data, objective, activation, sigma)
        self.objective, self.k, self.anneals_chains = objective, k, anneal
        self.discrete = data.support == "binary"
        self.matches_scores = objective != "contrastive"
        bounded = data.support == "unit" and not self.matches_scores
        low_temperature = bounded and not transition["metropolis"]
        self.alpha = alpha if alpha is not None else 0.1 if low_temperature else 0.0
        self.sigma = ebm_defaults.default_sigma(data, objective, low_temperature) if sigma is None else sigma
        self.scaling = Scaling.of(data)
        self.network = energy_network(data, network, hidden, activation, spectral_norm)
        self.has_matching_loss = self.matches_scores or (
            data.support == "real" and activation not in ebm_defaults.PIECEWISE_LINEAR
        )
        """Whether the loss of score matching measures the model, even if it is trained with another loss."""
        self.network.needs_second_derivatives = self.has_matching_loss
        self.ema = EMA(self.network, average) if average else None
        self.reference = reference_for(data, bounded=bounded)
        if self.matches_scores and transition["step"] is None:
            transition["step"] = ebm_defaults.score_matching_step(data, self.sigma)
        bounds = (-1.0, 1.0) if bounded else None
        self.transition = ebm_defaults.transition_for(data, bounds, low_temperature, **transition)
        self.temperature = self.transition.temperature
        self.replay_buffer = None
        if negative == "persistent" and not self.matches_scores:
            slots = buffer or (5000 if data.is_image else 1000)
            share = ebm_defaults.default_restart(low_temperature) if restart is None else restart
            self.replay_buffer = ReplayBuffer(self.reference.draw(slots), share)
        self.optimizers["ebm"] = optimizer(self.network.parameters())

    # The energy

    def f(self, u: Tensor) -> Tensor:
        """f(u), (n,). In evaluation mode the network is the averaged one."""
        out: Tensor = (self.network if self.training or self.ema is None else self.ema)(u)
        return out

    def energy_at(self, beta: float) -> Energy:
        """E_beta = B + beta f as a function of states u: (n, *shape) -> (n,)."""
        return lambda u: self.reference.energy(u) + beta * self.f(u)

    @property
    def energy(self) -> Energy:
        """E = B + f."""
        return self.energy_at(1.0)

    # Training

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        yield from self.score_matching_loop(batches) if self.matches_scores else self.contrastive_loop(batches)

    def contrastive_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            u = self.add_noise(self.scaling.inner(batch.x))

            # Negative phase: k transitions, from noise or from where the chains of the replay buffer stopped.
            start = self.reference.draw(len(u) if self.replay_buffer is None else self.replay_buffer.room(len(u)))
            slots = None
            if self.replay_buffer is not None:
                slots, start = self.replay_buffer.take(start)
            u_model, metrics = self.negative_phase(start)
            if self.replay_buffer is not None and slots is not None:
                self.replay_buffer.put(slots, u_model)
                metrics["buffer_age"] = shares.mine(self.replay_buffer.ages).float().mean()

            # Gradient step: the energy of data falls and that of samples rises. B does not depend on the parameters.
            f, f_model = self.f(torch.cat([u, u_model])).split([len(u), len(u_model)])
            gap = f.mean() - f_model.mean()
            self.descend(self.optimizers["ebm"], gap + self.alpha * (f.square().mean() + f_model.square().mean()))
            self.update_ema()
            energy, energy_model = f + self.reference.energy(u), f_model + self.reference.energy(u_model)
            metrics |= {"energy_data": energy.mean(), "energy_samples": energy_model.mean()}
            metrics["energy_gap"] = metrics["energy_data"] - metrics["energy_samples"]
            yield {name: value.detach() for name, value in metrics.items()}

    def negative_phase(self, u: Tensor) -> tuple[Tensor, Metrics]:
        """States (n, *shape) of chains from u after k transitions, and the means of what these report."""
        reports: list[Metrics] = []
        betas = annealed_betas(self.k) if self.anneals_chains else [1.0] * self.k
        for state in run(self.transition, self.energy_at, betas, u):
            reports.append(self.transition.report)
            u = state.u
        metrics = {name: torch.stack([report[name] for report in reports]).mean() for name in reports[0]}
        return u, metrics | ({"step": self.transition.step.clone()} if self.transition.adapts else {})

    def score_matching_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            u = self.scaling.inner(batch.x)
            loss = self.matching_loss(u).mean()
            self.descend(self.optimizers["ebm"], loss)
            self.update_ema()
            metrics: Metrics = {"loss": loss.detach()}
            if self.transition.adapts:  # the loss needs no chains; a few of them find the step size of later ones
                self.transition(State(self.energy, self.add_noise(u[: max(1, 32 // shares.count())])))
                metrics |= {"step": self.transition.step.clone(), **self.transition.report}
            yield metrics

    def matching_loss(self, u: Tensor) -> Tensor:
        """Loss of score matching of examples u (n, *shape): (n,)."""
        if self.objective == "denoising":
            return score_matching.denoising(self.energy, u, self.sigma)
        return score_matching.sliced(self.energy, self.add_noise(u))

    def add_noise(self, u: Tensor) -> Tensor:
        """u + sigma eps, eps ~ N(0, I), clipped to [-1, 1] where states have these bounds."""
        noisy = u + self.sigma * torch.randn_like(u) if self.sigma else u
        return noisy.clamp(-1, 1) if isinstance(self.reference, UniformReference) else noisy

    def update_ema(self) -> None:
        if self.ema is not None:
            self.ema.update(self.network)

    # Evaluation

    @torch.no_grad()
    def free_energy(self, x: Tensor) -> Tensor:
        """E of examples x, such that p(x) = exp(-E)/Z in the units of the data; (n,), in nats."""
        return self.energy(self.scaling.inner(x)) + self.scaling.log_volume

    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx = -dE/dx in the units of the data, (n, *shape)."""
        return -State(self.energy, self.scaling.inner(x)).gradient / self.scaling.scale

    def evaluate(self, batch: Batch) -> Metrics:
        """Energies of examples and of persistent chains; the loss of score matching where it measures the model."""
        with torch.no_grad():
            energy = self.energy(self.scaling.inner(batch.x))
            metrics = {"energy_data": energy}
            if self.replay_buffer is not None:
                states = shares.mine(self.replay_buffer.states)
                drawn = torch.randint(len(states), (len(energy),), device=energy.device)
                metrics["energy_samples"] = self.energy(states[drawn])
                metrics["energy_gap"] = energy - metrics["energy_samples"]
        if self.has_matching_loss:
            metrics["loss"] = self.matching_loss(self.scaling.inner(batch.x)).detach()
        return metrics

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Mean energy of training examples, and its difference to that of held-out ones, which is negative in overfitting."""
        energy = self.free_energy(train).mean()
        metrics = {"free_energy": energy}
        if held_out is not None:
            metrics["free_energy_gap"] = energy - self.free_energy(held_out).mean()
        return metrics

    # Sampling

    def chains_continued(self, sampler: str | None = None, labels: list[int] | int | None = None) -> int:
        kept = self.replay_buffer if sampler in (None, "buffer") else None
        return 0 if kept is None else len(kept.older_half())

    def sample_loop(
        self, n: int, sampler: str | None = None, steps: Count | None = None, chains: list[int] | None = None
    ) -> Iterator[Tensor]:
        """States (n, *shape) of n chains in the data's support.

        `buffer` continues chains of the training, by k steps unless `steps` is set. It takes them from the older half of the
        replay buffer, where chains are no longer near the noise that they began with. `noise` starts from the reference.
        `annealed` does so too, and beta rises from 0. Both take 500 steps by default; a model that was trained by short runs
        takes k, as in its training. Raises GenlabError where there is no such sampler or no buffer.
        """
        sampler = sampler or ("buffer" if self.replay_buffer else "annealed" if self.matches_scores else "noise")
        if sampler not in SAMPLERS:
            raise GenlabError(f"sampler={sampler}: {did_you_mean(sampler, SAMPLERS)}")
        if sampler == "buffer":
            if self.replay_buffer is None:
                raise GenlabError(
                    "sampler=buffer: this model keeps no chains (model.negative, model.objective); set sampler=noise"
                )
            start, default = continued(self.replay_buffer.older_half(), chains, n), self.k
        else:
            start = self.reference.draw(n)
            default = STEPS if self.replay_buffer is not None or self.matches_scores else self.k
        steps = steps or default
        betas = annealed_betas(steps) if sampler == "annealed" else [1.0] * steps
        for state in run(self.transition, self.energy_at, betas, start):
            if self.matches_scores and self.data.on_grid:  # the posterior mean without noise (Saremi & Hyvarinen 2019)
                yield self.scaling.restore(state.u - self.sigma**2 * state.gradient)
            else:
                yield self.scaling.restore(state.u)

    def walk(self, x: Tensor | int, steps: int, mean: bool = False) -> Iterator[Tensor]:
        """States of chains from examples x, or of x chains from noise."""
        start = self.reference.draw(x) if isinstance(x, int) else self.scaling.inner(x)
        for state in run(self.transition, self.energy_at, [1.0] * steps, start):
            yield self.scaling.restore(state.u)

    def inpaint_loop(self, x: Tensor, known: Tensor, steps: int = 200) -> Iterator[Tensor]:
        """Annealed chains of the unknown components of x, given those at `known` (*shape,)."""
        unknown, u_known = ~known, self.scaling.inner(x)

        def complete(w: Tensor) -> Tensor:
            u = u_known.clone()
            u[:, unknown] = w
            return u

        def conditional_energy_at(beta: float) -> Energy:
            return lambda w: self.energy_at(beta)(complete(w))

        start = self.reference.draw(len(x))[:, unknown]
        for state in run(self.transition, conditional_energy_at, annealed_betas(steps), start):
            yield torch.where(known, x, self.scaling.restore(complete(state.u)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """x without what the model takes for noise.

        After score matching of noisy examples: the posterior mean of clean ones, x - sigma^2 grad E(x) (Robbins 1956). Else:
        the result of k gradient steps from x down the energy. For binary x: the probability that u_i = 1 given the others, to
        first order in the change of E by a flip, sigmoid(-2 dE/du_i).
        """
        u = self.scaling.inner(x)
        if self.discrete:
            return torch.sigmoid(-2 * State(self.energy, u).gradient)
        if self.matches_scores and self.sigma:
            return self.scaling.restore(u - self.sigma**2 * State(self.energy, u).gradient)
        assert isinstance(self.transition, Langevin | MALA), "transitions of real states"
        downhill = Langevin(float(self.transition.step), 0.0, self.transition.clip, self.transition.bounds)
        *_, state = run(downhill, self.energy_at, [1.0] * self.k, u)
        return self.scaling.restore(state.u)

    @torch.no_grad()
    def fantasies(self) -> Tensor | None:
        """States of the persistent chains, (slots, *shape); None where there are none."""
        return None if self.replay_buffer is None else self.scaling.restore(shares.mine(self.replay_buffer.states))

    def remarks(self) -> list[str]:
        remarks = []
        if self.temperature != 1:
            remarks.append(
                f"its chains run at temperature {self.temperature:.2g}, near the minima of E: they draw nothing from exp(-E), "
                "and no likelihood is stated"
            )
        if self.matches_scores and self.sigma:
            remarks.append(f"it models data with noise of standard deviation {self.sigma:g} in its inner units")
        return remarks

    # The partition function, as inference/partition.py estimates it

    def log_marginals(self) -> list[tuple[int, Callable[[Tensor], Tensor]]]:
        """Binary components, over whose configurations Z can be summed; nothing for other data."""
        return [(self.data.dim, lambda x: -self.free_energy(x.reshape(-1, *self.data.shape)))] if self.discrete else []

    @property
    def log_z_base(self) -> float:
        return self.reference.log_z

    def base_draws(self, n: int) -> Tensor:
        """Exact draws of the reference, which is the model at beta = 0; inner units, (n, *shape)."""
        return self.reference.draw(n)

    def settle(self, x: Tensor, sweeps: int) -> Tensor:
        """States in inner units after so many transitions from examples x."""
        u = self.scaling.inner(x)
        for state in run(self.transition, self.energy_at, [1.0] * sweeps, u):
            u = state.u
        return u

    @torch.no_grad()
    def anneal(self, v: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
        """log p*(v) at `following` minus that at `beta`, (n,) in float64, and v after a transition at `following`."""
        increment = -(following - beta) * self.f(v).cpu().double()
        return increment, self.transition(State(self.energy_at(following), v)).u
