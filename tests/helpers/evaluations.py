"""Single measures of an evaluation, taken of a model in a test."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.evaluation.evaluation import Measure
from genlab.evaluation.evaluation_context import EvaluationContext, Settings
from genlab.evaluation.findings import Findings
from genlab.evaluation.lattice_observables import compare_observables
from genlab.evaluation.sample_quality import compare_samples
from genlab.evaluation.sample_reference import Reference
from genlab.inference.samples import Samples
from genlab.models.base import Model
from tests.helpers.support import FEW_CHAINS

SETTINGS = Settings(n=100, seed=0, k=5, annealing=FEW_CHAINS, latent="pca", options={})


def context_of(model: Model, dataset: Dataset, **settings: Any) -> EvaluationContext:
    return EvaluationContext(model, dataset, replace(SETTINGS, **settings))


def taken(
    measures: list[Measure], model: Model, dataset: Dataset, findings: Findings | None = None, **settings: Any
) -> Findings:
    """The findings of `measures` alone, or added to the `findings` of others."""
    findings = findings or Findings()
    context = context_of(model, dataset, **settings)
    for take in measures:
        take(context, findings)
    return findings


def quality(reference: Reference, samples: Tensor, labels: Tensor | None = None) -> Findings:
    """Those of samples beside the reference."""
    findings = Findings()
    compare_samples(findings, reference, Samples(samples, None, labels))
    return findings


def observables(dataset: Dataset, samples: Tensor, labels: list[int] | None = None) -> Findings:
    """Those of configurations, with the classes `labels` in turns, beside the test split."""
    findings = Findings()
    own = None if labels is None else torch.tensor(labels)[torch.arange(len(samples)) % len(labels)]
    compare_observables(findings, dataset, Samples(samples, None, own))
    return findings
