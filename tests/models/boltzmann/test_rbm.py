"""The binary restricted Boltzmann machine against enumeration, and its training.

Draws are compared by chi-square, whose p-value a right machine puts below 1e-4 once in 10,000 seeds, or by the largest
distance of a mean in standard errors, which 4.5 exceeds for one component in 150,000.
"""

import inspect
import re
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import genlab.models.boltzmann.rbm as rbm_module
from genlab.data.batches import Batch
from genlab.inference.partition import exact_log_z
from genlab.metrics.estimate import mean
from genlab.models.boltzmann.gradients import write_gradients
from genlab.models.boltzmann.machine import BoltzmannMachine
from genlab.models.boltzmann.rbm import RBM
from tests.helpers.boltzmann_machines import (
    KEYS,
    assert_same,
    autograd_gradients,
    centred_gradients,
    log_joint,
    log_p_visible,
    rbm,
    visible_states,
    written_gradients,
)
from tests.helpers.draws import deviation, p_value, states
from tests.helpers.support import adam_recipe

RARE, FAR = 1e-4, 4.5


def some(n: int, machine: RBM, seed: int) -> Tensor:
    """Visible units of n examples, each with a class."""
    generator = torch.Generator().manual_seed(seed)
    table = visible_states(machine)
    return table[torch.randint(len(table), (n,), generator=generator)]


@pytest.mark.parametrize("classes", [0, 3])
def test_energies_probabilities_and_classes_are_those_of_enumeration(classes: int) -> None:
    machine = rbm(6, 4, classes)
    x, v, h = states(6), visible_states(machine), states(4)
    log_p = log_joint(machine, v, h)  # of v = (x, y) and h
    log_z = float(log_p.logsumexp((0, 1)))
    with torch.no_grad():
        torch.testing.assert_close(-machine.free_energy_of(v), log_p.logsumexp(1), atol=1e-12, rtol=0)
        of_x = log_p.logsumexp(1).reshape(64, -1)  # (x, y)
        torch.testing.assert_close(-machine.free_energy(x), of_x.logsumexp(1), atol=1e-12, rtol=0)
        assert [units for units, _ in machine.log_marginals()] == [4, 6]
        for units, log_sum_over_rest in machine.log_marginals():
            assert float(log_sum_over_rest(states(units)).logsumexp(0)) == pytest.approx(log_z, abs=1e-12)
        assert exact_log_z(machine) == pytest.approx(log_z, abs=1e-12)
        assert float((-machine.free_energy(x) - log_z).exp().sum()) == pytest.approx(1, abs=1e-12)
        of_h = (log_p.reshape(64, -1, 16).logsumexp(1) - of_x.logsumexp(1, keepdim=True)).exp() @ h  # p(h_j = 1|x)
        torch.testing.assert_close(machine.encode(x), of_h, atol=1e-12, rtol=0)
        if classes:
            torch.testing.assert_close(machine.classify(x), of_x.log_softmax(1), atol=1e-12, rtol=0)


@pytest.mark.parametrize("sparsity", [0.0, 3.0])
@pytest.mark.parametrize(("n", "m", "classes"), [(5, 5, 0), (4, 9, 0), (9, 4, 3)])
def test_gradients_are_those_of_free_energies_and_of_the_penalty(n: int, m: int, classes: int, sparsity: float) -> None:
    machine = rbm(6, 4, classes, sparsity=sparsity, sparsity_target=0.2)
    v, v_model = some(n, machine, 1), some(m, machine, 2)
    h_mean = torch.sigmoid(machine.b + v @ machine.W).mean(0)
    loss = machine.free_energy_of(v).mean() - machine.free_energy_of(v_model).mean()
    expected = autograd_gradients(machine, loss + sparsity / 2 * (h_mean - 0.2).square().sum())
    assert_same(written_gradients(machine, v, v_model), expected)
    machine.centred = True
    assert_same(written_gradients(machine, v, v_model), centred_gradients(machine, expected))


def test_centred_gradient_is_the_formula_of_melchior() -> None:
    machine = rbm(6, 4, centred=True)
    v, v_model = some(7, machine, 1), some(4, machine, 2)
    found, expected = written_gradients(machine, v, v_model), {}
    with torch.no_grad():
        h, h_model = (torch.sigmoid(machine.b + rows @ machine.W) for rows in (v, v_model))
        data = (v - machine.mu).T @ (h - machine.lam) / 7
        expected["W"] = data - (v_model - machine.mu).T @ (h_model - machine.lam) / 4
        expected["a"] = v.mean(0) - v_model.mean(0) - expected["W"] @ machine.lam
        expected["b"] = h.mean(0) - h_model.mean(0) - expected["W"].T @ machine.mu
    assert_same(found, {name: -value for name, value in expected.items()})


