"""log Z by enumeration, by annealed importance sampling from both ends, and the likelihoods that follow.

Estimates are compared in standard errors: 3 where the seed is fixed for a published claim, 4.5 where many are compared at once.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.evaluation import diagnoses
from genlab.inference import partition
from genlab.inference.likelihood import log_likelihoods
from genlab.inference.partition import Annealing, ais, configurations, exact_log_z, reverse_ais
from genlab.models.boltzmann.gaussian_rbm import GaussianRBM
from genlab.models.boltzmann.rbm import RBM
from tests.helpers.boltzmann_machines import gaussian, log_joint, log_weights, rbm, visible_states
from tests.helpers.draws import deviation, p_value, states

RARE, FAR = 1e-4, 4.5
EVEN = Annealing(chains=100, temperatures=1000, schedule="even", sweeps=50)
MACHINES: dict[str, Callable[..., RBM | GaussianRBM]] = {"binary": rbm, "gaussian": gaussian}


def exact_draws(machine: RBM | GaussianRBM, n: int) -> Tensor:
    """v of (h, v): h by enumeration, then v given h."""
    h = states(machine.hidden)
    with torch.no_grad():
        log_w = torch.cat([machine.log_sum_over_visible(part) for part in h.split(4096)])
        which = log_w.softmax(0).multinomial(n, replacement=True)
        return machine.draw_visible(machine.visible_input(h[which]))


def exact(machine: RBM | GaussianRBM) -> float:
    log_z = exact_log_z(machine)
    assert log_z is not None
    return log_z


def test_configurations_are_all_there_once() -> None:
    parts = list(configurations(14))
    assert [len(part) for part in parts] == [2**13, 2**13]
    assert len(torch.cat(parts).unique(dim=0)) == 2**14


def test_temperatures_are_spaced_as_published() -> None:
    """Salakhutdinov & Murray 2008: 500 below 1/2, 4,000 between 0.5 and 0.9, 10,000 above, evenly in each part."""
    betas = replace(EVEN, temperatures=14_500, schedule="salakhutdinov").betas
    assert betas.dtype == torch.float64
    assert len(betas) == 14_501
    for low, high, first, n in ((0.0, 0.5, 0, 500), (0.5, 0.9, 500, 4000), (0.9, 1.0, 4500, 10_000)):
        expected = low + (high - low) / n * torch.arange(n + 1, dtype=torch.float64)
        torch.testing.assert_close(betas[first : first + n + 1], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("schedule", ["salakhutdinov", "even"])
@pytest.mark.parametrize("temperatures", [3, 29, 100, 1000])
def test_temperatures_rise_from_0_to_1(temperatures: int, schedule: str) -> None:
    betas = replace(EVEN, temperatures=temperatures, schedule=schedule).betas  # type: ignore[arg-type]
    assert (float(betas[0]), float(betas[-1]), len(betas)) == (0.0, 1.0, temperatures + 1)
    assert bool((betas.diff() > 0).all())


@pytest.mark.parametrize(("beta", "following"), [(0.0, 0.3), (0.6, 0.605), (1.0, 0.4), (0.605, 0.6), (0.99, 1.0)])
@pytest.mark.parametrize("classes", [0, 2])
def test_increments_of_a_binary_machine_and_its_kernel(classes: int, beta: float, following: float) -> None:
    """log p*_b'(v) - log p*_b(v), and v' ~ sum_h p_b'(h|v) p_b'(v'|h) from one v, in both branches of the formula."""
    machine = rbm(3, 4, classes, strength=1.5)
    table, h = visible_states(machine), states(4)
    at, to = log_joint(machine, table, h, beta), log_joint(machine, table, h, following)
    increment, _ = machine.anneal(table.clone(), beta, following)
    torch.testing.assert_close(
        increment, to.logsumexp(1) - at.logsumexp(1), atol=1e-6, rtol=0
    )  # logits of float32 means
    torch.manual_seed(0)
    kernel = to.softmax(1) @ to.softmax(0).T
    _, moved = machine.anneal(table[5].repeat(8000, 1), beta, following)
    assert p_value(moved, table, kernel[5]) > RARE


@pytest.mark.parametrize(("beta", "following"), [(0.0, 0.3), (0.6, 0.605), (1.0, 0.4), (0.99, 1.0)])
@pytest.mark.parametrize("classes", [0, 2])
def test_increments_of_a_gaussian_machine_and_its_kernel(classes: int, beta: float, following: float) -> None:
    machine = gaussian(3, 4, classes)
    h, d = states(4), 3
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(20, d + classes, generator=generator, dtype=torch.float64)
    v[:, d:] = torch.eye(classes)[torch.randint(max(1, classes), (20,), generator=generator)] if classes else 0
    s2, a = machine.log_var.detach().exp(), machine.a.detach()

    def log_p(at: float, rows: Tensor) -> Tensor:
        """log of exp(-E_at(v, h)) for every v and h."""
        with torch.no_grad():
            energy = ((rows[:, :d] - a[:d]).square() / (2 * s2)).sum(1) - rows[:, d:] @ a[d:]
            u = torch.cat([rows[:, :d] / s2, rows[:, d:]], 1)
            base = rows[:, :d].square().sum(1) / 2  # each component in units of its own standard deviation
            return -((1 - at) * base + at * energy)[:, None] + at * (u @ machine.W @ h.T + h @ machine.b)

    increment, _ = machine.anneal(v.clone(), beta, following)
    expected = log_p(following, v).logsumexp(1) - log_p(beta, v).logsumexp(1)
    torch.testing.assert_close(increment, expected, atol=1e-6, rtol=0)
    with torch.no_grad():
        of_h = log_p(following, v[:1]).softmax(1)[0]
        precision = (1 - following) + following / s2
        means = following * (a + h @ machine.W.T)[:, :d] / s2 / precision
        torch.manual_seed(0)
        _, moved = machine.anneal(v[:1].repeat(20_000, 1), beta, following)
    drawn, second = moved[:, :d], of_h @ (means.square() + 1 / precision)
    assert deviation(torch.cat([drawn, drawn.square()], 1), torch.cat([of_h @ means, second])) < FAR


@pytest.mark.parametrize("schedule", ["salakhutdinov", "even"])
@pytest.mark.parametrize(
    ("kind", "visible", "hidden", "strength"),
    [("binary", 24, 16, 0.7), ("gaussian", 12, 15, 0.35), ("binary", 18, 30, 0.5)],
)
def test_both_estimates_are_within_three_standard_errors(
    kind: str, visible: int, hidden: int, strength: float, schedule: str
) -> None:
    machine = MACHINES[kind](visible, hidden, strength=strength)
    truth, betas = exact(machine), replace(EVEN, schedule=schedule).betas  # type: ignore[arg-type]
    torch.manual_seed(0)
    forward = ais(machine, betas, 100)
    draws = exact_draws(machine, 100) if hidden <= 16 else machine.settle(machine.base_draws(100), 500)
    reverse = reverse_ais(machine, betas, draws)
    assert ais(machine, torch.tensor([0.0, 1.0]), 100).ess < 15  # one step from the base to the model is too long
    for found in (forward, reverse):
        assert abs(found.value - truth) < 3 * found.stderr
        assert found.stderr < 0.3
        assert 20 < found.ess <= 100


@pytest.mark.parametrize("kind", ["binary", "gaussian"])
def test_errors_are_as_large_as_they_claim_to_be(kind: str) -> None:
    """40 estimates: their deviations in standard errors have the mean 0 (to 4/sqrt(40)) and the spread 1 (to 4/sqrt(80))."""
    machine = MACHINES[kind](4, 4)
    truth, betas = exact(machine), replace(EVEN, temperatures=30).betas
    torch.manual_seed(0)
    draws = exact_draws(machine, 40 * 200).split(200)
    for estimates in ([ais(machine, betas, 200) for _ in range(40)], [reverse_ais(machine, betas, d) for d in draws]):
        scores = torch.tensor([(found.value - truth) / found.stderr for found in estimates])
        assert abs(float(scores.mean())) < 4 / 40**0.5
        assert abs(float(scores.std()) - 1) < 4 / 80**0.5


def test_reverse_annealing_errs_as_its_starts_are_no_draws_of_the_machine() -> None:
    """E 1/w = (Z_0/Z) sum_x q(x) p_F(x)/p(x). From ends of forward chains it is sum p_F^2/p > 1: log Z is too small both ways."""
    machine = rbm(6, 5, strength=2.0)
    truth, betas = exact(machine), torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)
    log_p = log_joint(machine, visible_states(machine), states(5)).logsumexp(1).log_softmax(0)

    torch.manual_seed(0)
    n, places = 200_000, 2.0 ** torch.arange(5, -1, -1).double()
    _, v = machine.anneal(machine.base_draws(n), 0.0, 0.4)  # where the last weights are taken
    p_f = (v @ places).long().bincount(minlength=64).double() / n
    bias = float((p_f.square() / log_p.exp()).sum())
    found = reverse_ais(machine, betas, v)
    assert bias > 1.2
    assert deviation((truth - found.log_weights).exp()[:, None], torch.full((1,), bias)) < FAR
    forward = ais(machine, betas, n)
    assert abs(forward.value - truth) < FAR * forward.stderr
    assert found.value < truth - 0.1, "against Jensen's order"
    facts = [{"log_z": one.value, "log_z_stderr": one.stderr} for one in (forward, found)]
    told = diagnoses.annealing_disagrees(facts[0], facts[1], 1000)
    assert told is not None
    assert "below that forwards" in told.evidence
    told = diagnoses.annealing_disagrees(facts[1], facts[0], 1000)
    assert told is not None
    assert "lies between the two" in told.evidence
    assert diagnoses.annealing_disagrees(facts[0], facts[0], 1000) is None


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("kind", ["binary", "gaussian"])
def test_weights_are_unbiased_however_few_the_temperatures(kind: str, classes: int) -> None:
    """E w = Z and E 1/w = 1/Z for three temperatures, while the mean of log w errs to either side."""
    machine = MACHINES[kind](4, 3, classes)
    truth, betas = exact(machine), torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
    torch.manual_seed(0)
    forward, reverse = ais(machine, betas, 20_000), reverse_ais(machine, betas, exact_draws(machine, 20_000))
    assert deviation((forward.log_weights - truth).exp()[:, None], torch.ones(1)) < FAR
    assert deviation((truth - reverse.log_weights).exp()[:, None], torch.ones(1)) < FAR
    assert deviation(forward.log_weights[:, None], torch.full((1,), truth)) > 2 * FAR
    assert float(forward.log_weights.mean()) < truth < float(reverse.log_weights.mean())


