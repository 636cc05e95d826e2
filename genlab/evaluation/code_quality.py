"""Dimensionality reduction: what do codes h = f(x) keep of the data, and is it better than as many principal components?

    knn_accuracy      5 nearest neighbours among training codes vote for the class of a test code
    linear_accuracy   logistic regression on training codes
    trustworthiness   are neighbours of a code neighbours of its example?

Each stands beside the same of the q leading principal components of the same training examples, the best linear codes
of that size.
"""

import torch

from genlab.data.subsets import at_most
from genlab.evaluation.entries import entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.evaluation.represented import represented
from genlab.metrics.estimate import Estimate
from genlab.metrics.neighbours import (
    linear_accuracy,
    nearest_neighbours_accuracy,
    principal_components,
    ranks_of_distances,
    trustworthiness,
)
from genlab.models.abilities import Encodes

TRAIN, NEIGHBOURHOOD = 5_000, 1_000  # examples that take part
K = 5


@torch.no_grad()
def code_quality(context: EvaluationContext, findings: Findings) -> None:
    """Accuracies with and trustworthiness of the codes; nothing for codes that are not finite, or too few."""
    if findings.codes is None:
        return
    model, dataset = context.model, context.dataset
    assert isinstance(model, Encodes)
    known = at_most(dataset.train.labelled(), TRAIN)
    batches = list(represented(known, dataset.represent, context.settings.seed, context.model.device))
    x_train = torch.cat([batch.x.flatten(1).cpu() for batch in batches])
    y_train = None if known.y is None else torch.cat([batch.y.cpu() for batch in batches if batch.y is not None])
    h_train = torch.cat([model.encode(batch.x).flatten(1).cpu() for batch in batches])
    x_test = torch.cat([batch.x.flatten(1).cpu() for batch in context.few_batches])
    y_test, h_test = findings.labels, findings.codes.flatten(1)
    if not bool(h_train.isfinite().all() and h_test.isfinite().all()):
        return
    pca_train, pca_test = principal_components(x_train, x_test, h_test.shape[1])
    found: dict[str, list[Estimate]] = {}
    for h_known, h in ((h_train, h_test), (pca_train, pca_test)):
        if y_train is not None and y_test is not None and len(y_train) >= K and len(y_train.unique()) > 1:
            by_neighbours = nearest_neighbours_accuracy(h_known, y_train, h, y_test, K)
            found.setdefault("knn_accuracy", []).append(by_neighbours)
            found.setdefault("linear_accuracy", []).append(linear_accuracy(h_known, y_train, h, y_test))
    few = min(NEIGHBOURHOOD, len(x_test))
    if few > 2 * K:
        ranks = ranks_of_distances(x_test[:few])
        found["trustworthiness"] = [trustworthiness(ranks, codes[:few], K) for codes in (h_test, pca_test)]
    for name, (of_codes, of_pca) in found.items():
        findings.entries[name] = entry("codes", of_codes, "share", "higher", baseline=of_pca)
