"""Energy-based models: transitions against the distributions that they must have, the buffer's laws, optima in closed form.

Means are compared in standard errors; 4.5 of them are exceeded once in 150,000. p-values are of chi-squared tests.
"""

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.inference.likelihood import log_likelihoods
from genlab.inference.partition import ais, exact_log_z
from genlab.models.abilities import (
    Anneals,
    HasFantasies,
    HasMarkovChain,
    HasTemperature,
    Inpaints,
    Monitors,
    Reconstructs,
)
from genlab.models.energy import score_matching
from genlab.models.energy.chains import State, Transition
from genlab.models.energy.ebm import EBM
from genlab.models.energy.reference import NormalReference, SpinReference, UniformReference
from genlab.models.energy.replay_buffer import ReplayBuffer
from genlab.models.energy.transitions import MALA, Langevin, ManyFlips, SingleFlip, unit_temperature_noise
from genlab.optimizers.recipe import set_rate
from tests.helpers.draws import p_value, states
from tests.helpers.processes import assert_refused, call
from tests.helpers.support import FEW_CHAINS, adam_recipe, configure

FAR, RARE = 4.5, 1e-4
KEYS: dict[str, Any] = {key: value for key, value in configure("model=ebm")["model"].items() if key != "_target_"}


def spec(support: str, *shape: int, mean: float = 0.0, std: float = 1.0) -> DataSpec:
    low, high = (-4.0, 4.0) if support == "real" else (0.0, 1.0)
    return DataSpec("test", shape, support, None, None, low, high, torch.full(shape, mean), torch.full(shape, std))  # type: ignore[arg-type]


def model_of(data: DataSpec, lr: float = 1e-3, **keys: Any) -> EBM:
    torch.manual_seed(0)
    return EBM(data, replace(adam_recipe(lr), schedule="linear"), **(KEYS | keys))


def quadratic(variance: float) -> Any:
    return lambda u: 0.5 * u.square().flatten(1).sum(1) / variance


def variance_after(transition: Transition, variance: float, steps: int, chains: int = 40_000) -> tuple[float, float]:
    """Mean of u^2 over chains after so many steps on u^2/2 variance, and its standard error."""
    torch.manual_seed(0)
    transition.eval()
    state = State(quadratic(variance), math.sqrt(variance) * torch.randn(chains, 1))
    with torch.no_grad():
        for _ in range(steps):
            state = transition(state)
    squares = state.u.double().square()
    return float(squares.mean()), float(squares.std()) / chains**0.5


@pytest.mark.parametrize(
    ("transition", "expected"),
    [
        (Langevin(0.8, unit_temperature_noise(0.8), None, None), 2 / (1 - 0.8 / 4)),
        (MALA(0.8, None, None), 2.0),
        (MALA(2.5, 0.3, None), 2.0),
        (Langevin(0.5, 0.1, None, None), 0.1**2 / (1 - (1 - 0.5 / 2) ** 2)),
    ],
    ids=["Langevin", "MALA", "MALA with a clipped slope", "recipe for pictures"],
)
def test_chains_on_a_quadratic_energy_have_the_predicted_variance(transition: Transition, expected: float) -> None:
    found, error = variance_after(transition, 2.0, 40)
    assert abs(found - expected) < FAR * error
    assert isinstance(transition, MALA) or expected != pytest.approx(2.0, rel=0.05)


def test_the_temperature_is_that_of_small_steps() -> None:
    transition = Langevin(0.02, 0.1, None, None)
    assert transition.temperature == pytest.approx(0.25)
    variance = 0.1**2 / (1 - (1 - 0.02 / 2) ** 2)
    assert variance == pytest.approx(2 * transition.temperature, rel=0.01)
    transition = Langevin(0.3, unit_temperature_noise(0.3), None, None)
    assert transition.temperature == 1, "a likelihood is stated only then"


