"""What a trained model makes of the test split: its family's own measures, likelihood, reconstruction, classification, codes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor

from genlab.data.batches import Batch, in_order
from genlab.data.dataset import Dataset
from genlab.data.examples import Examples
from genlab.evaluation import diagnoses
from genlab.evaluation.baseline import independent_log_likelihood
from genlab.evaluation.diagnoses import Diagnosis
from genlab.evaluation.entries import Entries, Entry, Group, entry
from genlab.inference.likelihood import LogLikelihood, bits_per_dimension, describe, log_likelihoods
from genlab.inference.mixing import mixing
from genlab.inference.partition import Annealing, Progress
from genlab.metrics.classes import accuracy_by_class, calibration_error
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
from genlab.models.base import Model, Quantity
from genlab.numerics.rng import seeded

BATCH = 500
CODES = 5_000  # test examples whose codes are kept
MOST_BASELINE = 10_000  # test examples for the likelihood of independent components


@dataclass
class HeldOut:
    entries: Entries = field(default_factory=dict)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    likelihoods: list[LogLikelihood] = field(default_factory=list)
    codes: Tensor | None = None
    """Codes of the first test examples, (n, latent_dim)."""
    labels: Tensor | None = None
    """Their classes."""
    log_p: Tensor | None = None
    """log p(y|x) of a classifier for all test examples, (n, classes)."""
    classes: Tensor | None = None
    """Their true classes."""


@torch.no_grad()
def examine(
    model: Model, dataset: Dataset, seed: int, k: int, annealing: Annealing, progress: Progress | None = None
) -> HeldOut:
    """Measures of `model`, in evaluation mode, on the whole test split in the model's own representation."""
    found = HeldOut()
    _family(found, model, dataset, seed)
    _likelihood(found, model, dataset, seed, k, annealing, progress)
    if isinstance(model, HasMarkovChain):
        measures = mixing(model, dataset, seed)
        for name, measure in measures.items():
            found.entries[name] = Entry("family", measure.value, None, "steps" if "time" in name else "", "statistic")
        found.diagnoses += diagnoses.from_scalars({name: measure.value for name, measure in measures.items()})
    if isinstance(model, Reconstructs):
        _reconstruction(found, model, dataset, seed)
    if classifies(model):
        _classification(found, model, dataset, seed)
    if isinstance(model, Encodes):
        batches = list(held_out_batches(dataset, model, seed, limit=CODES))
        found.codes = torch.cat([model.encode(batch.x).cpu() for batch in batches])
        if batches[0].y is not None:
            found.labels = torch.cat([batch.y.cpu() for batch in batches if batch.y is not None])
        collapse = diagnoses.posterior_collapse(found.codes, isinstance(model, HasLogWeights), type(model))
        if collapse is not None:
            found.diagnoses.append(collapse)
    return found


def held_out_batches(dataset: Dataset, model: Model, seed: int, limit: int | None = None) -> Iterator[Batch]:
    """The test split, or its first `limit` examples, with the same draws of its representation each time."""
    stream = in_order(dataset.test, dataset.represent, batch_size=BATCH, device=model.device, limit=limit)
    for number in count():
        with seeded(seed, "evaluate", number, device=model.device):
            batch = next(stream, None)
        if batch is None:
            return
        yield batch


def evenly(examples: Examples, most: int) -> Examples:
    """At most so many examples, evenly spaced."""
    if len(examples) <= most:
        return examples
    index = torch.arange(most) * len(examples) // most
    return examples.subset(index.to(examples.x.device) if isinstance(examples.x, Tensor) else index)


def _family(found: HeldOut, model: Model, dataset: Dataset, seed: int) -> None:
    collected: dict[str, list[Tensor]] = {}
    with seeded(seed, "evaluate family", device=model.device):
        for batch in held_out_batches(dataset, model, seed):
            for name, values in model.evaluate(batch).items():
                collected.setdefault(name, []).append(values.cpu())
    for name, parts in collected.items():
        if name in ("loss", "mse"):  # the first is another's negative, the second is the reconstruction error below
            continue
        stated = model.quantities.get(name.rstrip("0123456789").rstrip("_"), Quantity(""))
        group: Group = "classification" if classifies(model) else "family"
        values = torch.cat(parts)
        bad = diagnoses.not_finite(values, f"{name} over the test split")
        if bad is not None:
            found.diagnoses.append(bad)
        found.entries[name] = entry(
            group, mean(values), stated.unit, stated.better, "lower bound" if stated.lower_bound else "statistic"
        )
    if isinstance(model, HasLogBound):
        _terms_in_bits(found, dataset)
    found.diagnoses += diagnoses.from_scalars({name: entry.value for name, entry in found.entries.items()})


