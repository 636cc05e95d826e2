"""From the data of a source to the data set of a run: splits, labels and representation, in the same way for every source."""

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from genlab.config.types import Count
from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.labels import UNLABELLED, keep_labels
from genlab.data.measure_spec import specify
from genlab.data.representation import Binarize, Representation
from genlab.errors import GenlabError

SPLIT_SEED = 0  # splits are part of the data's definition: they do not change with the run's seed

CountOrShare = Annotated[int | float, Field(ge=0)]


def prepare(
    raw: RawData,
    *,
    binarize: Binarize,
    dequantize: bool,
    validation: CountOrShare,
    test: CountOrShare | None = None,
    labelled: Count | None = None,
    exclude: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None,
) -> Dataset:
    """Set examples aside for validation and, where the source has no test split, for the test; fix the representation.

    `validation` and `test` are a number of examples (at least 1), or a share of the available ones (below 1). In the training
    split `labelled` examples keep their labels (labels.py); None for all.

    The classes `exclude` are in no split. The other classes keep their numbers: `spec.num_classes` counts all of them. The
    anomalies are the examples of these classes in the test split (in all data, where the source has no test split).

    Raises GenlabError, which names the key, where a value does not fit the data.
    """
    anomalies = None
    if exclude is not None:
        raw, anomalies = exclude_classes(raw, exclude)
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
    represent = _representation(raw, binarize, dequantize)
    spec = specify(raw, train, represent)
    return Dataset(spec, represent, train, validate, held_out, anomalies, raw.truth, raw.note)


def _representation(raw: RawData, binarize: Binarize, dequantize: bool) -> Representation:
    if binarize != "none" and dequantize:
        raise GenlabError(
            f"dataset.dequantize=true: binary data have no grey levels; set dataset.binarize=none (is {binarize})"
        )
    if dequantize and raw.levels is None:
        raise GenlabError("dataset.dequantize=true: these data are continuous already; set dataset.dequantize=false")
    return Representation(raw.levels, binarize, dequantize)


def exclude_classes(raw: RawData, classes: list[int]) -> tuple[RawData, Examples]:
    """`raw` without the examples of `classes`; and these examples of its test split (of all data, where it has none).

    Raises GenlabError where a class does not exist, or no class is left.
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
    """Number of examples for a number or a share of the `available` ones."""
    count = round(share * available) if share < 1 else int(share)
    if count >= available:
        raise GenlabError(f"dataset.{key}={share}: only {available} examples are at hand; set aside fewer")
    return count
