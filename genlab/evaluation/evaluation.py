"""One evaluation of one model: the list of all measures, each with the ability that a model needs for it.

A measure is a function of the context (what is known before) and the findings (what is found), to which it adds. A new measure is
a new entry of the list.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from genlab.data.dataset import Dataset
from genlab.evaluation.anomaly import anomaly_detection
from genlab.evaluation.code_quality import code_quality
from genlab.evaluation.compression import compression
from genlab.evaluation.cost import sampling_cost, training_cost
from genlab.evaluation.denoising import denoising
from genlab.evaluation.evaluation_context import EvaluationContext, Settings
from genlab.evaluation.exact_comparison import comparison_with_truth
from genlab.evaluation.fid_by_steps import fid_by_steps
from genlab.evaluation.findings import Findings
from genlab.evaluation.held_out import chain_mixing, classification, codes, family_measures, likelihoods, reconstruction
from genlab.evaluation.latent_geometry import density_map, latent_geometry
from genlab.evaluation.lattice_observables import lattice_observables
from genlab.evaluation.protocol import confusion, likelihood_methods, protocol, remarks
from genlab.evaluation.remedies import Training, too_early, verdict
from genlab.evaluation.sample_quality import sample_quality
from genlab.inference.likelihood import has_likelihood
from genlab.inference.samples import Samples
from genlab.models.abilities import Encodes, HasMarkovChain, HasSamplers, Reconstructs, able, classifies
from genlab.models.base import GenerativeModel, Model
from genlab.tracking.progress import step

Ability = Callable[[object], bool]
Measure = Callable[[EvaluationContext, Findings], None]
Measures = Iterable[tuple[Ability, Measure]]


def every(model: object) -> bool:
    """The ability of every model."""
    return True


OF_SAMPLES: tuple[Measure, ...] = (lattice_observables, sample_quality)

MEASURES: tuple[tuple[Ability, Measure], ...] = (
    (every, protocol),
    (every, family_measures),
    (has_likelihood, likelihoods),
    (able(HasMarkovChain), chain_mixing),
    (able(Reconstructs), reconstruction),
    (classifies, classification),
    (able(Encodes), codes),
    (every, comparison_with_truth),
    (able(Reconstructs), denoising),
    (able(Encodes), compression),
    (able(Encodes), code_quality),
    (every, anomaly_detection),
    (able(GenerativeModel), sampling_cost),
    *((able(GenerativeModel), measure) for measure in OF_SAMPLES),
    (able(HasSamplers), fid_by_steps),
    (every, latent_geometry),
    (every, density_map),
    (every, training_cost),
    (every, remarks),
    (classifies, confusion),
    (every, likelihood_methods),
)
"""In the order in which they are taken, and in which metrics.json and evaluation.json hold them."""

MEASURES_OF_GIVEN_SAMPLES: tuple[tuple[Ability, Measure], ...] = (
    (every, protocol),
    *((every, measure) for measure in OF_SAMPLES),
)


def evaluate(
    model: Model,
    dataset: Dataset,
    settings: Settings,
    training_cost: Mapping[str, Any],
    samples: Samples | None = None,
    training: Training | None = None,
) -> Findings:
    """All measures of `model` (in evaluation mode) on the test split of `dataset`, both on one device.

    `training_cost` is the cost in run.json, `training` what the remedies of diagnoses depend on. With `samples` from
    elsewhere only these are measured.
    """
    began = time.perf_counter()
    context = EvaluationContext(model, dataset, settings, training_cost, samples)
    findings = Findings(data=dataset.spec)
    measure(context, findings, MEASURES if samples is None else MEASURES_OF_GIVEN_SAMPLES)
    if samples is not None:  # of others, which no key of this run changes
        training = None
    findings.diagnoses = verdict(findings.distinct_diagnoses(), model, training)
    if training is not None and (early := too_early(model, training)):
        findings.facts["too_early"] = early
    if samples is not None or isinstance(model, GenerativeModel):
        findings.samples = context.samples
    sampling = context.drawn.seconds if samples is None and isinstance(model, GenerativeModel) else 0.0
    findings.facts["seconds"] = {"total": round(time.perf_counter() - began, 2), "sampling": round(sampling, 2)}
    return findings


def measure(context: EvaluationContext, findings: Findings, measures: Measures = MEASURES) -> None:
    """Those of `measures` for which the model has the ability."""
    able_to = [take for has_ability, take in measures if has_ability(context.model)]
    with step("evaluation", len(able_to), steady=False) as doing:
        for number, take in enumerate(able_to):
            doing.title = f"measuring {take.__name__.replace('_', ' ')}"
            doing.at(number)
            take(context, findings)