def test_equal_weights_count_in_full_and_lead_to_the_exact_value() -> None:
    """A machine that is its own base distribution; one weight among n that are void counts alone."""
    machine = rbm(4, 3)
    with torch.no_grad():
        machine.W.zero_()
        machine.b.zero_()
        machine.a.copy_(machine.base_bias)
    for found in (ais(machine, EVEN.betas, 10), reverse_ais(machine, EVEN.betas, machine.base_draws(10))):
        assert found.ess == pytest.approx(10)
        assert found.stderr == pytest.approx(0, abs=1e-9)
        assert found.value == pytest.approx(exact(machine), abs=1e-9)
    single = partition._estimate(torch.tensor([0.0] + [-500.0] * 9).double(), sign=1)
    assert single.ess == pytest.approx(1)
    assert single.value == pytest.approx(-math.log(10))


@pytest.mark.parametrize("kind", ["binary", "gaussian"])
def test_likelihoods_by_enumeration_and_by_annealing_agree(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same small machine, first enumerated and then as if it were too large for that."""
    machine = MACHINES[kind](5, 4)
    x = machine.restore(exact_draws(machine, 60))
    batches, train = [Batch(part, None, 1.0) for part in x.split(25)], x[:7]  # fewer examples than chains
    (found,) = log_likelihoods(machine, batches, 1, EVEN, train)
    assert (found.name, found.kind, found.common_stderr) == ("exact", "exact", 0.0)
    if isinstance(machine, GaussianRBM):
        log_z = log_weights(machine, states(4)).logsumexp(0)
    else:
        log_z = log_joint(machine, states(5), states(4)).logsumexp((0, 1))
    assert found.facts == {"log_z": pytest.approx(float(log_z), abs=1e-10)}
    torch.testing.assert_close(found.values, -machine.free_energy(x).detach() - log_z, atol=1e-10, rtol=0)
    monkeypatch.setattr(partition, "MOST_UNITS", 3)
    assert exact_log_z(machine) is None
    torch.manual_seed(0)
    both = log_likelihoods(machine, batches, 1, EVEN, train)
    assert [(one.name, one.kind) for one in both] == [("ais", "estimate"), ("reverse_ais", "estimate")]
    for one in both:
        stderr = one.facts["log_z_stderr"]
        assert 0 < stderr == one.common_stderr < 0.1
        assert one.facts["log_z_interval"] == pytest.approx(
            [one.facts["log_z"] - 3 * stderr, one.facts["log_z"] + 3 * stderr]
        )
        assert one.facts["log_z_interval"][0] < float(log_z) < one.facts["log_z_interval"][1]
        torch.testing.assert_close(
            found.values - one.values, torch.full((60,), one.facts["log_z"] - float(log_z)).double()
        )
        own = float(one.values.std()) / 60**0.5
        assert one.mean.stderr == pytest.approx(math.hypot(own, stderr))