@pytest.mark.parametrize("sparsity", [0.0, 3.0])
@pytest.mark.parametrize("is_centred", [True, False])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 9), (9, 4)])
def test_the_gradient_in_place_is_the_formula_of_its_docstring(
    n: int, m: int, is_centred: bool, sparsity: float
) -> None:
    """The lines of the docstring are run as they stand there."""
    machine = rbm(6, 4, centred=is_centred, sparsity=sparsity, sparsity_target=0.2)
    v, v_model = some(n, machine, 1), some(m, machine, 2)
    lines = [line.strip() for line in str(inspect.getdoc(write_gradients)).splitlines() if re.match(r" +\w+ = ", line)]
    assert len(lines) == 4
    with torch.no_grad():
        known: dict[str, object] = {
            "n": n,
            "m": m,
            "u_data": v,
            "u_model": v_model,
            "h_data": torch.sigmoid(machine.b + v @ machine.W),
            "h_model": torch.sigmoid(machine.b + v_model @ machine.W),
            "mu": machine.mu if is_centred else torch.zeros(6).double(),
            "lam": machine.lam if is_centred else torch.zeros(4).double(),
            "strength": sparsity,
            "target": 0.2,
        }
        exec("\n".join(lines), {}, known)
    found = written_gradients(machine, v, v_model)
    for name in ("W", "a", "b"):
        expected = known[f"d{name}"]
        assert isinstance(expected, Tensor)
        torch.testing.assert_close(-found[name], expected, atol=1e-12, rtol=0)


def expected_gradients(machine: RBM, v: Tensor) -> dict[str, Tensor]:
    """The written gradients, linear in the model's phase, averaged over all states of the machine at p(v)."""
    parts = [written_gradients(machine, v, state[None]) for state in visible_states(machine)]
    p = log_p_visible(machine).exp().tolist()
    return {name: sum((w * part[name] for w, part in zip(p, parts, strict=True)), torch.zeros(())) for name in parts[0]}


@pytest.mark.parametrize("classes", [0, 2])
def test_gradients_are_those_of_the_exact_log_likelihood(classes: int) -> None:
    """log Z differentiated through the enumeration against <u h>_data - <u h>_model, in both parametrisations."""
    machine = rbm(5, 3, classes)
    v = some(6, machine, 3)
    log_z = torch.logsumexp(-machine.free_energy_of(visible_states(machine)), 0)
    exact = autograd_gradients(machine, machine.free_energy_of(v).mean() + log_z)
    assert_same(expected_gradients(machine, v), exact)
    machine.centred = True
    assert_same(expected_gradients(machine, v), centred_gradients(machine, exact))


def test_centred_energies_describe_the_same_distribution() -> None:
    """E = -(x - mu)a' - (h - lam)b' - (x - mu)W(h - lam) has a = a' - W lam, b = b' - W^T mu."""
    machine = rbm(5, 3)
    x, h = states(5) - machine.mu, states(3) - machine.lam
    with torch.no_grad():
        a, b = machine.a + machine.W @ machine.lam, machine.b + machine.W.T @ machine.mu
        log_p = (x @ a)[:, None] + h @ b + x @ machine.W @ h.T
        found = -machine.free_energy(states(5)) - float(exact_log_z(machine) or 0)
    torch.testing.assert_close(found, log_p.logsumexp(1).log_softmax(0), atol=1e-12, rtol=0)


def flip(machine: BoltzmannMachine, x: Tensor, h: Tensor) -> None:
    """Rename units: v_i becomes 1 - v_i where x_i is 1, h_j becomes 1 - h_j where h_j is 1."""
    with torch.no_grad():
        for units, own, others, W, offset in (
            (x, machine.a, machine.b, machine.W, machine.mu),
            (h, machine.b, machine.a, machine.W.T, machine.lam),
        ):
            others.add_(units @ W)
            own.mul_(1 - 2 * units)
            W.mul_((1 - 2 * units)[:, None])
            offset.copy_(units + (1 - 2 * units) * offset)


@pytest.mark.parametrize("is_centred", [True, False])
def test_a_centred_step_does_not_depend_on_which_state_is_called_one(is_centred: bool) -> None:
    """A step, then units renamed, against the renamed machine's step: equal where centred, and else not."""
    x, h = torch.tensor([1.0, 0, 1, 1, 0]).double(), torch.tensor([0.0, 1, 1]).double()
    first, second = rbm(5, 3, centred=is_centred), rbm(5, 3, centred=is_centred)
    v, v_model = some(7, first, 1), some(4, first, 2)
    before = log_p_visible(first)
    flip(second, x, h)
    renamed = ((states(5) - x).abs() @ torch.tensor([16, 8, 4, 2, 1]).double()).long()
    torch.testing.assert_close(log_p_visible(second)[renamed], before, atol=1e-12, rtol=0)
    for machine, rows in ((first, (v, v_model)), (second, ((v - x).abs(), (v_model - x).abs()))):
        gradient = written_gradients(machine, *rows)
        with torch.no_grad():
            for name, parameter in machine.named_parameters():
                parameter.sub_(gradient[name])
    difference = log_p_visible(second)[renamed] - log_p_visible(first)
    assert (float(difference.abs().max()) < 1e-10) == is_centred
    if not is_centred:
        assert float(difference.abs().max()) > 0.1