def test_reflected_chains_draw_from_the_density_in_a_box() -> None:
    """exp(-3 u) on [-1, 1], with steps as long as the box; clipped chains pile up at its walls."""
    torch.manual_seed(0)
    edges = torch.linspace(-1, 1, 11)
    share = torch.tensor([math.exp(-3 * a) - math.exp(-3 * b) for a, b in pairwise(edges.tolist())])
    counts = []
    for transition in (MALA(0.1, None, (-1.0, 1.0)), Langevin(0.1, unit_temperature_noise(0.1), None, (-1.0, 1.0))):
        state = State(lambda u: 3 * u.sum(1), 2 * torch.rand(20_000, 1) - 1)
        with torch.no_grad():
            for _ in range(60):
                state = transition.eval()(state)
        counts.append(torch.histc(state.u, 10, -1, 1))
        assert float(state.u.abs().max()) <= 1
    chi = [float(((n - 20_000 * share / share.sum()).square() / (20_000 * share / share.sum())).sum()) for n in counts]
    assert chi[0] < 33.7  # exceeded once in 10,000 with nine degrees of freedom
    assert chi[1] > 1000


@pytest.mark.parametrize("slope", [3.0, 30.0])
def test_reflected_chains_are_exact_up_to_their_longest_step(slope: float) -> None:
    """E u of exp(-slope u) on [-1, 1] is 1/slope - coth slope; the second drifts as far as the box is wide."""
    torch.manual_seed(0)
    transition = MALA(0.01, None, (-1.0, 1.0))
    state = State(lambda u: slope * u.sum(1), 2 * torch.rand(20_000, 1) - 1)
    with torch.no_grad():
        for step in range(1500):
            transition.train(step < 1400)
            if step == 1400:
                transition.step.fill_(transition.max_step)
            state = transition(state)
    u = state.u.double()
    stderr = float(u.std()) / len(u) ** 0.5
    assert float(u.mean()) == pytest.approx(1 / slope - 1 / math.tanh(slope), abs=FAR * stderr)


def test_steps_have_a_limit_where_nearly_all_proposals_are_accepted() -> None:
    torch.manual_seed(0)
    nearly_flat = (MALA(0.01, None, (-1.0, 1.0)), 2 * torch.rand(50, 4) - 1), (ManyFlips(2.0), torch.ones(50, 4))
    for transition, u in nearly_flat:
        state = State(lambda u: 0.01 * u.sum(1), u)
        with torch.no_grad():
            for _ in range(700):
                state = transition(state)
        assert float(transition.step) == pytest.approx(transition.max_step)
        assert math.isfinite(transition.max_step)


def test_only_smooth_energies_of_real_data_state_the_loss_of_score_matching() -> None:
    batch = Batch(torch.randn(5, 2), None, 0.5)
    for activation, stated in (("silu", True), ("relu", False)):
        model = model_of(spec("real", 2), activation=activation)
        assert model.network.needs_second_derivatives == stated
        assert ("loss" in model.evaluate(batch)) == stated
    assert "loss" not in model_of(spec("binary", 2, mean=0.5)).evaluate(Batch(torch.ones(5, 2), None, 0.5))


def test_the_step_follows_the_acceptance_while_training_only() -> None:
    torch.manual_seed(0)
    transition = MALA(1e-4, None, None)
    state = State(quadratic(1.0), torch.randn(2000, 10))
    with torch.no_grad():
        for _ in range(800):
            state = transition(state)
    before = float(transition.step)
    assert float(transition.report["acceptance"]) == pytest.approx(0.57, abs=0.08)
    assert before > 0.1
    with torch.no_grad():
        transition.eval()(state)
    assert float(transition.step) == before


def pair_energy(d: int) -> tuple[Any, Tensor]:
    """A quadratic energy of spins, and exp(-E)/Z over all their states."""
    generator = torch.Generator().manual_seed(1)
    J, h = 0.4 * torch.randn(d, d, generator=generator), 0.4 * torch.randn(d, generator=generator)

    def energy(u: Tensor) -> Tensor:
        flat = u.flatten(1)
        return -(flat @ J * flat).sum(1) - flat @ h

    every = 2 * states(d).float() - 1
    return energy, (-energy(every)).double().softmax(0)


@pytest.mark.parametrize("transition", [SingleFlip(1.0), ManyFlips(2.0)], ids=["one flip", "many flips"])
def test_flips_leave_an_enumerated_distribution_as_it_is(transition: Transition) -> None:
    """From exact draws and from all spins up: both are the enumerated distribution of 16 states in the end."""
    torch.manual_seed(0)
    energy, p = pair_energy(4)
    every = states(4)
    draws = every[p.multinomial(8000, replacement=True)].float()
    for start, steps in ((2 * draws - 1, 3), (torch.ones(8000, 4), 80)):
        state = State(energy, start)
        with torch.no_grad():
            for _ in range(steps):
                state = transition.eval()(state)
        assert p_value(((state.u + 1) / 2).double(), every, p) > RARE
        assert 0.1 < float(transition.report["acceptance"]) < 1


