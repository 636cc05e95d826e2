"""Dimensionality reduction: what do codes h = f(x) keep of the data, and is it better than as many principal components?

    knn_accuracy      5 nearest neighbours among training codes vote for the class of a test code
    linear_accuracy   logistic regression on training codes
    trustworthiness   are neighbours of a code neighbours of its example?

Each beside the same of the q leading principal components of the same training examples, the best linear codes of that size.
"""

from dataclasses import replace

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.evaluation.entries import Entries, entry
from genlab.evaluation.held_out import evenly, held_out_batches
from genlab.metrics.estimate import Estimate
from genlab.metrics.neighbours import (
    linear_accuracy,
    nearest_neighbours_accuracy,
    principal_components,
    ranks_of_distances,
    trustworthiness,
)
from genlab.models.abilities import Encodes
from genlab.models.base import Model

TRAIN, TEST, NEIGHBOURHOOD = 5_000, 5_000, 1_000  # examples that take part
K = 5


@torch.no_grad()
def judge_codes(model: Model, dataset: Dataset, seed: int) -> Entries:
    """Accuracies with and trustworthiness of the codes of `model`; nothing for codes that are not finite, or too few."""
    assert isinstance(model, Encodes)
    known = replace(dataset, test=evenly(dataset.train.labelled(), TRAIN))
    x_train, y_train, h_train = _coded(model, known, seed)
    x_test, y_test, h_test = _coded(model, dataset, seed)
    if not bool(h_train.isfinite().all() and h_test.isfinite().all()):
        return {}
    linear = principal_components(x_train, x_test, h_test.shape[1])
    found: dict[str, list[Estimate]] = {}
    for train, test in ((h_train, h_test), linear):
        if y_train is not None and y_test is not None and len(y_train) >= K and len(y_train.unique()) > 1:
            near = nearest_neighbours_accuracy(train, y_train, test, y_test, K)
            found.setdefault("knn_accuracy", []).append(near)
            found.setdefault("linear_accuracy", []).append(linear_accuracy(train, y_train, test, y_test))
    few = min(NEIGHBOURHOOD, len(x_test))
    if few > 2 * K:
        ranks = ranks_of_distances(x_test[:few])
        found["trustworthiness"] = [trustworthiness(ranks, codes[:few], K) for codes in (h_test, linear[1])]
    return {name: entry("codes", ours, "share", "higher", baseline=pca) for name, (ours, pca) in found.items()}


def _coded(model: Model, dataset: Dataset, seed: int) -> tuple[Tensor, Tensor | None, Tensor]:
    """First test examples (n, D), their classes and their codes (n, q), on the CPU."""
    assert isinstance(model, Encodes)
    batches = list(held_out_batches(dataset, model, seed, limit=TEST))
    x = torch.cat([batch.x.flatten(1).cpu() for batch in batches])
    y = None if batches[0].y is None else torch.cat([batch.y.cpu() for batch in batches if batch.y is not None])
    return x, y, torch.cat([model.encode(batch.x).flatten(1).cpu() for batch in batches])
