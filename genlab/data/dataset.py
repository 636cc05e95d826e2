"""A data set as a run uses it: splits, representation and specification. They are made in the same way for every source."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from genlab.config.types import Count
from genlab.data.labels import UNLABELLED, keep_labels
from genlab.data.spec import DataSpec, Support
from genlab.errors import GenlabError
from genlab.numerics.rng import bernoulli

Binarize = Literal["none", "dynamic", "threshold"]

SPLIT_SEED = 0  # splits are part of the data's definition: they do not move with the run's seed


class Store(Protocol):
    """Examples that are fetched by index: a tensor in memory, or pictures that stay on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """The examples at `index` (int64, shape (n,)) as a tensor of shape (n, *shape), uint8 or float32."""
        ...


@runtime_checkable
class Prefetching(Protocol):
    """A store that can read ahead while the model computes."""

    def prefetch(self, index: Tensor) -> None: ...


@dataclass(frozen=True)
class Examples:
    """A number of examples in their stored form, with labels where they exist."""

    x: Store
    """Integer grey values 0..levels-1 (uint8), or float32; (N, *shape)."""
    y: Tensor | None
    """Class of each example, int64, shape (N,); -1 for an example without a label."""

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor) -> Tensor:
        """The stored examples at `index`, which may lie on any device, shape (n, *shape)."""
        return self.x.index_select(0, index.to(self.x.device)) if isinstance(self.x, Tensor) else self.x[index]

    def subset(self, index: Tensor) -> "Examples":
        x = self.take(index) if isinstance(self.x, Tensor) else _Subset(self.x, index)
        return Examples(x, None if self.y is None else self.y[index.to(self.y.device)])

    def to(self, device: torch.device) -> "Examples":
        """The same examples with whatever is in memory on `device`."""
        x = self.x.to(device) if isinstance(self.x, Tensor) else self.x
        return Examples(x, None if self.y is None else self.y.to(device))

    def labelled(self) -> "Examples":
        """The labelled examples."""
        if self.y is None or bool((self.y != UNLABELLED).all()):
            return self
        return self.subset((self.y != UNLABELLED).nonzero().squeeze(1))


@dataclass(frozen=True)
class _Subset:
    store: Store
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.store[self.index[index.cpu()]]

    def prefetch(self, index: Tensor) -> None:
        if isinstance(self.store, Prefetching):
            self.store.prefetch(self.index[index.cpu()])


@dataclass(frozen=True)
class Raw:
    """What a source returns: examples as they are stored, before splits and representation."""

    name: str
    train: Examples
    test: Examples | None
    """The official test split; None where the source has none, so that one must be set aside."""
    levels: int | None
    """Number of integer grey levels of uint8 data; None for float data."""
    num_classes: int | None
    truth: object | None = None
    """What is known of the distribution of the examples (truth.py); None where nothing is known."""


@dataclass(frozen=True)
class Representation:
    """Turns stored examples into what a model sees: float32 in the data's support.

    `dynamic` binarisation draws x_i ~ Bernoulli(grey value) anew each time an image is used (Salakhutdinov & Murray 2008);
    `threshold` takes grey > 1/2. Dequantisation adds uniform noise, x = (v + u)/levels with u ~ U[0, 1), so that a density
    over [0, 1] bounds the probability of the integer grey values v (Theis et al. 2016).
    """

    levels: int | None
    binarize: Binarize
    dequantize: bool

    def __call__(self, stored: Tensor) -> Tensor:
        if self.levels is None:
            x = stored if self.binarize == "none" else stored.clamp(0, 1)
        elif self.dequantize:
            return (stored + torch.rand(stored.shape, device=stored.device)).div_(self.levels)
        elif self.binarize == "dynamic":
            return bernoulli(stored, scale=1 / (self.levels - 1))
        else:
            x = stored.float().div_(self.levels - 1)
        if self.binarize == "dynamic":
            return bernoulli(x)
        if self.binarize == "threshold":
            return (x > 0.5).float()
        return x


@dataclass(frozen=True)
class Dataset:
    """Train, validation and test splits with one representation and the specification that models build on."""

    spec: DataSpec
    represent: Representation
    train: Examples
    validation: Examples | None
    test: Examples
    anomalies: Examples | None = None
    """Examples of the classes that were left out of all three splits; None where none were."""
    truth: object | None = None
    """What is known of the distribution of the examples (truth.py); None where nothing is known."""

    def to(self, device: torch.device) -> "Dataset":
        validation = None if self.validation is None else self.validation.to(device)
        anomalies = None if self.anomalies is None else self.anomalies.to(device)
        train, test = self.train.to(device), self.test.to(device)
        return replace(self, train=train, validation=validation, test=test, anomalies=anomalies)

    def labelled_only(self) -> "Dataset":
        """The same data, specification included, without the training examples of unknown class."""
        return replace(self, train=self.train.labelled())


Share = Annotated[int | float, Field(ge=0)]