def _terms_in_bits(found: HeldOut, dataset: Dataset) -> None:
    """The terms of a bound once more, in bits per dimension."""
    per_dim = 1 / (dataset.spec.dim * math.log(2))
    for name in ("reconstruction", "prior", "denoising"):
        if name in found.entries:
            nats = found.entries[name]
            assert nats.stderr is not None, "a mean has an error"
            bits = Estimate(nats.value * per_dim, nats.stderr * per_dim)
            found.entries[f"{name}_bits_per_dim"] = entry("family", bits, "bits/dimension")


def _likelihood(
    found: HeldOut, model: Model, dataset: Dataset, seed: int, k: int, annealing: Annealing, progress: Progress | None
) -> None:
    with seeded(seed, "likelihood", device=model.device):
        train = next(in_order(dataset.train, dataset.represent, batch_size=annealing.chains, device=model.device)).x
        batches = held_out_batches(dataset, model, seed)
        found.likelihoods = log_likelihoods(model, batches, k, annealing, train, progress, len(dataset.test))
    if not found.likelihoods:
        return
    x = torch.cat([batch.x.cpu() for batch in held_out_batches(dataset, model, seed, limit=MOST_BASELINE)])
    independent = independent_log_likelihood(dataset, x, bool(getattr(model, "discrete", False)))
    baseline = None if independent is None else mean(independent)
    for likelihood in found.likelihoods:
        if "effective_chains" in likelihood.facts:
            few = diagnoses.few_chains_count(likelihood.name, likelihood.facts["effective_chains"], annealing.chains)
            found.diagnoses += [few] if few else []
        nats = likelihood.mean
        found.entries[f"log_likelihood_{likelihood.name}"] = entry(
            "likelihood", nats, "nats", "higher", likelihood.kind, baseline=baseline
        )
        found.entries[f"bits_per_dim_{likelihood.name}"] = entry(
            "likelihood",
            bits_per_dimension(nats, dataset.spec, dataset.represent),
            "bits/dimension",
            "lower",
            likelihood.kind,
            baseline=None if baseline is None else bits_per_dimension(baseline, dataset.spec, dataset.represent),
        )


def likelihood_of(model: Model, dataset: Dataset) -> str:
    """Of what the model's likelihood is one, or which representation of the data it saw, where it has none."""
    return describe(dataset.spec, dataset.represent, model)


def _reconstruction(found: HeldOut, model: Model, dataset: Dataset, seed: int) -> None:
    assert isinstance(model, Reconstructs)
    errors, constant, made, seen = [], [], [], []
    centre = dataset.spec.mean.to(model.device)
    for number, batch in enumerate(held_out_batches(dataset, model, seed)):
        restored = model.reconstruct(batch.x)
        errors.append((restored - batch.x).square().flatten(1).sum(1).cpu())
        constant.append((centre - batch.x).square().flatten(1).sum(1).cpu())
        if number * BATCH < CODES:
            made.append(restored.cpu())
            seen.append(batch.x.cpu())
    found.entries["reconstruction_mse"] = entry(
        "reconstruction",
        mean(torch.cat(errors)),
        "squared error/example",
        "lower",
        baseline=mean(torch.cat(constant)),
    )
    restored, x = torch.cat(made), torch.cat(seen)
    for diagnosis in (
        diagnoses.not_finite(restored, "the reconstructions"),
        diagnoses.range_misfit(restored, x, dataset.spec, "the reconstructions", type(model)),
    ):
        if diagnosis is not None:
            found.diagnoses.append(diagnosis)
            break


def _classification(found: HeldOut, model: Model, dataset: Dataset, seed: int) -> None:
    assert isinstance(model, Classifies)
    answers, truths = [], []
    for batch in held_out_batches(dataset, model, seed):
        assert batch.y is not None
        answers.append(model.classify(batch.x).cpu())
        truths.append(batch.y.cpu())
    log_p, labels = torch.cat(answers), torch.cat(truths)
    top, predictions = log_p.exp().max(1)
    right = predictions == labels
    found.log_p, found.classes = log_p, labels
    for k, measure in enumerate(accuracy_by_class(labels, predictions, dataset.spec.num_classes or 0)):
        if math.isnan(measure.value):  # dataset.exclude: there are no examples of this class
            continue
        found.entries[f"accuracy_class_{k}"] = entry("classification", measure, "share", "higher")
    found.entries["calibration_error"] = entry("classification", _calibration(top, right), "share", "lower")


def _calibration(confidence: Tensor, right: Tensor) -> Estimate:
    pairs = torch.stack([confidence.double(), right.double()], dim=1)
    return bootstrap(lambda both: calibration_error(both[:, 0], both[:, 1]), pairs)[0]
