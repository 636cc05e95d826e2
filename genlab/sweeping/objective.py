"""What a search wants: a measure of the validation split, its better direction, and its value for a trained run.

The test split has no part in it: what a search has chosen is measured there once, afterwards.
"""

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from genlab.errors import GenlabError, did_you_mean
from genlab.tracking.run_folder import RunFolder

Direction = Literal["minimize", "maximize"]
WORDS: dict[str, Direction] = {"lower": "minimize", "higher": "maximize"}
PROBE = 8  # validation examples by which a family shows what it measures


@dataclass(frozen=True)
class Objective:
    """A measure, called as in eval/NAME of metrics.jsonl or as in metrics.json."""

    metric: str
    direction: Direction
    at: Literal["end", "best"] = "end"
    recorded: bool = True
    """Whether the records of a training have it; else the trained run is evaluated."""

    def better(self, a: float, b: float) -> bool:
        return a < b if self.direction == "minimize" else a > b

    @property
    def known_as(self) -> str:
        return f"eval/{self.metric}"


def find_objective(settings: Mapping[str, Any], experiment: Any) -> Objective:
    """The objective that hydra.sweeper names for this experiment, which is built here: its data are read.

    Raises GenlabError where there is no such measure, no direction, or no validation split.
    """
    metric = str(settings["metric"]).removeprefix("eval/")
    if metric.startswith("test/"):
        raise GenlabError(
            f"hydra.sweeper.metric={metric}: what is chosen by the test split cannot be tested on it any more; write "
            f"hydra.sweeper.metric={metric.removeprefix('test/')}, of the validation split"
        )
    for key, allowed in (("direction", ("minimize", "maximize", None)), ("at", ("end", "best"))):
        if settings[key] not in allowed:
            hint = did_you_mean(str(settings[key]), [str(one or "null") for one in allowed])
            raise GenlabError(f"hydra.sweeper.{key}={settings[key]}: {hint}")
    experiment.build()
    if experiment.dataset.validation is None:
        raise GenlabError(
            f"dataset={experiment.dataset.spec.name} has no validation split to choose by; set dataset.validation=0.1"
        )
    names = _recorded(experiment)
    recorded = metric in names
    if not recorded and metric not in (known := _evaluated(experiment.model)):
        raise GenlabError(f"hydra.sweeper.metric={metric}: {did_you_mean(metric, {*names, *known})}")
    if not recorded and settings["at"] == "best":
        raise GenlabError(
            f"hydra.sweeper.at=best: {metric} is not measured during a training; set hydra.sweeper.at=end"
        )
    direction = settings["direction"] or _declared(metric, experiment.model)
    if direction is None:
        raise GenlabError(
            f"hydra.sweeper.metric={metric}: neither direction is declared as the better one; set "
            "hydra.sweeper.direction=minimize, or maximize"
        )
    return Objective(metric, direction, settings["at"], recorded)


def _recorded(experiment: Any) -> set[str]:
    """What the family measures of held-out examples between two updates."""
    from genlab.data.subsets import batch_of
    from genlab.models.base import evaluation_mode
    from genlab.numerics import rng

    model, dataset = experiment.model, experiment.dataset
    experiment.device.place(model)
    with evaluation_mode(model), rng.seeded(experiment.seed, "search", device=model.device):
        return set(model.evaluate(batch_of(dataset.validation, PROBE, dataset.represent, model.device)))


def _evaluated(model: Any) -> set[str]:
    """Measures of `genlab evaluate` that can be named before it has run."""
    from genlab.evaluation.sample_quality import MEASURES
    from genlab.inference.likelihood import has_likelihood
    from genlab.models.base import GenerativeModel

    found = set(MEASURES) if isinstance(model, GenerativeModel) else set()
    return found | ({"log_likelihood"} if has_likelihood(model) else set())


def _declared(metric: str, model: Any) -> Direction | None:
    """The better direction as the family, the measure or the table of measures declares it."""
    from genlab.report.measures import definition

    stated = type(model).quantities.get(metric.rstrip("0123456789").rstrip("_"))
    better = (stated and stated.better) or definition(metric).better
    return "minimize" if metric == "loss" else WORDS.get(str(better))


def value_of(run: RunFolder, objective: Objective) -> float:
    """The value of a training that has ended; NaN where it has none."""
    if not objective.recorded:
        return evaluated(run, objective.metric, "validation")[0]
    found = evaluations(run.metrics, objective.known_as)
    if objective.at == "best":
        finite = [value for value in found.values() if math.isfinite(value)]
        return (min if objective.direction == "minimize" else max)(finite, default=math.nan)
    stopped = run.info().get("stopped_early")  # by train.patience: then the run is its state of the lowest loss
    at = stopped.get("best_at") if isinstance(stopped, Mapping) else None
    return found.get(at, math.nan) if at is not None else next(reversed(found.values()), math.nan)


def evaluations(records: Path, name: str) -> dict[int, float]:
    """The values of a scalar in metrics.jsonl, in order: examples seen -> value."""
    if not records.exists():
        return {}
    lines = [json.loads(line) for line in records.read_text().splitlines() if line]
    return {int(line["examples"]): float(line[name]) for line in lines if name in line}


def evaluated(run: RunFolder, metric: str, split: Literal["validation", "test"]) -> tuple[float, float | None]:
    """A measure of `genlab evaluate` with its standard error, of a split; NaN where there is none."""
    from genlab.config.schema import check
    from genlab.evaluation.evaluation import MEASURES, OF_SAMPLES, every, measure
    from genlab.evaluation.evaluation_context import EvaluationContext, Settings
    from genlab.evaluation.findings import Findings
    from genlab.evaluation.sample_quality import MEASURES as QUALITY
    from genlab.experiment.opening import open_run, read_config
    from genlab.inference.partition import Annealing
    from genlab.training.devices import Device

    config = read_config(run)
    device = Device.of(config["device"])
    opened = open_run(run, device, "auto")
    whole = opened.whole_dataset()
    held_out = whole.validation if split == "validation" else whole.test
    if held_out is None:
        return math.nan, None
    (ais,) = check(
        {"chains": 100, "temperatures": 14500, "schedule": "salakhutdinov", "sweeps": 1000}, "ais", Annealing
    )
    settings = Settings(None, 0, 100, Annealing(**ais), "pca", {}, precision=device.autocast)
    context = EvaluationContext(opened.model, replace(whole, test=held_out), settings)
    findings = Findings(data=whole.spec)
    measure(context, findings, [(every, take) for take in OF_SAMPLES] if metric in QUALITY else MEASURES)
    found: Collection[str] = [name for name in findings.entries if name == metric or name.startswith(f"{metric}_")]
    return next(((float(e.value), e.stderr) for e in (findings.entries[name] for name in found)), (math.nan, None))
