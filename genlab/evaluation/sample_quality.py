"""Generated examples against the test split: quality, diversity, classes, memorisation.

Every measure is also taken of training examples in place of the generated ones (the floor: real against real) and of the model
whose components are independent (the baseline).
"""

from torch import Tensor

from genlab.data.held_out_share import too_few
from genlab.data.spec import DataSpec
from genlab.data.subsets import belongs, places
from genlab.errors import GenlabError
from genlab.evaluation import diagnoses
from genlab.evaluation.entries import Group, Kind, entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.evaluation.sample_reference import Reference, feature_measures
from genlab.inference.samples import Samples
from genlab.inference.shown_examples import COLUMNS
from genlab.metrics.estimate import Estimate, mean
from genlab.metrics.memorisation import memorisation, nearest
from genlab.models.base import Better
from genlab.plots import by_kind
from genlab.plots.charts import class_bars
from genlab.plots.images import Picture
from genlab.plots.vector_planes import scatter

MOST_NEIGHBOURS = 5_000  # samples whose nearest neighbours are looked for

MEASURES: dict[str, tuple[Group, str, Better]] = {
    "fid": ("sample quality", "squared distance of features", "lower"),
    "kid": ("sample quality", "squared discrepancy", None),
    "mmd": ("sample quality", "squared discrepancy", None),
    "precision": ("sample quality", "share", "higher"),
    "density": ("sample quality", "balls/k", "higher"),
    "recall": ("diversity", "share", "higher"),
    "coverage": ("diversity", "share", "higher"),
    "class_entropy": ("diversity", "nats", "higher"),
    "classes_reached": ("diversity", "share", "higher"),
    "class_distance": ("diversity", "total variation", "lower"),
    "squared_class_distance": ("diversity", "squared distance", None),
}
BIASED = {"fid", "class_distance"}
"""Noise makes them positive also where samples are like the data: the value of real examples beside them is that floor."""


def sample_quality(context: EvaluationContext, findings: Findings) -> None:
    """All measures of the samples in the feature space of the data, with pictures of samples, neighbours and classes.

    Raises GenlabError where there are too few test examples to compare them with.
    """
    data = context.dataset
    n = len(data.train) + len(data.validation or ()) + len(data.test)
    if line := too_few(len(data.test), n):
        raise GenlabError(f"dataset={data.spec.name}: {line}")
    compare_samples(findings, context.reference, context.samples)


def compare_samples(findings: Findings, reference: Reference, drawn: Samples) -> None:
    """All measures of samples in the range of the data, and the diagnoses that follow."""
    data, samples = reference.dataset.spec, drawn.x
    findings.facts |= {
        "n": len(samples),
        "reference_examples": len(reference.x),
        "features": reference.space.describe(),
    }
    if drawn.chains is not None:
        findings.facts["chains"] = drawn.chains
    findings.pictures["samples"] = _picture(samples, reference.x, data)
    findings.pictures |= by_kind.statistics(samples, reference.x, data)
    bad = diagnoses.not_finite(samples, "the samples")
    if bad is not None:
        findings.diagnoses.append(bad)
        return
    measured, shares, effective = feature_measures(reference, samples, drawn.chain)
    floor, baseline = reference.floor, reference.baseline
    for name, (group, unit, better) in MEASURES.items():
        if name in measured:
            kind: Kind = "biased" if name in BIASED else "statistic"
            findings.entries[name] = entry(group, measured[name], unit, better, kind, floor[name], baseline[name])
    if drawn.labels is not None and reference.space.predicts_classes and reference.labels is not None:
        right = reference.space.classes(reference.space.features(samples).double()) == drawn.labels
        findings.entries["conditional_accuracy"] = entry(
            "sample quality", mean(right.double(), drawn.chain), "share", "higher", "statistic", reference.classified
        )
    findings.suspect(diagnoses.lack_of_variety(samples, reference.x) or diagnoses.poor_coverage(measured, floor))
    _memorisation(findings, reference, drawn[places(len(samples), MOST_NEIGHBOURS).sort().values])
    findings.suspect(diagnoses.range_misfit(samples, reference.x, data, "samples"))
    if shares is not None:
        real = reference.class_shares
        findings.suspect(diagnoses.missing_classes(shares, real, effective, data.names))
        findings.pictures["classes"] = class_bars(shares, real, effective, data.names)
        findings.facts["classes"] = {"names": list(data.names), "generated": shares.tolist(), "test": real.tolist()}


def _memorisation(findings: Findings, reference: Reference, generated: Samples) -> None:
    """Are samples nearer to training examples than to test examples? Beside them, test examples in their place."""
    train, samples = reference.stored_train(), generated.x
    in_train, in_test = nearest(samples, train), nearest(samples, reference.x)
    memory = memorisation(in_train, in_test, len(train), len(reference.x), generated.chain)
    # Some examples of the test split against the training and the other test examples.
    drawn = belongs(len(reference.x), min(2000, len(reference.x) // 2))
    fresh, rest = reference.x[drawn], reference.x[~drawn]
    usual, others = nearest(fresh, train), nearest(fresh, rest)
    real_copies = memorisation(usual, others, len(train), len(rest)).copies
    usual_distance = Estimate(float(usual.distance.mean()), float(usual.distance.std()) / len(usual.distance) ** 0.5)
    findings.entries["nearest_is_train"] = entry(
        "memorisation", memory.nearest_is_train, "share", real=Estimate(memory.expected, 0.0)
    )
    findings.entries["nearest_train_distance"] = entry(
        "memorisation", memory.train_distance, "distance", real=usual_distance
    )
    findings.entries["nearest_test_distance"] = entry("memorisation", memory.test_distance, "distance")
    findings.entries["copies"] = entry("memorisation", memory.copies, "share", "lower", real=real_copies)
    findings.suspect(diagnoses.memorisation(memory, real_copies))
    data = reference.dataset.spec
    if data.on_grid:
        few = min(3 * COLUMNS, len(samples))
        neighbours = train[in_train.index[:few]]
        findings.pictures["neighbours"] = by_kind.neighbours(samples[:few], neighbours, COLUMNS, data)


def _picture(samples: Tensor, reference: Tensor, data: DataSpec) -> Picture:
    if data.on_grid:
        return by_kind.samples(samples, COLUMNS, data, reference)
    few = min(2000, len(samples), len(reference))
    shown = {name: x[places(len(x), few)] for name, x in (("data", reference), ("samples", samples))}
    return scatter(shown, data)