def prepare(
    raw: Raw,
    *,
    binarize: Binarize,
    dequantize: bool,
    validation: Share,
    test: Share | None = None,
    labelled: Count | None = None,
    exclude: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None,
) -> Dataset:
    """Set validation (and, where the source has no test split, test) examples aside and fix the representation.

    `validation` and `test` are a number of examples (at least 1), or a share of those at hand (below 1). Of the training
    split `labelled` examples keep their labels (labels.py); None for all.

    The classes `exclude` are in none of the splits, and the others keep their numbers: `spec.num_classes` counts all of them. The
    anomalies are what is left out of the test split (of all examples, where the source has no test split of its own).
    """
    anomalies = None
    if exclude is not None:
        raw, anomalies = leave_out(raw, exclude)
    train = raw.train
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(train), generator=generator)
    if raw.test is not None:
        held_out = raw.test
    else:
        n_test = _count("test", test or 0, len(order))
        if n_test < 2:
            raise GenlabError(
                f"dataset.test={test}: {raw.name} has no test split of its own, and a standard error needs two examples; "
                "set more aside"
            )
        held_out, order = train.subset(order[:n_test].sort().values), order[n_test:]
    n_validation = _count("validation", validation, len(order))
    validate = train.subset(order[:n_validation].sort().values) if n_validation else None
    train = train.subset(order[n_validation:].sort().values)
    if labelled is not None:
        if train.y is None:
            raise GenlabError(f"dataset.labelled={labelled}: {raw.name} has no labels; set dataset.labelled=null")
        train = Examples(train.x, keep_labels(train.y, labelled, SPLIT_SEED, raw.name))

    if binarize != "none" and dequantize:
        raise GenlabError(
            f"dataset.dequantize=true: binary data have no grey levels; set dataset.binarize=none (is {binarize})"
        )
    if dequantize and raw.levels is None:
        raise GenlabError("dataset.dequantize=true: these data are continuous already; set dataset.dequantize=false")
    represent = Representation(raw.levels, binarize, dequantize)
    spec = _specify(raw, train, represent)
    return Dataset(spec, represent, train, validate, held_out, anomalies, raw.truth)


def leave_out(raw: Raw, classes: list[int]) -> tuple[Raw, Examples]:
    """`raw` without the examples of `classes`, and those that were in its test split (in all of it, where it has none).

    Raises GenlabError where there are no such classes, or no others.
    """
    key = f"dataset.exclude={classes}".replace(" ", "")
    if raw.train.y is None or raw.num_classes is None:
        raise GenlabError(f"{key}: {raw.name} has no labels; set dataset.exclude=null")
    known = set(raw.train.y.unique().tolist()) - {UNLABELLED}
    for number in classes:
        if number not in known:
            raise GenlabError(f"{key}: {raw.name} has no class {number}; its classes are 0 to {raw.num_classes - 1}")
    if known <= set(classes):
        raise GenlabError(f"{key}: these are all classes of {raw.name}; leave some to train on")

    def part(examples: Examples, out: bool) -> Examples:
        assert examples.y is not None, "a test split has labels where the training split has them"
        return examples.subset((torch.isin(examples.y, torch.tensor(classes)) == out).nonzero().squeeze(1))

    held_out = raw.train if raw.test is None else raw.test
    test = None if raw.test is None else part(raw.test, out=False)
    # What is known of all classes together does not hold for a part of them.
    return replace(raw, train=part(raw.train, out=False), test=test, truth=None), part(held_out, out=True)


def _count(key: str, share: int | float, available: int) -> int:
    count = round(share * available) if share < 1 else int(share)
    if count >= available:
        raise GenlabError(f"dataset.{key}={share}: only {available} examples are at hand; set aside fewer")
    return count


def _specify(raw: Raw, train: Examples, represent: Representation) -> DataSpec:
    """Moments, range and support of the training split in the representation that models see."""
    scale = 1 if raw.levels is None else raw.levels - 1
    first = second = torch.zeros(()).double()
    low, high, n, binary = float("inf"), float("-inf"), 0, True
    for stored in _chunks(train):
        # In float32 the squares of points far from the origin would cancel their variance away; grey values are near it.
        x = stored.double() if raw.levels is None else stored.float().div_(scale)
        if not bool(x.isfinite().all()):
            raise GenlabError(f"dataset={raw.name}: the data hold values that are not finite; remove or replace them")
        low, high = min(low, float(x.min())), max(high, float(x.max()))
        binary = binary and bool(((x == 0) | (x == 1)).all())
        if represent.binarize == "threshold":
            x = (x > 0.5).double()
        first, second, n = first + x.sum(0), second + x.square().sum(0), n + len(x)
    if represent.binarize == "dynamic":
        second = first  # E x^2 = E x for a binary x
    if represent.binarize != "none" and (low < 0 or high > 1):
        raise GenlabError(
            f"dataset.binarize={represent.binarize}: values lie in [{low:.3g}, {high:.3g}], not in [0, 1]; "
            "rescale them or set dataset.binarize=none"
        )
    mean = first / n
    variance = (second / n - mean.square()).clamp_min(0)
    if represent.dequantize and raw.levels is not None:  # x = (v + u)/L, where u has the mean 1/2 and the variance 1/12
        shrink, step = scale / raw.levels, 1 / raw.levels
        mean, variance = shrink * mean + step / 2, shrink**2 * variance + step**2 / 12
        low, high = shrink * low, shrink * high + step
    is_image = mean.ndim == 3
    support: Support = "real"  # vectors are points of space, whatever their range
    if represent.binarize != "none" or (binary and not represent.dequantize):
        support = "binary"
    elif is_image and low >= 0 and high <= 1:
        support = "unit"
    return DataSpec(
        name=raw.name,
        shape=tuple(mean.shape),
        support=support,
        levels=raw.levels if support == "unit" and not represent.dequantize else None,
        num_classes=raw.num_classes,
        low=low,
        high=high,
        mean=mean.float(),
        std=variance.sqrt().float(),
    )


def _chunks(examples: Examples) -> Iterator[Tensor]:
    """Evenly spaced examples, a few at a time: moments need no more, and pictures on disk are slow to read."""
    most = 65_536 if isinstance(examples.x, Tensor) else 8_192
    index = torch.arange(0, len(examples), -(-len(examples) // most))
    size = max(1, 2**22 // examples.x[index[:1]].numel())
    for part in torch.split(index, size):
        yield examples.take(part)