def test_slots_are_drawn_once_and_what_is_written_is_found_again() -> None:
    torch.manual_seed(0)
    buffer = ReplayBuffer(torch.zeros(50, 2), restart=0.2)
    counts = torch.zeros(50)
    begun = 0
    for i in range(1, 401):
        fresh = torch.full((20, 2), -float(i))
        slots, u = buffer.take(fresh)
        assert len(slots.unique()) == 20
        new = (u == -i).all(1)
        begun += int(new.sum())
        assert torch.equal(u[~new], buffer.states[slots][~new])
        assert (buffer.ages[slots][new] == 0).all()
        buffer.put(slots, u + 1000 * i)
        assert torch.equal(buffer.states[slots], u + 1000 * i)
        counts[slots] += 1
    assert abs(begun - 1600) < FAR * math.sqrt(8000 * 0.2 * 0.8)
    assert float((counts - 160).abs().max()) < FAR * math.sqrt(400 * 0.4 * 0.6)
    # An age counts the batches since a chain began: geometric, of mean 1/restart once that is long ago.
    assert 1 <= float(buffer.ages.float().mean()) < 2 / 0.2
    assert torch.equal(buffer.older_half(), buffer.states[buffer.ages.argsort(descending=True, stable=True)[:25]])


@pytest.mark.parametrize("support", ["real", "binary"])
def test_the_gradient_is_zero_for_exact_negatives(support: str) -> None:
    """d<E>/d theta over data drawn from the model minus that over its own samples: no parameter moves but by chance."""
    torch.manual_seed(0)
    model = model_of(spec(support, 2, mean=0.3 if support == "binary" else 0.0), hidden=[8], average=0.0)
    if support == "binary":
        every = 2 * states(2).float() - 1
    else:
        axis = torch.linspace(-5, 5, 200)
        every = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        p = (-model.energy(every)).double().softmax(0)
    exact = [torch.autograd.grad((p.float() * model.f(every)).sum(), q)[0] for q in model.network.parameters()]
    draws = every[p.multinomial(20_000, replacement=True)]
    rows = [
        torch.autograd.grad(part.mean(), list(model.network.parameters()))
        for part in (model.f(few) for few in draws.split(100))
    ]
    far = 0.0
    for i, expected in enumerate(exact):
        values = torch.stack([row[i] for row in rows])
        error = values.std(0) / len(values) ** 0.5
        far = max(far, float(((values.mean(0) - expected).abs() / error.clamp_min(1e-7)).max()))
    assert far < 5.5  # the largest of some tens


def stream(x: Tensor, updates: int, size: int) -> Any:
    for i in range(updates):
        yield Batch(x[torch.randint(len(x), (size,))], None, i / updates)


def fitted(model: EBM, x: Tensor, updates: int, size: int = 200) -> EBM:
    torch.manual_seed(1)
    model.train()
    for i, metrics in enumerate(model.train_loop(stream(x, updates, size))):
        assert all(value.isfinite() for value in metrics.values())
        for optimizer in model.optimizers.values():
            set_rate(optimizer, i / updates)
    return model.eval()


