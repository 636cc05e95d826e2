"""What a trained model does on the test split: its family's own measures, likelihood, reconstruction, classification, codes."""

import math
import re

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.subsets import batch_of, belongs, places
from genlab.evaluation import diagnoses
from genlab.evaluation.baseline import independent_log_likelihood
from genlab.evaluation.entries import Entries, Entry, Group, entry
from genlab.evaluation.evaluation_context import FEW, EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.evaluation.represented import BATCH
from genlab.inference.ability_pictures import classification_charts
from genlab.inference.likelihood import bits_per_dimension, log_likelihoods
from genlab.inference.mixing import mixing
from genlab.metrics.classes import (
    accuracy_by_class,
    calibration_error,
    calibration_floor,
    squared_calibration_error,
)
from genlab.metrics.estimate import Estimate, bootstrap, mean
from genlab.models.abilities import (
    Classifies,
    Encodes,
    HasLogBound,
    HasLogWeights,
    HasMarkovChain,
    Reconstructs,
    classifies,
)
from genlab.models.base import Quantity
from genlab.numerics.rng import seeded

MOST_BASELINE = 10_000  # test examples for the likelihood of independent components


@torch.no_grad()
def family_measures(context: EvaluationContext, findings: Findings) -> None:
    """Means of what the family's `evaluate` returns, with the units that the family states."""
    model, collected = context.model, dict[str, list[Tensor]]()
    with seeded(context.settings.seed, "evaluate family", device=model.device):
        for batch in context.test_batches:
            for name, values in model.evaluate(batch).items():
                collected.setdefault(name, []).append(values.cpu())
    group: Group = "classification" if classifies(model) else "family"
    for name, parts in collected.items():
        # The loss is the negative of another, the others are the reconstruction error and the likelihood below.
        if name in ("loss", "mse", "bits_per_dim"):
            continue
        stated = model.quantities.get(name.rstrip("0123456789").rstrip("_"), Quantity(""))
        values = torch.cat(parts)
        findings.suspect(diagnoses.not_finite(values, f"{name} over the test split"))
        findings.entries[name] = entry(
            group, mean(values), stated.unit, stated.better, "lower bound" if stated.lower_bound else "statistic"
        )
    if isinstance(model, HasLogBound):
        findings.entries |= _terms_in_bits(findings.entries, context.dataset)
    findings.suspect(*diagnoses.from_scalars({name: entry.value for name, entry in findings.entries.items()}))


def _terms_in_bits(entries: Entries, dataset: Dataset) -> Entries:
    """The terms of a bound once more: bits per dimension of the bound = prior + denoising - reconstruction.

    The reconstruction is that of integer grey levels where these are dequantised, as the bits per dimension of a density are.
    """
    found = {}
    for name in ("reconstruction", "prior", "denoising"):
        if name in entries:
            nats = entries[name]
            assert nats.stderr is not None, "a mean has an error"
            per_dim = 1 / (dataset.spec.dim * math.log(2))
            bits = Estimate(nats.value * per_dim, nats.stderr * per_dim)
            if name == "reconstruction":
                of_level = bits_per_dimension(Estimate(nats.value, nats.stderr), dataset.spec, dataset.represent)
                bits = Estimate(-of_level.value, of_level.stderr)
            found[f"{name}_bits_per_dim"] = entry("family", bits, "bits/dimension")
    return found


@torch.no_grad()
def likelihoods(context: EvaluationContext, findings: Findings) -> None:
    """Every log-likelihood that the model has, in nats and in bits per dimension, beside that of independent components."""
    model, dataset, settings = context.model, context.dataset, context.settings
    annealing = settings.annealing
    with seeded(settings.seed, "likelihood", device=model.device):
        train = batch_of(dataset.train, annealing.chains, dataset.represent, model.device).x
        findings.likelihoods = log_likelihoods(
            model, context.test_batches, settings.k, annealing, train, len(dataset.test)
        )
    if not findings.likelihoods:
        return
    x = context.of_test(places(len(dataset.test), MOST_BASELINE))[0]
    independent = independent_log_likelihood(dataset, x, bool(getattr(model, "discrete", False)))
    baseline = None if independent is None else mean(independent)
    for likelihood in findings.likelihoods:
        if "effective_chains" in likelihood.facts:
            effective = likelihood.facts["effective_chains"]
            findings.suspect(diagnoses.few_chains_count(likelihood.name, effective, annealing.chains))
        if likelihood.name == "reverse_ais":
            forward = next(one for one in findings.likelihoods if one.name == "ais")
            findings.suspect(diagnoses.annealing_disagrees(forward.facts, likelihood.facts, annealing.sweeps))
        nats = likelihood.mean
        findings.entries[f"log_likelihood_{likelihood.name}"] = entry(
            "likelihood", nats, "nats", "higher", likelihood.kind, baseline=baseline
        )
        findings.entries[f"bits_per_dim_{likelihood.name}"] = entry(
            "likelihood",
            bits_per_dimension(nats, dataset.spec, dataset.represent),
            "bits/dimension",
            "lower",
            likelihood.kind,
            baseline=None if baseline is None else bits_per_dimension(baseline, dataset.spec, dataset.represent),
        )


