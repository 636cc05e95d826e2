"""Anomaly detection: does a model that has seen only normal examples notice what is unlike them?

Every score that the model allows is taken of the test split and of the anomalies, larger for what is stranger:

    bound             minus the importance-weighted bound on log p(x)       a latent-variable model
    likelihood        -log p(x)                                             where it is known
    free_energy       F(x) = -log p(x) - log Z                              where it is known up to a constant
    reconstruction    ||x - x~||^2                                          an autoencoder of any kind
    max_probability   log (1 - p)/p,  p = max_k p(y_k|x)                    a classifier (Hendrycks & Gimpel 2017)

and judged by the area under its ROC curve. Beside each stands what independent components reach: minus the log-likelihood
of a model that knows the marginals of the components only (of reconstruction, the distance from the mean). A likelihood
may well rank below it, and below 1/2: a model can give more probability to simple examples that it has never seen
(Nalisnick et al. 2019).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from genlab.data.dataset import Dataset, RawData
from genlab.data.examples import Examples
from genlab.errors import GenlabError
from genlab.evaluation import diagnoses
from genlab.evaluation.baseline import independent_log_likelihood
from genlab.evaluation.diagnoses import Diagnosis
from genlab.evaluation.entries import Entries, entry
from genlab.evaluation.held_out import evenly, held_out_batches
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
from genlab.plots.charts import labelled
from genlab.plots.images import Picture, grid
from genlab.plots.roc_curves import Ranking, rankings

MOST = 10_000  # examples of each kind
DRAWS = 5  # of h for the bound, at most
DISTANCE, MARGINALS = "distance from the mean", "independent components"

Score = Callable[[Model, Tensor, int], Tensor]
"""Of a model, examples (n, *shape) and the number of draws: (n,), larger for what is stranger."""


def odds_against(log_p: Tensor) -> Tensor:
    """log (1 - p)/p of the largest probability p, from log p (n, classes): finite where 1 - p rounds to 0."""
    top, index = log_p.max(1)
    return log_p.scatter(1, index.unsqueeze(1), -torch.inf).logsumexp(1) - top


class Scored(NamedTuple):
    applies: Callable[[object], bool]
    score: Score
    label: str


SCORES: dict[str, Scored] = {
    "bound": Scored(
        able(HasLogWeights),
        lambda model, x, k: -importance_weighted(cast(HasLogWeights, model), x, k)[1],
        "bound on −log p(x)",
    ),
    "log_bound": Scored(
        able(HasLogBound), lambda model, x, _: -cast(HasLogBound, model).log_bound(x), "the family's bound on −log p(x)"
    ),
    "likelihood": Scored(able(HasLogProb), lambda model, x, _: -cast(HasLogProb, model).log_prob(x), "−log p(x)"),
    "free_energy": Scored(
        able(HasFreeEnergy), lambda model, x, _: cast(HasFreeEnergy, model).free_energy(x), "free energy F(x)"
    ),
    "reconstruction": Scored(
        able(Reconstructs),
        lambda model, x, _: (x - cast(Reconstructs, model).reconstruct(x)).square().flatten(1).sum(1),
        "reconstruction error",
    ),
    "max_probability": Scored(
        classifies,
        lambda model, x, _: odds_against(cast(Classifies, model).classify(x)),
        "log odds against the likeliest class",
    ),
}
"""In the order of preference: by the first that a model has its strangest examples are picked."""


@dataclass(frozen=True)
class Anomalies:
    """Examples that a model should find strange, as they are stored, with the number of their grey levels."""

    name: str
    examples: Examples
    levels: int | None


@dataclass
class Detection:
    entries: Entries = field(default_factory=dict)
    diagnoses: list[Diagnosis] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, Picture] = field(default_factory=dict)


def of_other_data(key: str, word: str, raw: RawData, dataset: Dataset) -> Anomalies:
    """The test split of another data set (all of it, where it has none). Raises GenlabError where it does not fit `dataset`."""
    examples = raw.train if raw.test is None else raw.test
    examples = evenly(examples, MOST)
    first = examples.take(torch.arange(min(100, len(examples))))
    data, shape = dataset.spec, tuple(first.shape[1:])
    if shape != data.shape:
        found, wanted = ("x".join(map(str, s)) for s in (shape, data.shape))
        raise GenlabError(f"{key}={word}: its examples are {found} and those of {data.name} {wanted}; name others")
    if len(examples) < 2:
        raise GenlabError(f"{key}={word}: a standard error needs two examples, it holds {len(examples)}; name others")
    if raw.levels is None and dataset.represent.dequantize:
        raise GenlabError(f"{key}={word}: its values are continuous and those of {data.name} grey levels; name others")
    low, high = (0.0, 1.0) if raw.levels is not None else (float(first.min()), float(first.max()))
    if data.support != "real" and (low < 0 or high > 1):
        raise GenlabError(
            f"{key}={word}: its values lie in [{low:.3g}, {high:.3g}] and those of {data.name} in [0, 1]; rescale them"
        )
    anomalies = Anomalies(word, examples, raw.levels)
    if data.support == "binary":
        x = _represented(anomalies, dataset).represent(first)
        if not bool(((x == 0) | (x == 1)).all()):
            raise GenlabError(f"{key}={word}: its values are grey and those of {data.name} 0 and 1; name others")
    return anomalies


def of_excluded(dataset: Dataset) -> Anomalies:
    """The classes that dataset.exclude left out. Raises GenlabError where there are none."""
    if dataset.anomalies is None:
        raise GenlabError(
            "anomaly=excluded: the run was trained on all classes; train with dataset.exclude=[CLASS], or name another data set"
        )
    if len(dataset.anomalies) < 2:
        raise GenlabError("anomaly=excluded: the test split holds fewer than two examples of the classes left out")
    return Anomalies("excluded", evenly(dataset.anomalies, MOST), dataset.represent.levels)


@torch.no_grad()
def detect(model: Model, dataset: Dataset, anomalies: Anomalies, seed: int, k: int) -> Detection:
    """All scores of `model` (in evaluation mode) on at most MOST examples of each kind, with `k` draws where any are needed."""
    k = min(k, DRAWS)
    normal = replace(dataset, test=evenly(dataset.test, MOST)).to(model.device)
    strange = _represented(anomalies, dataset).to(model.device)
    found = Detection()
    found.facts = {"against": anomalies.name, "normal": len(normal.test), "anomalous": len(strange.test), "scores": {}}
    names = [name for name, scored in SCORES.items() if scored.applies(model)]
    if not names:
        return found
    ours, theirs = _scores(model, normal, names, seed, k), _scores(model, strange, names, seed, k)
    bases = _baselines(dataset, normal, model, seed), _baselines(dataset, strange, model, seed)
    drawn: list[Ranking] = []
    for name in names:
        bad = diagnoses.not_finite(torch.cat([ours[name], theirs[name]]), f"the anomaly score {name}")
        if bad is not None:
            found.diagnoses.append(bad)
            continue
        area, kind = auroc(theirs[name], ours[name]), DISTANCE if name == "reconstruction" else MARGINALS
        baseline = auroc(bases[1][kind], bases[0][kind])
        found.entries[f"auroc_{name}"] = entry("anomaly", area, "share of pairs", "higher", baseline=baseline)
        curve, base_curve = roc(theirs[name], ours[name]), roc(bases[1][kind], bases[0][kind])
        found.facts["scores"][name] = {
            "auroc": area.value,
            "interval_95": list(interval(area)),
            "average_precision": average_precision(curve),
            "false_positives_at_95": false_positives_at(curve),
        }
        label = SCORES[name].label
        drawn.append(Ranking(label, curve, area, ours[name], theirs[name], kind, base_curve, baseline))
    if any("bound" in name for name in found.facts["scores"]):
        found.facts["draws"] = k
    if drawn:
        found.pictures["anomaly"] = rankings(drawn, "the test split", _title(anomalies, dataset))
        if dataset.spec.is_image:
            name = next(iter(found.facts["scores"]))
            found.pictures["anomalies"] = _strangest(model, normal, strange, ours[name], theirs[name], name, seed)
    return found


def _represented(anomalies: Anomalies, dataset: Dataset) -> Dataset:
    """The anomalies in the place of the test split, in the representation of `dataset`."""
    represent = replace(dataset.represent, levels=anomalies.levels)
    return replace(dataset, represent=represent, test=anomalies.examples)


def _title(anomalies: Anomalies, dataset: Dataset) -> str:
    y = anomalies.examples.y
    if anomalies.name != "excluded" or y is None:
        return anomalies.name
    classes = y.unique().tolist()
    return f"class{'es' if len(classes) > 1 else ''} {', '.join(map(str, classes))}"


def _scores(model: Model, dataset: Dataset, names: list[str], seed: int, k: int) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    with seeded(seed, "anomaly", device=model.device):
        for batch in held_out_batches(dataset, model, seed):
            for name in names:
                parts[name].append(SCORES[name].score(model, batch.x, k).cpu().double())
    return {name: torch.cat(values) for name, values in parts.items()}


def _baselines(dataset: Dataset, scored: Dataset, model: Model, seed: int) -> dict[str, Tensor]:
    """What independent components, as in the training split of `dataset`, make of the test split of `scored`."""
    x = torch.cat([batch.x.cpu() for batch in held_out_batches(scored, model, seed)])
    distance = (x - dataset.spec.mean.cpu()).square().flatten(1).sum(1).double()
    log_p = independent_log_likelihood(dataset, x, discrete=True)
    return {DISTANCE: distance, MARGINALS: distance if log_p is None else -log_p.double()}


def _strangest(
    model: Model, normal: Dataset, strange: Dataset, ours: Tensor, theirs: Tensor, name: str, seed: int
) -> Picture:
    """Least and most anomalous examples of both kinds by one score, above their reconstructions where the model makes some."""
    rows, labels = [], []
    few = min(COLUMNS, len(ours), len(theirs))
    for what, dataset, scores in (("normal", normal, ours), ("anomalous", strange, theirs)):
        x = torch.cat([batch.x.cpu() for batch in held_out_batches(dataset, model, seed)])
        order = scores.argsort()
        for which, index in (("least", order[:few]), ("most", order[-few:].flip(0))):
            chosen = x[index]
            rows.append(chosen)
            labels.append(f"{what}, {which} strange")
            if isinstance(model, Reconstructs):
                rows.append(model.reconstruct(chosen.to(model.device)).cpu())
                labels.append("reconstructed")
    return labelled(grid(torch.cat(rows), few, normal.spec), labels)
