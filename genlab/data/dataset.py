"""A data set: as a source returns it (`RawData`), and as a run uses it (`Dataset`; splits.py makes it)."""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from genlab.data.examples import Examples
from genlab.data.representation import Representation
from genlab.data.spec import DataSpec
from genlab.data.units import Units


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
    class_names: tuple[str, ...] | None = None
    """What the user calls the classes; None where their numbers are their names."""
    component_names: tuple[str, ...] | None = None
    """What the user calls the components of vectors; None where they have no names."""
    units: Units | None = None
    """From the values in [0, 1] of pictures to those of the user; None where they are the same."""
    standardise: bool | Literal["auto", "table"] = False
    """Whether each column becomes mean 0 and standard deviation 1 (standardise.py)."""
    remarks: tuple[str, ...] = ()
    """What a user should know of how the data were read, a line each."""
    where: str | None = None
    """What an error says of where the data are from, such as dataset.path=events.npy; None for the name of the data set."""


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
    excluded: tuple[str, ...] = ()
    """Names of the classes of `anomalies`."""
    remarks: tuple[str, ...] = ()
    """What a user should know of how the data were read, a line each."""

    def to(self, device: torch.device) -> "Dataset":
        """The same data set; what is in memory is moved to `device`."""
        validation = None if self.validation is None else self.validation.to(device)
        anomalies = None if self.anomalies is None else self.anomalies.to(device)
        train, test = self.train.to(device), self.test.to(device)
        return replace(self, train=train, validation=validation, test=test, anomalies=anomalies)

    def labelled_only(self) -> "Dataset":
        """The same data and specification, without the training examples that have no label."""
        return replace(self, train=self.train.labelled())