class Quadratic(nn.Module):
    """f(u) = a |u|^2 / 2 + b.u: with B = |u|^2 / 2 a Gaussian of precision 1 + a about -b/(1 + a)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(dim))

    def forward(self, u: Tensor) -> Tensor:
        return 0.5 * self.a * u.square().sum(1) + u @ self.b


@pytest.mark.parametrize(
    ("objective", "sigma", "variance"),
    [("denoising", 0.5, 0.25 + 0.25), ("sliced", 0.0, 0.25), ("contrastive", 0.0, 0.25)],
)
def test_every_objective_finds_the_gaussian_that_the_data_are(objective: str, sigma: float, variance: float) -> None:
    """Data N(0.6, 0.5^2): the optimum is their density, after denoising that of data with noise, N(0.6, 0.5^2 + sigma^2)."""
    torch.manual_seed(0)
    x = 0.6 + 0.5 * torch.randn(20_000, 2)
    model, network = (
        model_of(spec("real", 2), objective=objective, sigma=sigma, average=0.0, buffer=400, k=5),
        Quadratic(2),
    )
    model.network = network  # type: ignore[assignment]
    model.optimizers["ebm"] = replace(adam_recipe(0.05), schedule="linear")(model.network.parameters())
    fitted(model, x, 400)
    precision = 1 + float(network.a.detach())
    assert 1 / precision == pytest.approx(variance, rel=0.08)
    assert (-network.b.detach() / precision).tolist() == pytest.approx([0.6, 0.6], abs=0.06)
    points = torch.randn(5, 2)
    torch.testing.assert_close(model.score_field(points), -(points - 0.6) / variance, atol=0.4, rtol=0.1)


def test_the_losses_of_score_matching_are_what_they_say() -> None:
    """Of E = |u|^2 / 2 in two dimensions: sliced |u|^2/2 - 2 on average over v; denoising |sigma x + (sigma^2 - 1) eps|^2 / 2."""
    model = model_of(spec("real", 2), objective="sliced")
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
    torch.manual_seed(0)
    u = torch.tensor([[1.0, 2.0]]).repeat(4000, 1)
    loss = model.matching_loss(u).detach()
    assert abs(float(loss.mean()) - 0.5) < FAR * float(loss.std()) / 4000**0.5
    loss = score_matching.denoising(model.energy, u, 0.5).detach()
    expected = 0.5 * (0.25 * 5 + 2 * (0.25 - 1) ** 2)
    assert abs(float(loss.mean()) - expected) < FAR * float(loss.std()) / 4000**0.5


def test_training_in_the_plane_finds_the_density() -> None:
    """Two clusters and a broad one: corrected chains, Z by a sum over the plane."""
    torch.manual_seed(0)
    centres = torch.tensor([[-1.5, 0.0], [1.5, 0.0]])
    x = centres[torch.randint(2, (4000,))] + 0.5 * torch.randn(4000, 2)
    clusters = [torch.distributions.MultivariateNormal(c, 0.25 * torch.eye(2)).log_prob(x) for c in centres]
    entropy = -float((torch.stack(clusters).logsumexp(0) - math.log(2)).mean())
    data = DataSpec("test", (2,), "real", None, None, -4.0, 4.0, x.mean(0), x.std(0))
    model = fitted(model_of(data, 3e-3, hidden=[32, 32], k=5, buffer=400, average=0.98), x, 400)
    nll = float(model.free_energy(x).mean()) + plane_log_z(model)
    assert entropy - 0.02 < nll < entropy + 0.1
    assert model.temperature == 1


def plane_log_z(model: EBM, reach: float = 8.0, cells: int = 400) -> float:
    width = 2 * reach / cells
    axis = -reach + width * (torch.arange(cells) + 0.5)
    return float((-model.free_energy(torch.cartesian_prod(axis, axis))).double().logsumexp(0)) + 2 * math.log(width)


def test_annealing_from_the_reference_agrees_with_the_sum_over_the_plane() -> None:
    model = model_of(spec("real", 2, mean=1.0, std=2.0), hidden=[16]).eval()
    with torch.no_grad():
        for parameter in [*model.network.parameters(), *(model.ema or nn.Module()).parameters()]:
            parameter.mul_(2)
        model.transition.step.fill_(0.3)
        torch.manual_seed(0)
        found = ais(model, torch.linspace(0, 1, 60, dtype=torch.float64), 400)
    # The free energy is in the units of the data, and Z in inner units.
    assert abs(found.value - plane_log_z(model, 20.0)) < FAR * found.stderr + 1e-3


def test_binary_data_are_enumerated_and_learned() -> None:
    """Four coupled spins: exact log-likelihood near the entropy of the distribution that they come from."""
    torch.manual_seed(0)
    _, p = pair_energy(4)
    every = states(4).float()
    x = every[p.multinomial(8000, replacement=True)]
    data = DataSpec("test", (4,), "binary", None, None, 0.0, 1.0, x.mean(0), x.std(0))
    model = model_of(data, 5e-3, hidden=[32], k=5, buffer=400, average=0.98)
    (likelihood,) = log_likelihoods(model, [Batch(every, None, 1.0)], 1, FEW_CHAINS, x[:10])
    assert likelihood.kind == "exact"
    assert float(likelihood.values.exp().sum()) == pytest.approx(1, abs=1e-4)
    fitted(model, x, 300)
    log_z = exact_log_z(model)
    assert log_z is not None
    log_p = -model.free_energy(every).double() - log_z
    assert float((p * (p.log() - log_p)).sum()) < 0.03
    drawn = model.sample(4000, sampler="noise", steps=60)
    assert p_value(drawn.double(), states(4), log_p.exp()) > RARE
    # Each component given the others, to first order: exact where the energy is linear in it.
    with torch.no_grad():
        for network in (model.network, model.ema):
            assert network is not None
            for parameter in network.parameters():
                parameter.zero_()
    given = model.reconstruct(every)
    torch.testing.assert_close(given, data.mean.expand_as(given), atol=1e-5, rtol=0)


def test_inpainting_draws_the_rest_given_what_is_known() -> None:
    """With f = a u_0 u_1 the second component given the first is N(-a u_0, 1)."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor(0.8))

        def forward(self, u: Tensor) -> Tensor:
            return self.a * u[:, 0] * u[:, 1]

    model = model_of(spec("real", 2), average=0.0, metropolis=True).eval()
    model.network = Product()  # type: ignore[assignment]
    model.transition.step.fill_(0.3)
    torch.manual_seed(0)
    x = torch.tensor([[1.5, 9.0]]).repeat(5000, 1)
    *_, filled = model.inpaint_loop(x, torch.tensor([True, False]), 60)
    assert torch.equal(filled[:, 0], x[:, 0])
    rest = filled[:, 1].detach()
    assert abs(float(rest.mean()) + 0.8 * 1.5) < FAR * float(rest.std()) / 5000**0.5
    assert float(rest.var()) == pytest.approx(1, abs=0.1)


