"""One evaluation of one model: every measure that it allows, its diagnoses and its pictures."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.evaluation import evaluation_pictures
from genlab.evaluation.anomaly import Anomalies
from genlab.evaluation.configurations import judge_lattice
from genlab.evaluation.cost import costs, network_evaluations, sampling_costs, timed_draw
from genlab.evaluation.diagnoses import Diagnosis
from genlab.evaluation.entries import Entries
from genlab.evaluation.exact_comparison import compare_with_truth
from genlab.evaluation.features import feature_space
from genlab.evaluation.generated import LEAST, Reference, judge
from genlab.evaluation.held_out import HeldOut, examine, likelihood_of
from genlab.evaluation.quality_by_steps import quality_by_effort
from genlab.evaluation.uses import Uses, put_to_use
from genlab.inference.density_maps import density_and_score_maps
from genlab.inference.partition import Annealing, Progress
from genlab.inference.sampling import classes_asked, sampling_options
from genlab.inference.shown_examples import POINTS
from genlab.inference.shown_examples import held_out as first_examples
from genlab.metrics.classes import confusion_matrix
from genlab.models.abilities import HasRemarks, SamplesExPost
from genlab.models.base import GenerativeModel, Model
from genlab.plots.charts import quality_against_cost
from genlab.plots.images import Picture


@dataclass(frozen=True)
class Settings:
    n: int | None
    """Number of samples; None for as many as there are test examples."""
    seed: int
    k: int
    """Draws for the importance-weighted bound."""
    annealing: Annealing
    """How log Z is estimated where it cannot be summed."""
    latent: evaluation_pictures.Map
    """How codes are laid out in a plane."""
    options: dict[str, Any]
    """Arguments of the family's sample_loop."""
    noise: float | None = None
    """Level of the noise that is to be removed from test examples; None for the usual one, 0 for none."""
    anomalies: Anomalies | None = None
    """What should be told from the test split."""
    efforts: list[int] | None = None
    """Numbers of steps for which the quality of samples is measured beside their cost."""
    drawing: Callable[[], AbstractContextManager[object]] = nullcontext
    """The precision of the networks while samples are drawn; everything else is measured in single precision."""


@dataclass
class Evaluation:
    entries: Entries
    diagnoses: list[Diagnosis]
    facts: dict[str, Any]
    """Protocol and everything that is no single number: plain containers, fit for JSON."""
    pictures: dict[str, Picture]
    samples: Tensor | None
    held_out: HeldOut


