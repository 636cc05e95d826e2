"""What is known exactly of the data, beside what a model makes of them.

    entropy         -E log p(x) of the distribution of the data: the floor of every negative log-likelihood
    kl_divergence   E [log p(x) - log q(x)] of a model q over the test split, which is paired: of log p and log q the scatter that
                    both share from example to example cancels. From a lower bound on log q it is an upper bound.

A log-likelihood of the model has that of the truth, on the same test examples, in the column `real`.
"""

import math
from dataclasses import replace

import torch

from genlab.data.source import Dataset
from genlab.data.truth import KnowsEntropy, KnowsLogProb
from genlab.evaluation.entries import Entry, Kind, entry
from genlab.evaluation.held_out import HeldOut, held_out_batches
from genlab.likelihood.estimate import bits_per_dimension
from genlab.metrics.measure import Measure, mean
from genlab.models.base import Model

KINDS: dict[Kind, Kind] = {"exact": "estimate", "lower bound": "upper bound", "estimate": "estimate"}
"""Kind of a log-likelihood -> that of the divergence which follows from it on a finite test split."""


def compare_with_truth(found: HeldOut, model: Model, dataset: Dataset, seed: int) -> None:
    """Adds to `found` what is known of the data, and sets the likelihoods that it holds beside it."""
    truth = dataset.truth
    if isinstance(truth, KnowsEntropy):
        found.entries["entropy"] = Entry("likelihood", truth.entropy(), None, "nats", "exact")
    if not isinstance(truth, KnowsLogProb) or truth.discrete != getattr(model, "discrete", None):
        return
    batches = held_out_batches(dataset, model, seed)
    log_p = torch.cat([truth.log_prob(batch.x) for batch in batches])
    real = mean(log_p)
    bits = bits_per_dimension(real, dataset.spec, dataset.represent)
    for likelihood in found.likelihoods:
        for name, beside in (("log_likelihood", real), ("bits_per_dim", bits)):
            key = f"{name}_{likelihood.name}"
            found.entries[key] = replace(found.entries[key], real=beside)
        excess = mean(log_p - likelihood.values)
        divergence = Measure(excess.value, math.hypot(excess.stderr, likelihood.common_stderr))
        kind = KINDS[likelihood.kind]
        found.entries[f"kl_divergence_{likelihood.name}"] = entry("likelihood", divergence, "nats", "lower", kind)
