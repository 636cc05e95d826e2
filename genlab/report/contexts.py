"""What two values must have in common to be comparable.

A likelihood belongs to a representation of a data set: how it is binarised, whether it is dequantised. So do reconstruction
errors. Measures of samples belong to a feature network and a number of samples. Where the evaluation compares all samples
with the data as they are stored, the representation in training does not separate them. It is shown beside them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from genlab.report.measures import (
    ANOMALY,
    CODES,
    COST,
    DENOISING,
    DIVERSITY,
    LIKELIHOOD,
    MEMORISATION,
    QUALITY,
    TRAINING,
)
from genlab.report.read_runs import Run, section

OVERVIEW = "Overview"
FROM_SAMPLES = (QUALITY, DIVERSITY, MEMORISATION)
OF_EXAMPLES = (CODES, ANOMALY)
"""Shares of examples put right: comparable whatever representation of these examples a model saw."""
NAMES = {
    "samples": "number of samples",
    "examples": "number of test examples",
    "features": "feature network",
    "dataset": "data set",
    "hardware": "device",
}


@dataclass(frozen=True)
class Context:
    """An empty field plays no part for the group of measures at hand."""

    dataset: str
    split: str = ""
    representation: str = ""
    features: str = ""
    samples: str = ""
    hardware: str = ""
    task: str = ""
    """The noise to remove, or the anomalies to separate from the test split."""
    examples: str = ""
    """Number of test examples that a training has measured."""

    def __str__(self) -> str:
        named = {
            "split": "{} split",
            "examples": "{} examples",
            "features": "features: {}",
            "samples": "{} samples",
            "hardware": "on {}",
        }
        parts = [(f.name, getattr(self, f.name)) for f in fields(self)]
        return "; ".join(named.get(name, "{}").format(value) for name, value in parts if value)


def context(run: Run, group: str) -> Context:
    """The context of a run's values of a group of measures."""
    evaluation = run.evaluation
    if group == OVERVIEW:
        return Context(run.dataset)
    if group == COST:
        return Context(run.dataset, hardware=run.hardware)
    if group == TRAINING or not evaluation:
        measured = run.info.get("test_examples")  # fewer than there are where the training was short
        examples = f"{measured:,}" if isinstance(measured, int) else ""
        return Context(run.dataset, "test", run.prepared, examples=examples)
    split = str(evaluation.get("split") or "test")
    representation = str(evaluation.get("representation") or run.prepared)
    if group != LIKELIHOOD:  # the data that the model saw, whichever likelihood of them it has
        representation = re.sub(r"^(density of|probability of|none; the model saw) ", "", representation)
    if group in OF_EXAMPLES:
        against = section(evaluation, "anomaly").get("against")
        return Context(run.dataset, split, task=f"against {against}" if against and group == ANOMALY else "")
    if group == DENOISING:
        return Context(run.dataset, split, representation, task=str(section(evaluation, "denoising").get("kind") or ""))
    if group not in FROM_SAMPLES:
        return Context(run.dataset, split, representation)
    as_stored = "reference_examples" in evaluation  # then samples were compared with test examples as stored
    samples = evaluation.get("n")
    text = f"{samples:,}" if isinstance(samples, int) else str(samples or "")
    return Context(run.dataset, split, "" if as_stored else representation, run.features, text)


def differing(contexts: Sequence[Context]) -> str:
    """The differences between the contexts, in words; empty where there are none."""
    if len(set(contexts)) < 2:
        return ""
    values = {f.name: {getattr(c, f.name) for c in contexts} - {""} for f in fields(Context)}
    named = [NAMES.get(name, name) for name, found in values.items() if len(found) > 1]
    return ", ".join(named) or "what was evaluated"