def evaluate(
    model: Model,
    dataset: Dataset,
    settings: Settings,
    noted: dict[str, Any],
    given: Tensor | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure `model` (in evaluation mode) on the test split of `dataset`, both on one device.

    `noted` is the cost that training noted. `given` samples (n, *shape) are judged in the place of the model's
    own; then only what concerns samples is measured. `progress` is told the share done of what takes long (log Z).
    """
    began = time.perf_counter()
    held_out = HeldOut()
    if given is None:
        held_out = examine(model, dataset, settings.seed, settings.k, settings.annealing, progress)
        compare_with_truth(held_out, model, dataset, settings.seed, settings.k, settings.annealing)
    entries, found = dict(held_out.entries), list(held_out.diagnoses)
    shown = {} if given is not None else evaluation_pictures.classification(held_out)
    uses = Uses()
    if given is None:
        noise, anomalies = settings.noise, settings.anomalies
        uses = put_to_use(model, dataset, held_out, settings.seed, noise=noise, anomalies=anomalies, k=settings.k)
        entries |= uses.entries
        found += uses.diagnoses
        shown |= uses.pictures
    facts: dict[str, Any] = {
        "data": dataset.spec.name,
        "test_examples": len(dataset.test),
        "representation": likelihood_of(model, dataset),
        "seed": settings.seed,
        **uses.facts,
    }
    samples, asked = given, None
    drawing = 0.0
    if given is None and isinstance(model, GenerativeModel):
        options = sampling_options(model, dataset, settings.options)
        start = time.perf_counter()
        with settings.drawing():
            samples, rate = timed_draw(model, settings.n or max(len(dataset.test), 2 * LEAST), settings.seed, **options)
        drawing = time.perf_counter() - start
        asked = classes_asked(model, len(samples), options.get("labels"))
        entries |= sampling_costs(rate, network_evaluations(model, settings.seed, **options))
        facts |= {"sampling": options}
        if isinstance(model, SamplesExPost):
            facts["ex_post"] = model.ex_post
    if samples is not None:
        lattice = judge_lattice(dataset, samples, facts.get("sampling", {}).get("labels"))
        entries |= lattice.entries
        shown |= lattice.pictures
        facts |= lattice.facts
        space = feature_space(dataset, model.device)
        reference = Reference(dataset, space, len(samples), settings.seed)
        judgement = judge(reference, samples, asked)
        entries |= judgement.entries
        found += judgement.diagnoses
        shown |= evaluation_pictures.generated(judgement, samples, dataset, reference.x)
        facts |= {"n": len(samples), "reference_examples": len(reference.x), "features": space.describe()}
        if judgement.shares is not None and judgement.real_shares is not None:
            facts["classes"] = {"generated": judgement.shares.tolist(), "test": judgement.real_shares.tolist()}
        if settings.efforts and isinstance(model, GenerativeModel):
            with settings.drawing():
                efforts = quality_by_effort(
                    model, reference, settings.efforts, settings.seed, **effort_options(options)
                )
            facts["efforts"] = [effort.as_dict() for effort in efforts]
            shown["efforts"] = quality_against_cost(efforts, reference.judged[0]["fid"])
    if given is None:
        shown |= evaluation_pictures.latent_geometry(model, dataset, held_out, settings.latent, settings.seed)
        x = first_examples(dataset, POINTS, settings.seed, model.device).x
        shown |= density_and_score_maps(
            model, dataset, settings.seed, x, samples, side=160, draws=50, integrate_flow=True
        )
        entries |= costs(model, noted)
        facts["remarks"] = model.remarks() if isinstance(model, HasRemarks) else []
        if held_out.log_p is not None and held_out.classes is not None:
            predictions = held_out.log_p.argmax(1)
            facts["confusion"] = confusion_matrix(held_out.classes, predictions, held_out.log_p.shape[1]).tolist()
        facts["likelihoods"] = [
            {
                "name": found.name,
                "kind": found.kind,
                "method": found.method,
                "value": found.mean.value,
                "stderr": found.mean.stderr,
                **found.facts,
            }
            for found in held_out.likelihoods
        ]
    facts["seconds"] = {"total": round(time.perf_counter() - began, 2), "sampling": round(drawing, 2)}
    return Evaluation(entries, _distinct(found), facts, shown, samples, held_out)


def effort_options(options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of sample_loop but for the sampler and its steps, which are varied."""
    return {key: value for key, value in options.items() if key not in ("sampler", "steps", "eta")}


def _distinct(found: list[Diagnosis]) -> list[Diagnosis]:
    """The first of each name."""
    return list({diagnosis.name: diagnosis for diagnosis in reversed(found)}.values())[::-1]


def record(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """metrics.json: name -> value, standard error, unit, kind, and what it is to be compared with."""
    found = {name: entry.as_dict() for name, entry in evaluation.entries.items()}
    for name, entry in evaluation.entries.items():
        if entry.group in ("sample quality", "diversity"):
            found[name]["features"] = "{name} {hash}".format(**evaluation.facts["features"])
    return found


@torch.no_grad()
def codes_for_projector(evaluation: Evaluation, most: int = 5_000) -> tuple[Tensor, Tensor | None] | None:
    """Codes and classes of at most `most` test examples; None for a family without codes."""
    codes, labels = evaluation.held_out.codes, evaluation.held_out.labels
    if codes is None:
        return None
    return codes[:most], None if labels is None else labels[:most]