def test_contrastive_divergence_loses_its_bias_with_k() -> None:
    """Its expectation by powers of the transition matrix over all visible states; the sampled phase follows it."""
    machine = rbm(4, 3, strength=1.5)
    v, n = states(4), 20_000
    table = log_joint(machine, v, states(3))
    transition = table.softmax(1) @ table.softmax(0).T
    h = torch.sigmoid(machine.b + v @ machine.W).detach()
    statistic = torch.cat([(v[:, :, None] * h[:, None, :]).flatten(1), v, h], 1)
    torch.manual_seed(0)
    data = torch.linspace(1, 9, 16).multinomial(n, replacement=True)
    q = torch.bincount(data, minlength=16) / n
    exact = log_p_visible(machine).exp() @ statistic
    bias = [
        float((q.double() @ torch.linalg.matrix_power(transition, k) @ statistic - exact).norm()) for k in range(60)
    ]
    assert all(later < earlier for earlier, later in pairwise(bias) if earlier > 1e-13)
    assert bias[1] > 0.05
    assert bias[59] < 1e-6
    for k in (1, 2, 60):
        phase = rbm(4, 3, strength=1.5, k=k)
        u, h_model = torch.zeros(n, 4).double(), torch.zeros(n, 3).double()
        with torch.no_grad():
            v_model = phase.negative(phase, h[data], u, h_model)
        assert torch.equal(u, v_model)
        draws = torch.cat([(u[:, :, None] * h_model[:, None, :]).flatten(1), u, h_model], 1)
        assert deviation(draws, q.double() @ torch.linalg.matrix_power(transition, k) @ statistic) < FAR


def test_a_mean_field_phase_takes_the_probabilities_themselves() -> None:
    machine = rbm(5, 3, mean_field=True)
    h, u, p = states(3), torch.zeros(8, 5).double(), torch.zeros(8, 3).double()
    with torch.no_grad():
        machine.negative(machine, h, u, p)  # h of 0 and 1 are drawn as they are
        torch.testing.assert_close(u, torch.sigmoid(machine.a + h @ machine.W.T))
        torch.testing.assert_close(p, torch.sigmoid(machine.b + u @ machine.W))


