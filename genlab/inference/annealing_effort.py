"""log Z by annealing from both sides, with no more temperatures than the question needs.

The rule. Annealing begins with a sixteenth of the temperatures. It ends there where the two sides agree and the error of each,
their difference included, is below a tenth of the error that the mean over the examples has anyway, or below 0.01 nats. All
other subjects get all temperatures, and draws that do not depend on whether fewer were tried before.
"""

import math
from dataclasses import replace

from torch import Tensor

from genlab.inference.partition import Annealing, LogZ, ais, reverse_ais
from genlab.models.abilities import Anneals
from genlab.numerics.rng import seeded

FEWER = 16
LEAST_TEMPERATURES = 100
SHARE = 0.1
"""Of the error over examples, which an error of log Z may add: together they are 1.005 times as large."""
NEGLIGIBLE = 0.01
"""Nats; 1 % of a probability."""


def anneal_both_ways(
    model: Anneals, annealing: Annealing, examples: Tensor, stderr: float
) -> tuple[Annealing, LogZ, LogZ]:
    """The annealing that was enough, and log Z of it forward and in reverse.

    Reverse chains start from `examples`, (chains, *shape). `stderr` is the error over examples in nats.
    """
    few = replace(annealing, temperatures=max(LEAST_TEMPERATURES, annealing.temperatures // FEWER))
    if few.temperatures < annealing.temperatures:
        with seeded(0, "few temperatures", device=examples.device):
            forward, reverse = _both_ways(model, few, examples)
        if _error(forward, reverse) < max(SHARE * stderr, NEGLIGIBLE):
            return few, forward, reverse
    return annealing, *_both_ways(model, annealing, examples)


def _both_ways(model: Anneals, annealing: Annealing, examples: Tensor) -> tuple[LogZ, LogZ]:
    forward = ais(model, annealing.betas, annealing.chains)
    return forward, reverse_ais(model, annealing.betas, model.settle(examples, annealing.sweeps))


def _error(forward: LogZ, reverse: LogZ) -> float:
    """Of log Z in nats, from the scatter of the weights and from what the sides differ; infinite where it is not a number."""
    error = max(forward.stderr, reverse.stderr, abs(forward.value - reverse.value))
    return error if math.isfinite(error) else math.inf