def chain_mixing(context: EvaluationContext, findings: Findings) -> None:
    """R-hat and the autocorrelation time of the model's chains."""
    assert isinstance(context.model, HasMarkovChain)
    measures = mixing(context.model, context.dataset, context.settings.seed)
    for name, measure in measures.items():
        findings.entries[name] = Entry("family", measure.value, None, "steps" if "time" in name else "", "statistic")
    findings.suspect(*diagnoses.from_scalars({name: measure.value for name, measure in measures.items()}))


@torch.no_grad()
def reconstruction(context: EvaluationContext, findings: Findings) -> None:
    """Squared error of reconstructions, beside that of the mean of the data."""
    model, data = context.model, context.dataset.spec
    assert isinstance(model, Reconstructs)
    errors, constant, reconstructed, examples = [], [], [], []
    centre = data.mean.to(model.device)
    kept = belongs(len(context.dataset.test), FEW).split(BATCH)
    for batch, few in zip(context.test_batches, kept, strict=True):
        restored = model.reconstruct(batch.x)
        errors.append((restored - batch.x).square().flatten(1).sum(1).cpu())
        constant.append((centre - batch.x).square().flatten(1).sum(1).cpu())
        reconstructed.append(restored.cpu()[few])
        examples.append(batch.x.cpu()[few])
    findings.entries["reconstruction_mse"] = entry(
        "reconstruction",
        mean(torch.cat(errors)),
        "squared error/example",
        "lower",
        baseline=mean(torch.cat(constant)),
    )
    restored, x = torch.cat(reconstructed), torch.cat(examples)
    findings.suspect(
        diagnoses.not_finite(restored, "the reconstructions")
        or diagnoses.range_misfit(restored, x, data, "reconstructions")
    )


@torch.no_grad()
def classification(context: EvaluationContext, findings: Findings) -> None:
    """Accuracy in each class and calibration, with the confusion matrix and the reliability diagram."""
    assert isinstance(context.model, Classifies)
    answers, truths = [], []
    for batch in context.test_batches:
        assert batch.y is not None
        answers.append(context.model.classify(batch.x).cpu())
        truths.append(batch.y.cpu())
    log_p, labels = torch.cat(answers), torch.cat(truths)
    confidence, predictions = log_p.exp().max(1)
    findings.log_p, findings.classes = log_p, labels
    names = context.dataset.spec.names
    for name, measure in zip(names, accuracy_by_class(labels, predictions, len(names)), strict=True):
        if math.isnan(measure.value):  # dataset.exclude: there are no examples of this class
            continue
        findings.entries["accuracy_class_" + re.sub(r"[^\w.+-]+", "_", name)] = entry(
            "classification", measure, "share", "higher"
        )
    right = predictions == labels
    findings.entries["calibration_error"] = entry(
        "classification", _calibration(confidence, right), "share", "lower", "biased", calibration_floor(confidence)
    )
    findings.entries["squared_calibration_error"] = entry(
        "classification", squared_calibration_error(confidence, right), "squared share"
    )
    findings.pictures |= classification_charts(log_p, labels, "test split", names)


def _calibration(confidence: Tensor, right: Tensor) -> Estimate:
    pairs = torch.stack([confidence.double(), right.double()], dim=1)
    return bootstrap(lambda both: calibration_error(both[:, 0], both[:, 1]), pairs)[0]


@torch.no_grad()
def codes(context: EvaluationContext, findings: Findings) -> None:
    """Codes of some test examples, which later measures use, and whether their units carry anything of x."""
    model = context.model
    assert isinstance(model, Encodes)
    batches = context.few_batches
    findings.codes = torch.cat([model.encode(batch.x).cpu() for batch in batches])
    if batches[0].y is not None:
        findings.labels = torch.cat([batch.y.cpu() for batch in batches if batch.y is not None])
    findings.suspect(diagnoses.posterior_collapse(findings.codes, isinstance(model, HasLogWeights)))
