"""What is known exactly of the data, beside what a model makes of them.

    entropy         H = -E log p(x) of the distribution of the data: the floor of every negative log-likelihood
    kl_divergence   E_p [log p(x) - log q(x)] of a model q: how far its negative log-likelihood is above H

Where all configurations can be listed (an Ising lattice of 4 x 4), the divergence is the sum over them: exact for an exact q, and
an upper bound where log q is a lower bound. Else it is the mean over the test split, which is paired: of log p and log q the
scatter that both share from example to example cancels. A log-likelihood of the model has that of the truth, on the same test
examples, in the column `real`.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset
from genlab.data.truth import KnowsEntropy, KnowsLogProb, KnowsStates
from genlab.evaluation.entries import Entry, Kind, entry
from genlab.evaluation.held_out import HeldOut, held_out_batches
from genlab.inference.likelihood import LogLikelihood, bits_per_dimension, log_likelihoods
from genlab.inference.partition import Annealing
from genlab.metrics.estimate import Estimate, mean
from genlab.models.base import Model
from genlab.numerics.rng import seeded

KINDS: dict[Kind, Kind] = {"exact": "estimate", "lower bound": "upper bound", "estimate": "estimate"}
"""Kind of a log-likelihood -> that of the divergence which follows from it on a finite test split."""
NEGLECTED = 1e-6  # of the probability, where each log q is drawn and costs much
MOST_DRAWS = 100  # of h for each configuration


def compare_with_truth(found: HeldOut, model: Model, dataset: Dataset, seed: int, k: int, annealing: Annealing) -> None:
    """Adds to `found` what is known of the data, and sets the likelihoods that it holds beside it.

    `k` draws for the bound on the log q of each configuration, where all of these are listed.
    """
    truth = dataset.truth
    entropy = truth.entropy() if isinstance(truth, KnowsEntropy) else None
    if entropy is not None:
        found.entries["entropy"] = Entry("likelihood", entropy, None, "nats", "exact")
    if not isinstance(truth, KnowsLogProb) or truth.discrete != getattr(model, "discrete", None):
        return
    batches = held_out_batches(dataset, model, seed)
    log_p = torch.cat([truth.log_prob(batch.x) for batch in batches])
    for likelihood in found.likelihoods:
        real = mean(log_p[: len(likelihood.values)])  # a flow carries the first examples only
        bits = bits_per_dimension(real, dataset.spec, dataset.represent)
        for name, beside in (("log_likelihood", real), ("bits_per_dim", bits)):
            key = f"{name}_{likelihood.name}"
            found.entries[key] = replace(found.entries[key], real=beside)
    states = truth.states() if isinstance(truth, KnowsStates) else None
    if states is not None and found.likelihoods:
        _over_all_states(found, model, states, truth.log_prob(states), seed, min(k, MOST_DRAWS), annealing)
        return
    for likelihood in found.likelihoods:
        excess = mean(log_p[: len(likelihood.values)] - likelihood.values)
        divergence = Estimate(excess.value, math.hypot(excess.stderr, likelihood.common_stderr))
        kind = KINDS[likelihood.kind]
        found.entries[f"kl_divergence_{likelihood.name}"] = entry("likelihood", divergence, "nats", "lower", kind)


def _over_all_states(
    found: HeldOut, model: Model, states: Tensor, log_p: Tensor, seed: int, k: int, annealing: Annealing
) -> None:
    """sum_x p(x) [log p(x) - log q(x)]; where log q is drawn, twice, so that its error is seen."""
    drawn = any(likelihood.kind != "exact" for likelihood in found.likelihoods)
    if drawn:
        order = log_p.argsort(descending=True)
        kept = order[: int((log_p[order].exp().cumsum(0) < 1 - NEGLECTED).sum()) + 1]
        states, log_p = states[kept], log_p[kept]
    p = log_p.exp()
    passes = [_likelihoods(model, states, seed, number, k, annealing) for number in range(2 if drawn else 1)]
    for likelihoods in zip(*passes, strict=True):
        first = likelihoods[0]
        log_q = torch.stack([one.values for one in likelihoods]).mean(0)
        value, error = float((p * (log_p - log_q)).sum()), None
        if drawn:
            error = 0.5 * float((p * (likelihoods[0].values - likelihoods[1].values)).square().sum().sqrt())
            error = math.hypot(error, first.common_stderr)
        kind: Kind = "exact" if first.kind == "exact" else KINDS[first.kind]
        found.entries[f"kl_divergence_{first.name}"] = Entry("likelihood", value, error, "nats", kind, "lower")


def _likelihoods(
    model: Model, states: Tensor, seed: int, number: int, k: int, annealing: Annealing
) -> list[LogLikelihood]:
    def batches() -> Iterator[Batch]:
        for part in states.split(2000):
            yield Batch(part.to(model.device), None, 1.0)

    with seeded(seed, "states", number, device=model.device):
        return log_likelihoods(model, batches(), k, annealing, states[: annealing.chains].to(model.device))