def test_references_are_what_they_say() -> None:
    torch.manual_seed(0)
    means = torch.tensor([0.1, 0.5, 0.8])
    spins = SpinReference(replace(spec("binary", 3), mean=means))
    every = 2 * states(3).float() - 1
    assert float((-spins.energy(every)).logsumexp(0)) == pytest.approx(spins.log_z, abs=1e-5)
    p = (-spins.energy(every)).softmax(0)
    torch.testing.assert_close(p @ states(3).float(), means)
    assert p_value(((spins.draw(20_000) + 1) / 2).double(), states(3), p.double()) > RARE
    assert NormalReference((2,)).log_z == pytest.approx(math.log(2 * math.pi))
    assert UniformReference((1, 3)).log_z == pytest.approx(3 * math.log(2))
    assert float(UniformReference((2,)).draw(1000).abs().max()) <= 1


def test_pictures_take_the_low_temperature_recipe_and_state_no_likelihood() -> None:
    model = model_of(spec("unit", 1, 8, 8, mean=0.4, std=0.3))
    assert isinstance(model.transition, Langevin)
    assert model.temperature == pytest.approx(0.005**2 / 20)
    assert isinstance(model, HasTemperature)
    x = torch.rand(10, 1, 8, 8)
    assert log_likelihoods(model, [Batch(x, None, 1.0)], 1, FEW_CHAINS, x) == []
    assert "temperature" in model.remarks()[0]
    corrected = model_of(spec("unit", 1, 8, 8, mean=0.4, std=0.3), metropolis=True, hidden=[8]).eval()
    assert corrected.remarks() == []
    assert {found.name for found in log_likelihoods(corrected, [Batch(x, None, 1.0)], 1, FEW_CHAINS, x)} == {
        "ais",
        "reverse_ais",
    }
    for capability in (Anneals, HasMarkovChain, Inpaints, HasFantasies, Monitors, Reconstructs):
        assert isinstance(model, capability)


def test_denoising_returns_the_posterior_mean_of_gaussian_data() -> None:
    """With the optimal f, x - sigma^2 grad E(x) = (x + sigma^2 mean/s^2)/(1 + sigma^2/s^2) for data N(mean, s^2)."""
    model, network = model_of(spec("real", 2), objective="denoising", sigma=0.5, average=0.0).eval(), Quadratic(2)
    model.network = network  # type: ignore[assignment]
    with torch.no_grad():
        network.a.fill_(1 / (0.25 + 0.25) - 1)
        network.b.fill_(-0.6 / 0.5)
    x = torch.tensor([[1.0, -1.0]])
    torch.testing.assert_close(model.reconstruct(x), (x + 0.6) / 2)


