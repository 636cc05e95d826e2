"""Single measures of an evaluation, taken of a model in a test."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.evaluation.evaluation import Measure
from genlab.evaluation.evaluation_context import EvaluationContext, Settings
from genlab.evaluation.findings import Findings
from genlab.evaluation.lattice_observables import compare_observables
from genlab.evaluation.sample_quality import compare_samples
from genlab.evaluation.sample_reference import Reference
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
    compare_samples(findings, reference, samples, labels)
    return findings


def observables(dataset: Dataset, samples: Tensor, labels: list[int] | int | None = None) -> Findings:
    """Those of configurations beside the test split."""
    findings = Findings()
    compare_observables(findings, dataset, samples, labels)
    return findings
