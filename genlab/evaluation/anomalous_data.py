"""Examples that a model should find anomalous: another data set, or the classes that its training left out."""

from dataclasses import dataclass, replace

import torch

from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.named import read_named
from genlab.data.representation import Representation
from genlab.data.subsets import at_most, some
from genlab.data.units_of_run import Change
from genlab.errors import GenlabError

MOST = 10_000  # examples of each kind


@dataclass(frozen=True)
class Anomalies:
    """Examples as they are stored."""

    name: str
    examples: Examples
    levels: int | None
    """Number of their grey levels; None for other values."""
    classes: tuple[str, ...] = ()
    """Names of the classes that were left out of the training; none for another data set."""

    def represent(self, dataset: Dataset) -> Representation:
        """The representation in which a model of `dataset` sees them."""
        return replace(dataset.represent, levels=self.levels)

    @property
    def title(self) -> str:
        """For a figure: the data set, or the classes that were left out."""
        if not self.classes:
            return self.name
        return f"class{'es' if len(self.classes) > 1 else ''} {', '.join(self.classes)}"


def of_other_data(key: str, word: str, raw: RawData, dataset: Dataset) -> Anomalies:
    """The test split of another data set (all of it, where it has none). Raises GenlabError where it does not fit `dataset`."""
    examples = raw.train if raw.test is None else raw.test
    examples = at_most(examples, MOST)
    if raw.levels is None and (raw.units is not None or dataset.spec.units is not None):
        examples = Change(raw.units, dataset.spec.units).of(examples)
    few = some(examples, 100)
    stored = few.take(torch.arange(len(few)))
    data, shape = dataset.spec, tuple(stored.shape[1:])
    if shape != data.shape:
        found, wanted = ("x".join(map(str, s)) for s in (shape, data.shape))
        raise GenlabError(f"{key}={word}: its examples are {found} and those of {data.name} {wanted}; name others")
    if len(examples) < 2:
        raise GenlabError(f"{key}={word}: a standard error needs two examples, it holds {len(examples)}; name others")
    if raw.levels is None and dataset.represent.dequantize:
        raise GenlabError(f"{key}={word}: its values are continuous and those of {data.name} grey levels; name others")
    low, high = (0.0, 1.0) if raw.levels is not None else (float(stored.min()), float(stored.max()))
    if data.support != "real" and (low < 0 or high > 1):
        raise GenlabError(
            f"{key}={word}: its values lie in [{low:.3g}, {high:.3g}] and those of {data.name} in [0, 1]; rescale them"
        )
    anomalies = Anomalies(word, examples, raw.levels)
    if data.support == "binary":
        x = anomalies.represent(dataset)(stored)
        if not bool(((x == 0) | (x == 1)).all()):
            raise GenlabError(f"{key}={word}: its values are grey and those of {data.name} 0 and 1; name others")
    return anomalies


def of_excluded(dataset: Dataset) -> Anomalies:
    """The classes that dataset.exclude left out. Raises GenlabError where there are none."""
    if dataset.anomalies is None:
        raise GenlabError(
            "anomaly=excluded: the run was trained on all classes; train with 'dataset.exclude=[CLASS]', or name another data set"
        )
    if len(dataset.anomalies) < 2:
        raise GenlabError("anomaly=excluded: the test split holds fewer than two examples of the classes left out")
    return Anomalies("excluded", at_most(dataset.anomalies, MOST), dataset.represent.levels, dataset.excluded)


def find_anomalies(word: str | None, dataset: Dataset, root: str | None) -> Anomalies | None:
    """The anomalies that the key `anomaly` names: another data set, its files below `root`, or the classes left out.

    Without a name the classes left out, and None where there are none. Raises GenlabError where they are not found or do not fit.
    """
    if word == "excluded" or (word is None and dataset.anomalies is not None):
        return of_excluded(dataset)
    if word is None:
        return None
    return of_other_data("anomaly", word, read_named("anomaly", word, dataset.spec, root, "excluded"), dataset)