@pytest.mark.parametrize(("classes", "k"), [(0, 1), (2, 2)])
@pytest.mark.parametrize("negative", ["pcd", "tempered"])
def test_chains_of_the_training_sample_the_model(negative: str, classes: int, k: int) -> None:
    """The last state of independent chains; of tempered ones also h at every beta, with p_beta from its energy."""
    machine = rbm(3, 3, classes, negative=negative, k=k, chains=8000, temperatures=4, strength=1.5)
    phase, table, h = machine.negative, visible_states(machine), states(3)
    u, p = torch.zeros(8000, len(machine.a)).double(), torch.zeros(8000, 3).double()
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(60 // k):
            v = phase(machine, torch.zeros(1), u, p)
            torch.testing.assert_close(p, torch.sigmoid(machine.b + v @ machine.W))
    assert torch.equal(u, v)
    assert p_value(v, table, log_p_visible(machine).exp()) > RARE
    held = phase.h
    assert isinstance(held, Tensor)
    betas = [1.0] if negative == "pcd" else [0.0, 1 / 3, 2 / 3, 1.0]
    for rows, beta in zip(held.split(8000), betas, strict=True):
        of_h = log_joint(machine, table, h, beta).logsumexp(0).softmax(0)
        assert p_value(rows, h, of_h) > RARE
    fantasies = phase.fantasies()
    assert fantasies is not None
    assert torch.equal(fantasies, held[-8000:])
    if negative == "tempered":
        assert 0.1 < float(phase.metrics["exchanges"]) < 0.95


@pytest.mark.parametrize("classes", [0, 2])
def test_pseudo_likelihood_is_that_of_each_component_given_the_others(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum over all components of small data; of large data D times the mean over some of them, which is unbiased."""
    machine = rbm(5, 3, classes)
    v, log_p = visible_states(machine), log_p_visible(machine)
    units = torch.arange(5)

    def exchanged(i: Tensor) -> Tensor:
        """Number of each configuration's neighbour in which x_i is the other."""
        neighbour = torch.where(torch.arange(v.shape[1]) == i, 1 - v, v)
        return (neighbour[:, None] == v).all(2).long().argmax(1)

    other = torch.stack([exchanged(i) for i in units])
    conditional = (log_p - torch.logaddexp(log_p, log_p[other])).T  # p(v) over p of v and of v with x_i exchanged
    with torch.no_grad():
        every = units.expand(len(v), -1)
        torch.testing.assert_close(machine.log_conditionals(v, every), conditional, atol=1e-12, rtol=0)
        own = torch.randint(5, (len(v), 2), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(machine.log_conditionals(v, own), conditional.gather(1, own), atol=1e-12, rtol=0)
    batch = Batch(v[:, :5], v[:, 5:].argmax(1) if classes else None, 1.0)
    torch.testing.assert_close(machine.evaluate(batch)["pseudo_log_likelihood"], conditional.sum(1), atol=1e-12, rtol=0)
    monkeypatch.setattr(rbm_module, "AFFORDABLE", 2 * 3)
    torch.manual_seed(0)
    some_components = torch.stack([machine.evaluate(batch)["pseudo_log_likelihood"] for _ in range(1000)])
    assert deviation(some_components, conditional.sum(1)) < FAR


def test_the_error_of_the_pseudo_likelihood_holds_that_of_its_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Means over 60 exact draws with 2 of 12 components each scatter as their standard errors say: sd of a ratio 1/sqrt(2 R)."""
    machine = rbm(12, 4)
    machine.a.data += 2 * torch.linspace(-1, 1, 12)  # components that differ: a choice that all share would decide
    every = visible_states(machine)
    x = every[log_p_visible(machine).exp().multinomial(400 * 60, replacement=True)].split(60)
    monkeypatch.setattr(rbm_module, "AFFORDABLE", 2 * 4)
    torch.manual_seed(0)
    with torch.no_grad():
        found = [mean(machine.held_out_loss(part)["pseudo_log_likelihood"]) for part in x]
    values, errors = torch.tensor(found).T
    assert float(values.std() / errors.square().mean().sqrt()) == pytest.approx(1, abs=4 / 800**0.5)


def test_training_reaches_the_entropy_of_the_data() -> None:
    """Exact log-likelihood of a machine with hidden units enough, after persistent chains: -2 log 2 for 4 equal patterns."""
    x = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]]).double()
    machine = rbm(4, 8, negative="pcd", chains=100, centred=True, average=0.1, strength=0.01)
    batches = (Batch(x, None, i / 1500) for i in range(1500))
    (optimizer,) = machine.optimizers.values()
    optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 0.02
    for _ in machine.train_loop(batches):
        pass
    machine.eval()
    log_z = exact_log_z(machine)
    assert log_z is not None
    assert -float(machine.free_energy(x).mean()) - log_z > -2 * torch.tensor(2.0).log() - 0.1


def test_a_machine_of_another_name_trains_too() -> None:
    """The optimizer is named by the class; the training loop takes the only one that there is."""

    class OwnMachine(RBM):
        pass

    template = rbm(4, 3)
    own = OwnMachine(template.data, adam_recipe(), hidden=3, conditional=False, **KEYS)
    x = states(4).float()
    before = own.W.detach().clone()
    for _ in own.train_loop([Batch(x, None, 1.0)]):
        pass
    assert list(own.optimizers) == ["own_machine"]
    assert not torch.equal(own.W, before)


def test_the_states_of_an_update_start_at_the_examples_with_cd_only() -> None:
    x = states(6)[[5, 40]].repeat(4000, 1)
    stays = rbm(6, 3, strength=0.0, negative="cd", k=2)
    with torch.no_grad():
        stays.a.copy_(torch.tensor([9.0, -9.0, 9.0, -9.0, 9.0, -9.0]))
        found = stays.negative_states(x)
        assert found is not None
        assert (
            float((found == torch.tensor([1.0, 0, 1, 0, 1, 0])).double().mean()) > 0.999
        )  # W = 0: x is forgotten at once
        machine = rbm(6, 3, strength=2.0, negative="cd", k=1)
        torch.manual_seed(0)
        once = machine.negative_states(x)
        assert once is not None
        h = torch.sigmoid(machine.hidden_input(x[:1]))
        table = states(3).double()
        p_h = torch.prod(torch.where(table == 1, h, 1 - h), 1)
        expected = p_h @ torch.sigmoid(machine.visible_input(table))  # E over h of p(x' = 1|h)
        error = (expected * (1 - expected) / 4000).sqrt()
        assert float(((once[::2].mean(0) - expected) / error).abs().max()) < FAR
    assert rbm(6, 3, negative="pcd").negative_states(x) is None
