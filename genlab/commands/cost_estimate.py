"""genlab train ... --estimate: what a training, or each job of a sweep, will cost, before it starts.

The configuration is composed as `genlab train` composes it. Hydra's folders lie in one that is thrown away.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from genlab.commands.sweep import Summary
from genlab.composition.arguments import arrange
from genlab.errors import GenlabError
from genlab.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    from genlab.benchmark.training_cost import Span, TrainingCost

FLAG = "--estimate"
BEGAN = time.perf_counter()  # this module is imported when the command starts
MOST_JOBS = 64
SECONDS, SECONDS_OF_A_JOB = 4.0, 1.5  # for each of the parts that are timed
NAMES = ("seed", "name", "tag", "note")
"""Keys that change no cost."""


def main(words: list[str]) -> int:
    """Estimate what `genlab train WORDS` would do; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="genlab-estimate-") as folder:
        place = Path(folder) / "estimate"
        inside = [f"hydra.run.dir={place}", f"hydra.sweep.dir={place}", "~hydra.callbacks.folder"]
        for word in words:
            if word.startswith(f"{FLAG}="):
                raise GenlabError(f"{word}: {FLAG} takes no value; write {FLAG} alone")
        sys.argv = ["genlab train", *arrange([*(word for word in words if word != FLAG), *inside], "train")]
        if any(word.startswith("hydra/launcher=") for word in words):
            raise GenlabError(f"{FLAG}: jobs are estimated one after the other; leave hydra/launcher out")
        if any(word.startswith(("hydra/sweeper=", "search=")) for word in words):
            raise GenlabError(
                f"{FLAG}: what a search trains is not known before; estimate one training, without the search"
            )
        Summary.quiet = True
        try:
            _estimate()
        finally:
            Summary.quiet = False
        jobs = sorted(place.glob("*/cost.json"), key=lambda path: int(path.parent.name.partition("_")[0]))
        if len(jobs) > 1:
            _show_sum([json.loads(path.read_text()) for path in jobs])
        return 1 if any(RunFolder(path.parent).state == "failed" for path in place.glob("*/run.json")) else 0


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="train")
def _estimate(config: DictConfig) -> float | None:
    from genlab.commands.job import run_job

    return run_job(_of_one, config)


_known: dict[str, "TrainingCost"] = {}


def _of_one(config: dict[str, Any], folder: Path) -> float:
    """Estimate one training; cost.json of it in `folder` is for the sum over a sweep."""
    from genlab.benchmark.training_cost import training_cost
    from genlab.commands.job import in_sweep
    from genlab.experiment.experiment import Experiment
    from genlab.experiment.starting import copy_start, describe_start

    sweeping = in_sweep()
    if sweeping and len(list(folder.parent.glob("*/cost.json"))) >= MOST_JOBS:
        raise GenlabError(f"{FLAG}: a sweep of more than {MOST_JOBS} jobs; estimate one of them, or fewer values")
    key = json.dumps({k: v for k, v in config.items() if k not in NAMES}, sort_keys=True, default=str)
    if key not in _known:
        experiment = Experiment(config)
        describe_start(experiment)
        experiment.build()
        copy_start(experiment)
        start = time.perf_counter() - BEGAN
        cost = training_cost(experiment, SECONDS_OF_A_JOB if sweeping else SECONDS)
        _show(experiment, cost, 0.0 if sweeping and _known else start)
        _known[key] = replace(cost)
    cost = _known[key]
    folder.mkdir(parents=True, exist_ok=True)
    said = {"words": _words(), **asdict(cost.time), "disk": sum(cost.disk.values()), "memory_mb": cost.memory_mb}
    (folder / "cost.json").write_text(json.dumps(said))
    return cost.time.typical


def _words() -> str:
    from hydra.core.hydra_config import HydraConfig

    from genlab.composition.words import as_typed

    return " ".join(as_typed(HydraConfig.get().overrides.task))


def _show(experiment: Any, cost: "TrainingCost", start: float) -> None:
    from genlab.report.runs_table import duration, size
    from genlab.tracking.console import console, fact

    model, where = experiment.model, experiment.device.resolve().type
    console.print(
        f"{type(model).__name__} with {cost.parameters:,} parameters on {experiment.dataset.spec.name}: "
        f"{cost.examples:,} examples in {cost.updates:,} updates on {where}",
        markup=False,
    )
    parts = [f"{name} {duration(span.typical)}" for name, span in cost.parts.items() if span.typical >= 0.05]
    begin = f"; {duration(start)} before it begins" if start else ""
    fact("time", f"{_span(cost.time)}: {', '.join(parts)}{begin}")
    memory = [] if cost.memory_mb is None else [f"{size(cost.memory_mb * 2**20)} of this machine's"]
    memory += [] if cost.device_memory_mb is None else [f"{size(cost.device_memory_mb * 2**20)} of the GPU's"]
    fact("memory", f"{' and '.join(memory) or 'unknown'}, the peak of what was done for this estimate")
    disk = ", ".join(f"{name} {size(amount)}" for name, amount in cost.disk.items() if amount)
    fact("disk", f"{size(sum(cost.disk.values()))}: {disk}")
    timed = "the whole training was timed" if cost.whole else f"{cost.timed:,} updates were timed"
    fact(
        "measured",
        f"{timed}, in {duration(time.perf_counter() - BEGAN - start)}; it holds while the machine is as busy as now",
    )
    if experiment.processes > 1:
        fact("processes", f"all figures are of one process; that {experiment.processes} share the batches is left out")


def _span(span: "Span") -> str:
    from genlab.report.runs_table import duration

    return f"{duration(span.typical)} ({duration(span.low)} to {duration(span.high)})"


def _show_sum(jobs: list[dict[str, Any]]) -> None:
    """A table of the jobs of a sweep, and what they cost together, one after the other."""
    from rich.markup import escape
    from rich.table import Table

    from genlab.benchmark.training_cost import Span
    from genlab.report.runs_table import duration, size
    from genlab.tracking.console import console, fact

    table = Table(title=f"a sweep of {len(jobs)} jobs", title_justify="left", box=None, pad_edge=False)
    for head in ("job", "time", "disk"):
        table.add_column(head, justify="left" if head == "job" else "right", no_wrap=head != "job")
    spans = [Span(job["low"], job["typical"], job["high"]) for job in jobs]
    for job, span in zip(jobs, spans, strict=True):
        table.add_row(escape(job["words"]), duration(span.typical), size(job["disk"]))
    console.print(table)
    total = sum(spans, Span(0.0, 0.0, 0.0))
    fact("time", f"{_span(total)} for all of them, one after the other")
    fact("disk", size(sum(job["disk"] for job in jobs)))
    if memory := [job["memory_mb"] for job in jobs if job["memory_mb"]]:
        fact("memory", f"{size(max(memory) * 2**20)} of the largest")