def test_spectral_norms_bound_the_slope_and_survive_averaging() -> None:
    data = spec("unit", 1, 16, 16, mean=0.4, std=0.3)
    model = model_of(data, spectral_norm=True, hidden=[4, 4], k=2, buffer=20, average=0.9)
    fitted(model, torch.rand(40, 1, 16, 16), 12, size=8)
    assert model.ema is not None
    weight = model.network.head.weight
    assert isinstance(weight, Tensor)
    for now, mean in zip(model.network.buffers(), model.ema.network.buffers(), strict=True):
        assert torch.equal(now, mean)
    assert float(torch.linalg.matrix_norm(weight.detach(), 2)) == pytest.approx(1, abs=1e-4)


def test_samples_come_from_noise_or_go_on_from_the_training() -> None:
    model = model_of(spec("unit", 1, 8, 8, mean=0.4, std=0.3), buffer=30).eval()
    assert model.replay_buffer is not None
    model.replay_buffer.states.fill_(0.9)
    near = model.sample(4, sampler="buffer", steps=1)
    assert float((near - 0.95).abs().max()) < 0.2
    assert float(model.sample(4, sampler="noise", steps=1).std()) > 0.2
    assert len(list(model.sample_loop(4))) == model.k
    assert len(list(model.sample_loop(4, sampler="annealed", steps=7))) == 7
    with pytest.raises(GenlabError, match="sampler=bufer: did you mean 'buffer'"):
        model.sample(1, sampler="bufer")
    short = model_of(spec("unit", 1, 8, 8, mean=0.4, std=0.3), negative="short").eval()
    assert short.fantasies() is None
    assert len(list(short.sample_loop(4))) == short.k
    with pytest.raises(GenlabError, match=r"sampler=buffer: .*set sampler=noise"):
        short.sample(1, sampler="buffer")


@pytest.mark.parametrize(
    ("support", "keys", "message"),
    [
        ("binary", {"objective": "sliced"}, "model.objective=sliced: .* set model.objective=contrastive"),
        ("binary", {"noise": 0.1}, "model.noise=0.1: .* leave it null"),
        ("binary", {"sigma": 0.1}, "model.sigma=0.1: .* leave it null"),
        ("binary", {"flips": "one", "step": 0.1}, "model.step=0.1: with model.flips=one .* leave it null"),
        ("unit", {"metropolis": True, "step": 0.1}, "model.step=0.1: .* at most 0.08; .* leave it null"),
        ("binary", {"metropolis": False}, "model.metropolis=false: .* leave it null"),
        ("real", {"noise": 0.1}, "model.noise=0.1: corrected chains .* set model.metropolis=false"),
        ("real", {"objective": "denoising", "sigma": 0.0}, "model.sigma=0.0: .* leave it null"),
        ("real", {"objective": "sliced", "activation": "relu"}, "model.activation=relu .* set model.activation=silu"),
    ],
)
def test_choices_that_exclude_each_other_end_in_one_line(support: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(GenlabError, match=message):
        model_of(spec(support, 2, mean=0.5), **keys)


def test_a_network_that_is_too_deep_is_refused_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "model=ebm", "model.network=conv", "model.hidden=[4,4,4,4]", f"hydra.run.dir={tmp_path}"]
    assert_refused(call(arguments, capsys), "model.hidden=[4, 4, 4, 4]")


def test_an_older_checkpoint_opens() -> None:
    model, other = (model_of(spec("real", 2), buffer=30, hidden=[8]) for _ in range(2))
    assert other.replay_buffer is not None
    other.replay_buffer.states.fill_(2.0)
    names = {"replay_buffer.": "replay.", "ema.": "averaged.", "scaling.": "units."}
    older = other.state_dict()
    for new, old in names.items():
        older = {name.replace(new, old, 1) if name.startswith(new) else name: value for name, value in older.items()}
    model.load_state_dict(older)
    assert model.replay_buffer is not None
    assert torch.equal(model.replay_buffer.states, other.replay_buffer.states)
