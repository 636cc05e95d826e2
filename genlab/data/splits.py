"""From the data of a source to the data set of a run: splits, labels and representation, in the same way for every source."""

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

from genlab.config.types import Count
from genlab.data.class_choice import choose, counts
from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.data.held_out_share import said, too_few, usual
from genlab.data.labels import keep_labels
from genlab.data.measure_spec import specify
from genlab.data.representation import Binarize, Representation
from genlab.data.standardise import single_precision, standardised
from genlab.errors import GenlabError

SPLIT_SEED = 0  # splits are part of the data's definition: they do not change with the run's seed

CountOrShare = Annotated[int | float, Field(ge=0)]
Classes = Annotated[list[int | float | bool | str], Field(min_length=1)]
"""Numbers or names of classes."""


def prepare(
    raw: RawData,
    *,
    binarize: Binarize,
    dequantize: bool,
    validation: CountOrShare,
    test: CountOrShare | None = None,
    labelled: Count | None = None,
    classes: Classes | None = None,
    exclude: Classes | None = None,
) -> Dataset:
    """Set examples aside for validation and, where the source has no test split, for the test; fix the representation.

    `validation` and `test` are a number of examples (at least 1), or a share of the available ones (below 1). Where `test` is
    None, it is a tenth, or of few examples more (held_out_share.py). In the training split `labelled` examples keep their labels
    (labels.py); None for all.

    Where `classes` are named, they are all classes that there are. The classes `exclude` are in no split, and the others keep
    their numbers: `spec.num_classes` counts all of them. The anomalies are the examples of these classes in the test split (in
    all data, where the source has no test split).

    Raises GenlabError, which names the key, where a value does not fit the data.
    """
    raw, left_out = choose(raw, classes, exclude)
    train, n_all = raw.train, len(raw.train) + (0 if raw.test is None else len(raw.test))
    remarks = [] if raw.where is None else counts(raw, () if left_out is None else left_out.names)
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(train), generator=generator)
    if raw.test is not None:
        held_out = raw.test
    else:
        n_test = usual(n_all) if test is None else _count("test", test, len(order))
        if n_test < 2:
            raise GenlabError(
                f"dataset.test={'null' if test is None else test}: {raw.name} has no test split of its own, and a standard "
                "error needs two examples; " + ("gather more" if test is None else "set more aside")
            )
        if test is None and (line := said(n_all)):
            remarks.append(line)
        held_out, order = train.subset(order[:n_test].sort().values), order[n_test:]
    if line := too_few(len(held_out), n_all, own=raw.test is not None):
        remarks.append(line)
    n_validation = _count("validation", validation, len(order))
    validate = train.subset(order[:n_validation].sort().values) if n_validation else None
    train = train.subset(order[n_validation:].sort().values)
    if labelled is not None:
        if train.y is None:
            raise GenlabError(f"dataset.labelled={labelled}: {raw.name} has no labels; set dataset.labelled=null")
        train = Examples(train.x, keep_labels(train.y, labelled, SPLIT_SEED, raw.name))
    represent = _representation(raw, binarize, dequantize)
    anomalies = None if left_out is None else left_out.examples
    found = standardised(raw, train)
    if found is not None:
        raw = replace(raw, units=found.units, remarks=(*raw.remarks, found.remark))
        train, held_out = found.of(train), found.of(held_out)
        validate, anomalies = (None if part is None else found.of(part) for part in (validate, anomalies))
    spec = specify(raw, train, represent)
    return Dataset(
        spec,
        represent,
        single_precision(train),
        None if validate is None else single_precision(validate),
        single_precision(held_out),
        None if anomalies is None else single_precision(anomalies),
        raw.truth,
        excluded=() if left_out is None else left_out.names,
        remarks=(*raw.remarks, *remarks),
    )


def _representation(raw: RawData, binarize: Binarize, dequantize: bool) -> Representation:
    if binarize != "none" and dequantize:
        raise GenlabError(
            f"dataset.dequantize=true: binary data have no grey levels; set dataset.binarize=none (is {binarize})"
        )
    if dequantize and raw.levels is None:
        raise GenlabError("dataset.dequantize=true: these data are continuous already; set dataset.dequantize=false")
    return Representation(raw.levels, binarize, dequantize)


def _count(key: str, share: int | float, available: int) -> int:
    """Number of examples for a number or a share of the `available` ones."""
    count = round(share * available) if share < 1 else int(share)
    if count >= available:
        raise GenlabError(f"dataset.{key}={share}: only {available} examples are at hand; set aside fewer")
    return count
