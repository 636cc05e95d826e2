"""The one record of an evaluation, to which every measure adds what it finds."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.evaluation.diagnoses import Diagnosis
from genlab.evaluation.entries import Entries
from genlab.inference.likelihood import LogLikelihood
from genlab.inference.samples import Samples
from genlab.plots.images import Picture


@dataclass
class Findings:
    """Numbers, diagnoses, facts and pictures, and below them what later measures need of earlier ones."""

    entries: Entries = field(default_factory=dict)
    """Name -> number with its error, unit and kind, in the order of the measures."""
    diagnoses: list[Diagnosis] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """The protocol, and everything that is no single number: plain containers, fit for JSON."""
    pictures: dict[str, Picture] = field(default_factory=dict)

    data: DataSpec | None = None
    """What the data are, for names of classes and for units."""
    samples: Samples | None = None
    """The samples that were measured."""
    likelihoods: list[LogLikelihood] = field(default_factory=list)
    codes: Tensor | None = None
    """Codes of some test examples in random order, (n, latent_dim), on the CPU."""
    labels: Tensor | None = None
    """Classes of these examples, (n,)."""
    log_p: Tensor | None = None
    """log p(y|x) of a classifier for all test examples, (n, num_classes)."""
    classes: Tensor | None = None
    """True classes of all test examples, (n,)."""

    def suspect(self, *diagnoses: Diagnosis | None) -> None:
        """Adds those that are not None."""
        self.diagnoses += [diagnosis for diagnosis in diagnoses if diagnosis is not None]

    def distinct_diagnoses(self) -> list[Diagnosis]:
        """The first diagnosis of each name, in the order of the last ones."""
        return list({diagnosis.name: diagnosis for diagnosis in reversed(self.diagnoses)}.values())[::-1]

    def metrics(self) -> dict[str, dict[str, Any]]:
        """metrics.json: name -> value, standard error, unit, kind, and the numbers to compare it with."""
        found = {name: entry.as_dict() for name, entry in self.entries.items()}
        for name, entry in self.entries.items():
            if entry.group in ("sample quality", "diversity"):
                found[name]["features"] = "{name} {hash}".format(**self.facts["features"])
        return found
