"""A data set: as a source returns it (`RawData`), and as a run uses it (`Dataset`; splits.py makes it)."""

from dataclasses import dataclass, replace

import torch

from genlab.data.examples import Examples
from genlab.data.representation import Representation
from genlab.data.spec import DataSpec


@dataclass(frozen=True)
class RawData:
    """What a source returns: examples as they are stored, before splits and representation."""

    name: str
    train: Examples
    test: Examples | None
    """The official test split; None where the source has none, so that one must be set aside."""
    levels: int | None
    """Number of integer grey levels of uint8 data; None for float data."""
    num_classes: int | None
    """Number of classes; None for unlabelled data."""
    truth: object | None = None
    """What is known of the distribution of the examples (truth.py); None where nothing is known."""
    note: str = ""
    """How the examples were read, where that was decided, and how to decide otherwise."""


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test splits with one representation and the specification that models build on."""

    spec: DataSpec
    represent: Representation
    train: Examples
    validation: Examples | None
    test: Examples
    anomalies: Examples | None = None
    """Examples of the classes that all three splits exclude; None where no class is excluded."""
    truth: object | None = None
    """What is known of the distribution of the examples (truth.py); None where nothing is known."""
    note: str = ""
    """How the examples were read, where that was decided, and how to decide otherwise."""

    def to(self, device: torch.device) -> "Dataset":
        """The same data set; what is in memory is moved to `device`."""
        validation = None if self.validation is None else self.validation.to(device)
        anomalies = None if self.anomalies is None else self.anomalies.to(device)
        train, test = self.train.to(device), self.test.to(device)
        return replace(self, train=train, validation=validation, test=test, anomalies=anomalies)

    def labelled_only(self) -> "Dataset":
        """The same data and specification, without the training examples that have no label."""
        return replace(self, train=self.train.labelled())
