"""Energy-based model (LeCun et al. 2006; Du & Mordatch 2019): any network f as an energy,

    p(x) = exp(-E(x))/Z,    E(x) = B(x) + f(x),    Z = integral of exp(-E),

with B the energy of a simple distribution that is known (energies/reference.py). Z is unknown, and the gradient of log p does
not need it:

    d log p(x)/d theta = -dE(x)/d theta + <dE/d theta>_model.

Training lowers the energy of data and raises that of the model's own samples, to no effect once these are alike. `objective`:

    contrastive   descends <E>_data - <E>_chains + alpha (<f^2>_data + <f^2>_chains), where chains take k transitions along the
                  slope of E (energies/langevin.py; for binary data flips.py): from noise each time (`short`, Nijkamp et al.
                  2019), or on from where those of a replay buffer stopped (`persistent`, replay.py). alpha keeps f near 0
    denoising,    match the slope of log p instead (energies/score_matching.py). They run no chains, and hardly see how much of
    sliced        the data lies in each of several clusters far apart

For pictures in [0, 1] contrastive training takes the recipe of Du & Mordatch, Langevin steps with far less noise than their
length asks for: chains at a temperature near 0, which run down to the minima of E. Their states are no draws of exp(-E)/Z, and
no likelihood is stated. `metropolis` corrects the chains and sets the temperature to 1, so that E is what it says, as it is for
real and binary data unless that is switched off. Chains see x in inner units u: [-1, 1], or standard deviations from the mean.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genlab.config.types import Count, NonNegative, Positive, Share, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, GenerativeModel, Metrics
from genlab.models.ema import EMA
from genlab.models.energy import chains, score_matching
from genlab.models.energy.langevin import Energy, Point
from genlab.models.energy.reference import Box, reference_for
from genlab.models.energy.replay_buffer import Replay
from genlab.models.energy.transitions import Choices, transition_for
from genlab.models.scaling import Scaling
from genlab.networks.adversarial import Architecture
from genlab.networks.energy import energy_network
from genlab.networks.mlp import Activation
from genlab.optimizers.recipe import Recipe

PIECEWISE = ("relu", "leaky_relu")  # activations without a second derivative
RESTARTS = {True: 0.05, False: 0.01}
"""Share of chains begun anew: a cold one is where it leads after one batch, a hot one has to forget first where it began."""


class EBM(GenerativeModel):
    supports = frozenset({"binary", "unit", "real"})
    charts: ClassVar[Charts] = {
        "energies": ["train/energy_data", "train/energy_samples", "eval/energy_data", "eval/energy_samples"],
        "gap": ["train/energy_gap", "eval/energy_gap", "monitor/free_energy_gap"],
        "chains": ["train/slope", "train/acceptance", "train/step", "train/buffer_age"],
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        objective: Literal["contrastive", "denoising", "sliced"],
        negative: Literal["persistent", "short"],
        k: Count,
        step: Positive | None,
        noise: NonNegative | None,
        clip: Positive | None,
        metropolis: bool | None,
        flips: Literal["one", "many"],
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
    ) -> None:
        super().__init__(data, optimizer)
        self.objective, self.k, self.anneals = objective, k, anneal
        self.discrete = data.support == "binary"
        self.matches_scores = objective != "contrastive"
        if self.matches_scores and self.discrete:
            raise GenlabError(
                f"model.objective={objective}: binary data have no slope to be matched; set model.objective=contrastive"
            )
        if objective == "sliced" and activation in PIECEWISE:
            raise GenlabError(f"model.activation={activation} has no second derivative; set model.activation=silu")
        if self.discrete and sigma:
            raise GenlabError(f"model.sigma={sigma}: noise would leave binary data not binary; leave it null")
        cold = data.support == "unit" and not self.matches_scores and not metropolis
        box = (-1.0, 1.0) if data.support == "unit" and not self.matches_scores else None
        self.alpha = alpha if alpha is not None else 0.1 if cold else 0.0
        self.sigma = sigma if sigma is not None else self.usual_sigma(cold)
        if objective == "denoising" and self.sigma == 0:
            raise GenlabError(
                "model.sigma=0.0: denoising needs noise; set a standard deviation above 0, or leave it null"
            )
        self.scaling = Scaling.of(data)
        self.network = energy_network(data, network, hidden, activation, spectral_norm)
        self.has_matching_loss = self.matches_scores or (data.support == "real" and activation not in PIECEWISE)
        """Whether the loss of score matching is a measure of the model, be it trained by it or not."""
        self.network.needs_second_derivatives = self.has_matching_loss
        self.ema = EMA(self.network, average) if average else None
        self.reference = reference_for(data, bounded=box is not None)
        if self.matches_scores and step is None:
            step = 0.5 * max(self.sigma, 0.1) ** 2 / data.dim ** (1 / 3)
        self.transition = transition_for(data, Choices(step, noise, clip, metropolis, flips), box, cold=cold)
        self.temperature = self.transition.temperature
        slots = buffer or (5000 if data.is_image else 1000)
        persists = negative == "persistent" and not self.matches_scores
        self.replay = (
            Replay(self.reference.draw(slots), RESTARTS[cold] if restart is None else restart) if persists else None
        )
        self.optimizers["ebm"] = optimizer(self.network.parameters())

    def usual_sigma(self, cold: bool) -> float:
        if self.objective == "denoising":
            return 0.3 if self.data.is_image else 0.05
        if self.objective == "sliced":  # pixels that take few values have no density without it
            return 0.3 if self.data.is_image else 0.0
        return 0.005 if cold else 0.0

    def f(self, u: Tensor) -> Tensor:
        """f(u), (n,), by the averaged network where the model is evaluated."""
        out: Tensor = (self.network if self.training or self.ema is None else self.ema)(u)
        return out

    def at(self, beta: float) -> Energy:
        """E_beta = B + beta f of states u: (n, *shape) -> (n,)."""
        return lambda u: self.reference.energy(u) + beta * self.f(u)

    @property
    def energy(self) -> Energy:
        return self.at(1.0)

    # Training.

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        yield from self.matching_loop(batches) if self.matches_scores else self.contrastive_loop(batches)

    def contrastive_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            u = self.blurred(self.scaling.inner(batch.x))

            # Negative phase: k transitions, from noise or on from where chains of the buffer stopped.
            start = self.reference.draw(len(u) if self.replay is None else min(len(u), len(self.replay)))
            slots = None
            if self.replay is not None:
                slots, start = self.replay.take(start)
            u_model, found = self.moved(start)
            if self.replay is not None and slots is not None:
                self.replay.put(slots, u_model)
                found["buffer_age"] = self.replay.ages.float().mean()

            # The energy of data falls and that of samples rises.
            f, f_model = self.f(torch.cat([u, u_model])).split([len(u), len(u_model)])
            gap = f.mean() - f_model.mean()
            self.descend(self.optimizers["ebm"], gap + self.alpha * (f.square().mean() + f_model.square().mean()))
            self.follow()
            energy, energy_model = f + self.reference.energy(u), f_model + self.reference.energy(u_model)
            found |= {"energy_data": energy.mean(), "energy_samples": energy_model.mean()}
            found["energy_gap"] = found["energy_data"] - found["energy_samples"]
            yield {name: value.detach() for name, value in found.items()}

    def moved(self, u: Tensor) -> tuple[Tensor, Metrics]:
        """States of a chain after k transitions, and means of what these report."""
        reports: list[Metrics] = []
        for here in chains.run(self, chains.energies(self, self.k, self.anneals), u):
            reports.append(self.transition.report)
            u = here.u
        found = {name: torch.stack([report[name] for report in reports]).mean() for name in reports[0]}
        return u, found | ({"step": self.transition.step.clone()} if self.transition.adapts else {})

    def matching_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            u = self.scaling.inner(batch.x)
            loss = self.matching_loss(u).mean()
            self.descend(self.optimizers["ebm"], loss)
            self.follow()
            found: Metrics = {"loss": loss.detach()}
            if self.transition.adapts:  # no chains take part; a few tell how long their steps may be
                self.transition(Point(self.energy, self.blurred(u[:32])))
                found |= {"step": self.transition.step.clone(), **self.transition.report}
            yield found

    def matching_loss(self, u: Tensor) -> Tensor:
        """(n,); see score_matching.py."""
        if self.objective == "denoising":
            return score_matching.denoising(self.energy, u, self.sigma)
        return score_matching.sliced(self.energy, self.blurred(u))

    def blurred(self, u: Tensor) -> Tensor:
        """u with noise of standard deviation sigma, within the walls of a box."""
        noisy = u + self.sigma * torch.randn_like(u) if self.sigma else u
        return noisy.clamp(-1, 1) if isinstance(self.reference, Box) else noisy

    def follow(self) -> None:
        """Take the network's new parameters into their average."""
        if self.ema is not None:
            self.ema.follow(self.network)

    # What can be asked of a trained model.

    @torch.no_grad()
    def free_energy(self, x: Tensor) -> Tensor:
        """E, such that p(x) = exp(-E)/Z in the units of the data; (n,), in nats."""
        return self.energy(self.scaling.inner(x)) + self.scaling.log_volume

    def score_field(self, x: Tensor) -> Tensor:
        """d log p(x)/dx = -dE/dx in the units of the data, (n, *shape)."""
        return -Point(self.energy, self.scaling.inner(x)).slope / self.scaling.scale

    def evaluate(self, batch: Batch) -> Metrics:
        """Energies of examples and of chains that the training keeps; where the temperature is 1, the loss of score matching."""
        with torch.no_grad():
            energy = self.energy(self.scaling.inner(batch.x))
            found = {"energy_data": energy}
            if self.replay is not None:
                drawn = torch.randint(len(self.replay), (len(energy),), device=energy.device)
                found["energy_samples"] = self.energy(self.replay.states[drawn])
                found["energy_gap"] = energy - found["energy_samples"]
        if self.has_matching_loss:
            found["loss"] = self.matching_loss(self.scaling.inner(batch.x)).detach()
        return found

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Energy of training examples, and by how much it lies below that of held-out ones, as an overfitting model makes it."""
        energy = self.free_energy(train).mean()
        found = {"free_energy": energy}
        if held_out is not None:
            found["free_energy_gap"] = energy - self.free_energy(held_out).mean()
        return found

    def sample_loop(self, n: int, sampler: str | None = None, steps: int | None = None) -> Iterator[Tensor]:
        """States of n chains; see chains.sample."""
        return chains.sample(self, n, sampler, steps)

    def shown(self, here: Point) -> Tensor:
        """Examples from states of chains.

        A model of pictures with noise shows, as Saremi & Hyvarinen (2019) do, the mean of clean ones given them.
        """
        if self.matches_scores and self.data.is_image:
            return self.scaling.restore(here.u - self.sigma**2 * here.slope)
        return self.scaling.restore(here.u)

    def walk(self, x: Tensor | int, steps: int, mean: bool = False) -> Iterator[Tensor]:
        """States of chains from examples x, or of so many chains from noise."""
        return chains.walk(self, x, steps)

    def inpaint_loop(self, x: Tensor, known: Tensor, steps: int = 200) -> Iterator[Tensor]:
        """Annealed chains of the rest of x given its components at `known` (*shape,)."""
        return chains.inpaint(self, x, known, steps)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """x with what the model takes for noise removed.

        After score matching of noisy examples that is the mean of clean ones given x, x - sigma^2 grad E(x) (Robbins 1956); else
        what k steps down the energy make of x. Of binary x, the probability that u_i = 1 given the others, to first order in
        what a flip changes: sigmoid(-2 dE/du_i).
        """
        u = self.scaling.inner(x)
        if self.discrete:
            return torch.sigmoid(-2 * Point(self.energy, u).slope)
        if self.matches_scores and self.sigma:
            return self.scaling.restore(u - self.sigma**2 * Point(self.energy, u).slope)
        return self.scaling.restore(chains.descend(self, u))

    @torch.no_grad()
    def fantasies(self) -> Tensor | None:
        """States of the chains that persist, (slots, *shape); None where none do."""
        return None if self.replay is None else self.scaling.restore(self.replay.states)

    def remarks(self) -> list[str]:
        found = []
        if self.temperature != 1:
            found.append(
                f"its chains run at temperature {self.temperature:.2g}, near the minima of E: they draw nothing from exp(-E), "
                "and no likelihood is stated"
            )
        if self.matches_scores and self.sigma:
            found.append(f"it models data with noise of standard deviation {self.sigma:g} in its inner units")
        return found

    # The partition function: what genlab/likelihood asks for.

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
        return chains.settle(self, self.scaling.inner(x), sweeps)

    def anneal(self, v: Tensor, beta: float, following: float) -> tuple[Tensor, Tensor]:
        return chains.anneal(self, v, beta, following)
