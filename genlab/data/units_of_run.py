"""The data of a run in the units, and with the numbers of classes, in which its model sees them.

The range of pictures and the mean and standard deviation of columns are those of the data that a run was trained on. Where its
data lie elsewhere now, or are others of the same kind, they are measured anew, and brought to those of the run here.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.examples import Examples, Prefetching, Store
from genlab.data.spec import DataSpec
from genlab.data.units import Units
from genlab.errors import GenlabError


def in_units_of(dataset: Dataset, own: DataSpec) -> Dataset:
    """`dataset` in the units of a model of the data `own`. Raises GenlabError where they have no units in common."""
    found = dataset.spec
    if own.units is None and found.units is None:
        return dataset
    if own.units is not None and own.units.same_as(found.units):
        return dataset
    if dataset.represent.levels is not None:
        raise GenlabError(
            f"dataset={found.name}: these data are grey values of {dataset.represent.levels} levels, and those of the run "
            "have units of their own; name the data of the run"
        )
    change = Change(found.units, own.units)
    mean = change(found.mean.unsqueeze(0))[0]
    ones = torch.ones(1, *found.shape)
    scale = change(ones)[0].double() - change(0 * ones)[0].double()
    ends = torch.stack([change(value * ones) for value in (found.low, found.high)])
    spec = replace(
        found,
        units=own.units,
        mean=mean,
        std=(found.std.double() * scale.to(found.std.device)).float(),
        low=float(ends.min()),
        high=float(ends.max()),
    )
    return replace(
        dataset,
        spec=spec,
        train=change.of(dataset.train),
        test=change.of(dataset.test),
        validation=dataset.validation and change.of(dataset.validation),
        anomalies=dataset.anomalies and change.of(dataset.anomalies),
    )


def numbered_as(dataset: Dataset, own: DataSpec) -> Dataset:
    """`dataset` with the classes in the order of a run from before they had names: folders 1, 2 and 10 as 1, 10 and 2."""
    names = dataset.spec.class_names
    if own.class_names is not None or names is None or sorted(names) == list(names) or len(names) != own.num_classes:
        return dataset
    order = sorted(names)
    number = torch.tensor([order.index(name) for name in names])

    def of(examples: Examples) -> Examples:
        y = examples.y
        return Examples(examples.x, y if y is None else torch.where(y < 0, y, number.to(y.device)[y.clamp_min(0)]))

    return replace(
        dataset,
        spec=replace(dataset.spec, class_names=tuple(order)),
        train=of(dataset.train),
        test=of(dataset.test),
        validation=dataset.validation and of(dataset.validation),
    )


@dataclass(frozen=True)
class Change:
    """From values in one unit to those in another one; None for the values of the user themselves."""

    before: Units | None
    after: Units | None

    def __call__(self, x: Tensor) -> Tensor:
        v = x if self.before is None else self.before.outer(x)
        return (v if self.after is None else self.after.inner(v)).to(x.device).float()

    def of(self, examples: Examples) -> Examples:
        x: Store = self(examples.x) if isinstance(examples.x, Tensor) else _Changed(examples.x, self)
        return Examples(x, examples.y)


@dataclass(frozen=True)
class _Changed:
    """The examples of `store` in other units."""

    store: Store
    change: Change

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.change(self.store[index])

    def prefetch(self, index: Tensor) -> None:
        if isinstance(self.store, Prefetching):
            self.store.prefetch(index)
