"""What is known exactly of the data, beside what a model has learned of them.

    entropy         H = -E log p(x) of the distribution of the data: the floor of every negative log-likelihood
    kl_divergence   E_p [log p(x) - log q(x)] of a model q: how far its negative log-likelihood is above H

Where all configurations can be listed (an Ising lattice of 4 x 4), the divergence is the sum over them: exact for an exact q, and
an upper bound where log q is a lower bound. Else it is the mean of log p - log q over the test split: the scatter from example to
example that both share cancels. A log-likelihood of the model has that of the truth, on the same test examples, in the column
`real`.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.truth import KnowsEntropy, KnowsLogProb, KnowsStates
from genlab.evaluation.entries import Entry, Kind, entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.inference.likelihood import LogLikelihood, bits_per_dimension, log_likelihoods
from genlab.metrics.estimate import Estimate, mean
from genlab.numerics.rng import seeded

KINDS: dict[Kind, Kind] = {"exact": "estimate", "lower bound": "upper bound", "estimate": "estimate"}
"""Kind of a log-likelihood -> kind of the divergence that follows from it on a finite test split."""
NEGLECTED = 1e-6  # of the probability, where each log q is drawn and costs much
MOST_DRAWS = 100  # of h for each configuration


def comparison_with_truth(context: EvaluationContext, findings: Findings) -> None:
    """Entropy of the data; log p of the truth beside the likelihoods of the model, and the divergences between both."""
    model, dataset, truth = context.model, context.dataset, context.dataset.truth
    entropy = truth.entropy() if isinstance(truth, KnowsEntropy) else None
    if entropy is not None:
        findings.entries["entropy"] = Entry("likelihood", entropy, None, "nats", "exact")
    if not isinstance(truth, KnowsLogProb) or truth.discrete != getattr(model, "discrete", None):
        return
    log_p = torch.cat([truth.log_prob(batch.x) for batch in context.test_batches])
    for likelihood in findings.likelihoods:
        real = mean(likelihood.of_same(log_p))
        bits = bits_per_dimension(real, dataset.spec, dataset.represent)
        for name, beside in (("log_likelihood", real), ("bits_per_dim", bits)):
            key = f"{name}_{likelihood.name}"
            findings.entries[key] = replace(findings.entries[key], real=beside)
    states = truth.states() if isinstance(truth, KnowsStates) else None
    if states is not None and findings.likelihoods:
        _over_all_states(context, findings, states, truth.log_prob(states))
        return
    for likelihood in findings.likelihoods:
        excess = mean(likelihood.of_same(log_p) - likelihood.values)
        divergence = Estimate(excess.value, math.hypot(excess.stderr, likelihood.common_stderr))
        kind = KINDS[likelihood.kind]
        findings.entries[f"kl_divergence_{likelihood.name}"] = entry("likelihood", divergence, "nats", "lower", kind)


def _over_all_states(context: EvaluationContext, findings: Findings, states: Tensor, log_p: Tensor) -> None:
    """sum_x p(x) [log p(x) - log q(x)]. Where log q is drawn it is drawn twice, which shows the error."""
    drawn = any(likelihood.kind != "exact" for likelihood in findings.likelihoods)
    if drawn:
        order = log_p.argsort(descending=True)
        kept = order[: int((log_p[order].exp().cumsum(0) < 1 - NEGLECTED).sum()) + 1]
        states, log_p = states[kept], log_p[kept]
    p = log_p.exp()
    passes = [_likelihoods(context, states, p, number) for number in range(2 if drawn else 1)]
    for likelihoods in zip(*passes, strict=True):
        first = likelihoods[0]
        log_q = torch.stack([one.values for one in likelihoods]).mean(0)
        value, error = float((p * (log_p - log_q)).sum()), None
        if drawn:
            error = 0.5 * float((p * (likelihoods[0].values - likelihoods[1].values)).square().sum().sqrt())
            error = math.hypot(error, first.common_stderr)
        kind: Kind = "exact" if first.kind == "exact" else KINDS[first.kind]
        findings.entries[f"kl_divergence_{first.name}"] = Entry("likelihood", value, error, "nats", kind, "lower")


def _likelihoods(context: EvaluationContext, states: Tensor, p: Tensor, number: int) -> list[LogLikelihood]:
    """Log-likelihoods of all `states`, of the probabilities p, with the draws of the pass `number`."""
    model, settings = context.model, context.settings

    def batches() -> Iterator[Batch]:
        for part in states.split(2000):
            yield Batch(part.to(model.device), None, 1.0)

    with seeded(settings.seed, "states", number, device=model.device):
        start = states[p.multinomial(settings.annealing.chains, replacement=True)].to(model.device)
        return log_likelihoods(model, batches(), min(settings.k, MOST_DRAWS), settings.annealing, start, len(states))
