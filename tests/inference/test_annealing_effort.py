"""Annealing takes as many temperatures as the question needs: a sixteenth where that answers it, else all of them."""

import torch

from genlab.inference.annealing_effort import LEAST_TEMPERATURES, NEGLIGIBLE, anneal_both_ways
from genlab.inference.partition import Annealing, ais, exact_log_z, reverse_ais
from tests.helpers.boltzmann_machines import rbm

ANNEALING = Annealing(chains=50, temperatures=2_000, schedule="even", sweeps=20)


def test_a_simple_machine_is_answered_by_few_temperatures() -> None:
    machine = rbm(8, 3, strength=0.05)
    with torch.no_grad():
        machine.a.copy_(machine.base_bias)  # nearly the distribution from which annealing starts
    used, forward, reverse = anneal_both_ways(machine, ANNEALING, torch.zeros(50, 8).double(), 0.0)
    assert used.temperatures == max(LEAST_TEMPERATURES, 125)
    log_z = exact_log_z(machine)
    assert log_z is not None
    assert abs(forward.value - log_z) < NEGLIGIBLE
    assert abs(reverse.value - log_z) < NEGLIGIBLE


def test_others_get_all_temperatures_and_the_draws_that_they_would_have_had() -> None:
    machine, examples = rbm(10, 8, strength=2.0), torch.zeros(50, 10).double()
    torch.manual_seed(0)
    used, forward, reverse = anneal_both_ways(machine, ANNEALING, examples, 0.0)
    assert used == ANNEALING
    torch.manual_seed(0)
    assert forward.value == ais(machine, ANNEALING.betas, 50).value
    assert reverse.value == reverse_ais(machine, ANNEALING.betas, machine.settle(examples, 20)).value


def test_the_error_over_examples_decides() -> None:
    """Where the examples scatter by nats, log Z need not be known to hundredths."""
    machine, examples = rbm(10, 8, strength=2.0), torch.zeros(50, 10).double()
    used, forward, reverse = anneal_both_ways(machine, ANNEALING, examples, 10.0)
    assert used.temperatures < ANNEALING.temperatures
    log_z = exact_log_z(machine)
    assert log_z is not None
    assert abs(forward.value - log_z) < 1.0 > abs(reverse.value - log_z)
