"""Anomaly detection: does a model that is trained on normal examples alone recognise others?

Every score that the model allows is taken of the test split and of the anomalies; it is larger for what is more anomalous:

    bound             minus the importance-weighted bound on log p(x)       a latent-variable model
    likelihood        -log p(x)                                             where it is known
    free_energy       F(x) = -log p(x) - log Z                              where it is known up to a constant
    reconstruction    ||x - x~||^2                                          an autoencoder of any kind
    max_probability   log (1 - p)/p,  p = max_k p(y_k|x)                    a classifier (Hendrycks & Gimpel 2017)

Its measure is the area under its ROC curve. Beside each stands the area of independent components: of minus the log-likelihood
of a model that knows the marginals of the components only (for reconstruction, of the distance from the mean). A likelihood
may well have a smaller area, and one below 1/2: a model can give more probability to simple examples that it has never seen
(Nalisnick et al. 2019).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset
from genlab.data.subsets import at_most
from genlab.evaluation import diagnoses
from genlab.evaluation.anomalous_data import MOST
from genlab.evaluation.baseline import independent_log_likelihood
from genlab.evaluation.entries import entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.evaluation.represented import represented
from genlab.inference.likelihood import importance_weighted
from genlab.inference.shown_examples import COLUMNS
from genlab.metrics.ranking import auroc, average_precision, false_positives_at, interval, roc
from genlab.models.abilities import (
    Classifies,
    HasFreeEnergy,
    HasLogBound,
    HasLogProb,
    HasLogWeights,
    Reconstructs,
    able,
    classifies,
)
from genlab.models.base import Model
from genlab.numerics.rng import seeded
from genlab.plots import by_kind
from genlab.plots.images import Picture
from genlab.plots.roc_curves import Ranking, rankings

DRAWS = 5  # of h for the bound, at most
DISTANCE, MARGINALS = "distance from the mean", "independent components"

Score = Callable[[Model, Tensor, int], Tensor]
"""Of a model, examples (n, *shape) and the number of draws: (n,), larger for what is more anomalous."""


def odds_against(log_p: Tensor) -> Tensor:
    """log (1 - p)/p of the largest probability p, from log p (n, num_classes): finite where 1 - p rounds to 0."""
    top, index = log_p.max(1)
    return log_p.scatter(1, index.unsqueeze(1), -torch.inf).logsumexp(1) - top


class AnomalyScore(NamedTuple):
    applies: Callable[[object], bool]
    score: Score
    label: str


SCORES: dict[str, AnomalyScore] = {
    "bound": AnomalyScore(
        able(HasLogWeights),
        lambda model, x, k: -importance_weighted(cast(HasLogWeights, model), x, k)[1],
        "bound on −log p(x)",
    ),
    "log_bound": AnomalyScore(
        able(HasLogBound), lambda model, x, _: -cast(HasLogBound, model).log_bound(x), "the family's bound on −log p(x)"
    ),
    "likelihood": AnomalyScore(able(HasLogProb), lambda model, x, _: -cast(HasLogProb, model).log_prob(x), "−log p(x)"),
    "free_energy": AnomalyScore(
        able(HasFreeEnergy), lambda model, x, _: cast(HasFreeEnergy, model).free_energy(x), "free energy F(x)"
    ),
    "reconstruction": AnomalyScore(
        able(Reconstructs),
        lambda model, x, _: (x - cast(Reconstructs, model).reconstruct(x)).square().flatten(1).sum(1),
        "reconstruction error",
    ),
    "max_probability": AnomalyScore(
        classifies,
        lambda model, x, _: odds_against(cast(Classifies, model).classify(x)),
        "log odds against the likeliest class",
    ),
}
"""In the order of preference: the first that a model has ranks the examples of the picture."""


@torch.no_grad()
def anomaly_detection(context: EvaluationContext, findings: Findings) -> None:
    """All scores of the model on at most MOST examples of each kind, with the draws of the settings where any are needed."""
    anomalies, model, dataset = context.settings.anomalies, context.model, context.dataset
    if anomalies is None:
        return
    k, seed = min(context.settings.k, DRAWS), context.settings.seed
    test, anomalous = at_most(dataset.test, MOST), anomalies.examples.to(model.device)
    facts = {"against": anomalies.name, "normal": len(test), "anomalous": len(anomalous), "scores": {}}
    findings.facts["anomaly"] = facts
    names = [name for name, score in SCORES.items() if score.applies(model)]
    if not names:
        return
    whole = len(test) == len(dataset.test)
    of_normal = context.test_batches if whole else represented(test, dataset.represent, seed, model.device)
    of_anomalies = represented(anomalous, anomalies.represent(dataset), seed, model.device)
    normal, positive = _scores(model, of_normal, names, seed, k), _scores(model, of_anomalies, names, seed, k)
    x_normal, x_positive = (torch.cat([batch.x.cpu() for batch in batches]) for batches in (of_normal, of_anomalies))
    normal_base, positive_base = _baselines(dataset, x_normal), _baselines(dataset, x_positive)
    drawn: list[Ranking] = []
    scores: dict[str, object] = {}
    for name in names:
        bad = diagnoses.not_finite(torch.cat([normal[name], positive[name]]), f"the anomaly score {name}")
        if bad is not None:
            findings.diagnoses.append(bad)
            continue
        area, kind = auroc(positive[name], normal[name]), DISTANCE if name == "reconstruction" else MARGINALS
        baseline = auroc(positive_base[kind], normal_base[kind])
        findings.entries[f"auroc_{name}"] = entry("anomaly", area, "share of pairs", "higher", baseline=baseline)
        curve, base_curve = roc(positive[name], normal[name]), roc(positive_base[kind], normal_base[kind])
        scores[name] = {
            "auroc": area.value,
            "interval_95": list(interval(area)),
            "average_precision": average_precision(curve),
            "false_positives_at_95": false_positives_at(curve),
        }
        label = SCORES[name].label
        drawn.append(Ranking(label, curve, area, normal[name], positive[name], kind, base_curve, baseline))
    facts["scores"] = scores
    if any("bound" in name for name in scores):
        facts["draws"] = k
    if not drawn:
        return
    findings.pictures["anomaly"] = rankings(drawn, "the test split", anomalies.title)
    if dataset.spec.on_grid:
        name = next(iter(scores))
        kinds = {"normal": (x_normal, normal[name]), "anomalous": (x_positive, positive[name])}
        findings.pictures["anomalies"] = _extremes(model, kinds)


def _scores(model: Model, batches: Iterable[Batch], names: list[str], seed: int, k: int) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    with seeded(seed, "anomaly", device=model.device):
        for batch in batches:
            for name in names:
                parts[name].append(SCORES[name].score(model, batch.x, k).cpu().double())
    return {name: torch.cat(values) for name, values in parts.items()}


def _baselines(dataset: Dataset, x: Tensor) -> dict[str, Tensor]:
    """Scores of examples x by independent components, as in the training split of `dataset`."""
    distance = (x - dataset.spec.mean.cpu()).square().flatten(1).sum(1).double()
    log_p = independent_log_likelihood(dataset, x, discrete=True)
    return {DISTANCE: distance, MARGINALS: distance if log_p is None else -log_p.double()}


def _extremes(model: Model, kinds: dict[str, tuple[Tensor, Tensor]]) -> Picture:
    """Least and most anomalous examples of both kinds by one score, above their reconstructions where the model has some.

    `kinds` are examples (n, *shape) of each kind and their scores (n,).
    """
    images, labels = [], []
    few = min(COLUMNS, *(len(scores) for _, scores in kinds.values()))
    for kind, (x, scores) in kinds.items():
        order = scores.argsort()
        for which, index in (("lowest", order[:few]), ("highest", order[-few:].flip(0))):
            images.append(x[index])
            labels.append(f"{kind}, {which} score")
            if isinstance(model, Reconstructs):
                images.append(model.reconstruct(x[index].to(model.device)).cpu())
                labels.append("reconstructed")
    return by_kind.grid(torch.cat(images), few, model.data, labels)
