"""The measures of a run: what each is called, what it belongs to, which direction is better, and with what it may be compared."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIKELIHOOD, QUALITY, DIVERSITY, MEMORISATION = "Likelihood", "Sample quality", "Diversity", "Memorisation"
OBSERVABLES = "Observables"
RECONSTRUCTION, CLASSIFICATION, COST = "Reconstruction", "Classification", "Cost"
DENOISING, COMPRESSION, CODES, ANOMALY = "Denoising", "Compression", "Codes", "Anomaly detection"
BY_CLASS = "Accuracy of each class"
OTHER, TRAINING = "Of the family itself", "At the end of training"
GROUPS: tuple[str, ...] = (LIKELIHOOD, OBSERVABLES, QUALITY, DIVERSITY, MEMORISATION, RECONSTRUCTION, DENOISING)
GROUPS += (COMPRESSION, CODES, ANOMALY, CLASSIFICATION, BY_CLASS, OTHER, COST, TRAINING)
BEST = "best_likelihood"  # which a comparison chooses among those of a run

ABOUT = {
    LIKELIHOOD: "Per test example. An exact value, a lower bound and an estimate are different quantities: each kind of each "
    "method has a column of its own, and none is ranked against another.",
    OBSERVABLES: "Of generated configurations of a lattice, as in a simulation; beside them those of the test split and what is "
    "exact. Deviations are those from the exact value, or else from the test split's, in standard errors. Not ranked: the right "
    "value is neither the largest nor the smallest.",
    QUALITY: "Distances between generated and test examples in the space of the named features. They depend on the feature "
    "network and on the number of samples.",
    DIVERSITY: "How much of the data the samples reach.",
    MEMORISATION: "A model that repeats its training set has samples closer to training than to test examples. Not ranked.",
    RECONSTRUCTION: "Held-out examples, encoded and decoded.",
    DENOISING: "Held-out examples to which noise was added, encoded and decoded, against the clean ones.",
    COMPRESSION: "The rate of a code, in bits, buys its distortion; neither is better alone: not ranked. The ratios are those "
    "of the bits of an example as it is stored to 32 bits for each number of its code, or to its rate.",
    CODES: "What codes keep of held-out examples: classes, from 5 nearest neighbours and from logistic regression on 5,000 "
    "training codes, and which examples are neighbours.",
    ANOMALY: "The probability that an anomalous example scores higher than one of the test split: 0.5 says nothing.",
    CLASSIFICATION: "Held-out labels.",
    BY_CLASS: "Share of the test examples of a class that are given this class.",
    COST: "Depends on the machine and on what else it was doing. Not ranked.",
    OTHER: "What a family defines for itself, on the test split.",
    TRAINING: "Terms of each family's own objective on the test split, as training left them. A loss is a different quantity "
    "for each family and each weight of its terms: not ranked.",
}


@dataclass(frozen=True)
class Definition:
    group: str
    label: str
    unit: str = ""
    better: str = ""  # lower, higher, or not ranked
    kind: str = ""


BIASED = "biased"  # of these measures also in runs that were evaluated when metrics.json did not say so
DEFINITIONS = {
    BEST: Definition(LIKELIHOOD, "log-likelihood", "nats", "higher"),
    "elbo": Definition(LIKELIHOOD, "ELBO", "nats", "higher", "lower bound"),
    "entropy": Definition(LIKELIHOOD, "entropy of the data", "nats", "", "exact"),
    "magnetisation": Definition(OBSERVABLES, "|m|"),
    "binder": Definition(OBSERVABLES, "Binder cumulant"),
    "fid": Definition(QUALITY, "FID", "", "lower", BIASED),
    "kid": Definition(QUALITY, "KID", "", "lower"),
    "mmd": Definition(QUALITY, "MMD", "", "lower"),
    "precision": Definition(QUALITY, "precision", "", "higher"),
    "density": Definition(QUALITY, "density", "", "higher"),
    "recall": Definition(DIVERSITY, "recall", "", "higher"),
    "coverage": Definition(DIVERSITY, "coverage", "", "higher"),
    "class_entropy": Definition(DIVERSITY, "class entropy", "nats"),
    "classes_reached": Definition(DIVERSITY, "classes reached"),
    "class_distance": Definition(DIVERSITY, "class distance", "", "lower", BIASED),
    "squared_class_distance": Definition(DIVERSITY, "squared class distance"),
    "nearest_is_train": Definition(MEMORISATION, "nearest is train"),
    "nearest_train_distance": Definition(MEMORISATION, "distance to train"),
    "nearest_test_distance": Definition(MEMORISATION, "distance to test"),
    "reconstruction_mse": Definition(RECONSTRUCTION, "squared error", "", "lower"),
    "denoising_mse": Definition(DENOISING, "squared error", "", "lower"),
    "denoising_psnr": Definition(DENOISING, "PSNR", "dB", "higher"),
    "code_numbers": Definition(COMPRESSION, "numbers in a code"),
    "rate": Definition(COMPRESSION, "rate", "bits"),
    "compression_ratio": Definition(COMPRESSION, "ratio, 32-bit numbers"),
    "compression_ratio_rate": Definition(COMPRESSION, "ratio, at the rate"),
    "distortion": Definition(COMPRESSION, "distortion"),
    "knn_accuracy": Definition(CODES, "5 neighbours", "", "higher"),
    "linear_accuracy": Definition(CODES, "logistic regression", "", "higher"),
    "trustworthiness": Definition(CODES, "trustworthiness", "", "higher"),
    "accuracy": Definition(CLASSIFICATION, "accuracy", "", "higher"),
    "error_rate": Definition(CLASSIFICATION, "error rate", "", "lower"),
    "nll": Definition(CLASSIFICATION, "NLL", "nats", "lower"),
    "calibration_error": Definition(CLASSIFICATION, "calibration error", "", "lower", BIASED),
    "squared_calibration_error": Definition(CLASSIFICATION, "squared calibration error"),
    "pseudo_log_likelihood": Definition(OTHER, "pseudo-likelihood", "nats", "higher"),
    "free_energy": Definition(OTHER, "free energy", "nats"),
    "r_hat": Definition(OTHER, "R-hat"),
    "value": Definition(OTHER, "L(D, G)", "nats"),
    "js": Definition(OTHER, "(log 4 + L)/2", "nats"),
    "d_real": Definition(OTHER, "D on data"),
    "d_fake": Definition(OTHER, "D on samples"),
    "wasserstein": Definition(OTHER, "critic's W"),
    "autocorrelation_time": Definition(OTHER, "autocorrelation time", "steps"),
    "parameters": Definition(COST, "parameters"),
    "training_seconds": Definition(COST, "training", "s"),
    "training_examples": Definition(COST, "training", "examples"),
    "sampling_images_per_s": Definition(COST, "sampling", "images/s"),
    "network_evaluations": Definition(COST, "network evaluations"),
    "peak_memory_mb": Definition(COST, "peak memory", "MB"),
}
GIVEN = {group.lower(): group for group in GROUPS} | {"family": OTHER, "anomaly": ANOMALY}
"""What metrics.json calls a group -> its name here."""
LONGEST_UNIT = 13  # characters
DEVIATION = "deviation_"  # before the name of an observable: from the truth, in standard errors
TERM_UNITS = dict.fromkeys(
    ("elbo", "bound", "log_likelihood", "log likelihood", "kl", "prior", "reconstruction"), "nats"
)
FROM_COST = {
    "seconds": "training_seconds",
    "examples": "training_examples",
    "parameters": "parameters",
    "peak_memory_mb": "peak_memory_mb",
}
"""What run.json calls a cost -> what metrics.json calls it."""


def definition(name: str) -> Definition:
    """The definition of a measure by its name. Unknown measures are shown and never ranked."""
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    words = name.removeprefix("test/").replace("_", " ")
    if name.startswith("test/"):
        kind = "lower bound" if words in ("elbo", "bound") else ""
        return Definition(TRAINING, words, TERM_UNITS.get(words, ""), kind=kind)
    if name.startswith("accuracy_class_"):
        return Definition(BY_CLASS, words.removeprefix("accuracy "), better="higher")
    if name.startswith(DEVIATION):
        return Definition(OBSERVABLES, f"{definition(name.removeprefix(DEVIATION)).label}, deviation", "s.e.")
    for start, unit, better in (("log_likelihood", "nats", "higher"), ("bits_per_dim", "bits/dim", "lower")):
        if name.startswith(start):
            return Definition(LIKELIHOOD, _estimator(name.removeprefix(start).strip("_"), unit), unit, better)
    if name.startswith("kl_divergence_"):
        return Definition(LIKELIHOOD, f"KL, {_estimator(name.removeprefix('kl_divergence_'), 'nats')}", "nats", "lower")
    for family in ("fid", "kid", "mmd", "precision", "density", "recall", "coverage", "accuracy"):
        if name.startswith(family + "_"):
            known = DEFINITIONS[family]
            return Definition(known.group, words.replace(family, known.label), known.unit, known.better)
    if name.startswith("auroc_"):
        return Definition(ANOMALY, f"AUROC, {words.removeprefix('auroc ')}", "", "higher")
    for prefix, group in (("nearest_", MEMORISATION), ("reconstruction_", RECONSTRUCTION), ("class_", DIVERSITY)):
        if name.startswith(prefix):
            return Definition(group, words)
    return Definition(OTHER, words)


def _estimator(name: str, unit: str) -> str:
    """'iw_100' in nats -> 'IW bound, k = 100'; 'ais' in bits/dim -> 'bits/dim, AIS'."""
    head, _, k = name.rpartition("_")
    short = (
        f"IW bound, k = {k}"
        if head == "iw"
        else {"elbo": "ELBO", "ais": "AIS", "reverse_ais": "reverse AIS", "": ""}.get(name, name.replace("_", " "))
    )
    if unit == "nats":
        return short if short and name != "exact" else "log-likelihood"
    return f"bits/dim, {short}".rstrip(", ")  # its unit is in its name


def short_unit(unit: str) -> str:
    """A unit where it is one, and not a description."""
    return unit if len(unit) <= LONGEST_UNIT and unit not in ("numbers", "share", "distance") else ""


@dataclass(frozen=True)
class Measure:
    """One measured value of one run. `real` and `baseline` are (value, stderr) of real data and of independent pixels, `exact` is
    the true value where it is known.
    """

    value: float
    stderr: float | None = None
    unit: str = ""
    kind: str = ""
    better: str = ""
    real: tuple[float, float | None] | None = None
    baseline: tuple[float, float | None] | None = None
    exact: tuple[float, float | None] | None = None
    group: str = OTHER
    note: str = ""


def read_measure(name: str, entry: Any) -> Measure | None:
    """A measure from its entry in metrics.json; None where it has no finite value."""
    if not isinstance(entry, Mapping):
        entry = {"value": entry}
    value = number(entry.get("value"))
    if value is None:
        return None
    known = definition(name)
    return Measure(
        value,
        _error(entry.get("stderr")),
        unit=str(entry.get("unit") or known.unit),
        kind=known.kind if known.kind == BIASED else str(entry.get("kind") or known.kind),
        better=str(entry.get("better") or known.better),
        real=_reference(entry.get("real")),
        baseline=_reference(entry.get("baseline")),
        exact=_reference(entry.get("exact")),
        group=known.group if known.group in (TRAINING, BY_CLASS) else GIVEN.get(str(entry.get("group")), known.group),
    )


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _error(value: Any) -> float | None:
    error = number(value)
    return error if error is not None and error >= 0 else None


def _reference(entry: Any) -> tuple[float, float | None] | None:
    if not isinstance(entry, Mapping):
        entry = {"value": entry}
    value = number(entry.get("value"))
    return None if value is None else (value, _error(entry.get("stderr")))
