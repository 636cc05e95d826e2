"""One trial of a search as a job: a training whose evaluations are reported, and the value that it reaches."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.errors import InterruptedRun
from genlab.interface.training_run import train_run
from genlab.sweeping.objective import Objective, value_of
from genlab.sweeping.pruning import Watch
from genlab.tracking.console import prose
from genlab.tracking.run_folder import RunFolder

KEY = "search"
"""Of run.json: the trial that a run is, and its value."""


def train_trial(
    sweeper: Mapping[str, Any], config: dict[str, Any], folder: Path, hydra_files: Mapping[str, str]
) -> float:
    """Train the trial that hydra.sweeper.trial describes, and note its value in run.json; returns it, NaN where it was pruned."""
    trial = sweeper["trial"]
    objective = Objective(trial["metric"], trial["direction"], trial["at"], trial["recorded"])
    number, name = int(trial["number"]), str(trial["study"])
    watch = Watch(trial, trial["place"], name, number, objective)
    watched = objective.recorded and trial["pruner"] not in ("none", None)
    if watched and (config.get("device") or {}).get("processes", 1) != 1:
        prose("trials in several processes are not pruned: each goes to its end")
        watched = False
    run = RunFolder(folder)
    noted = {"study": name, "trial": number, "metric": objective.metric, "at": objective.at}
    try:
        train_run(config, folder, hydra_files, watch=watch.attach if watched else None)
    except InterruptedRun:
        if watch.pruned is None:
            raise
        at = watch.pruned
        run.note(state="pruned", error=None, **{KEY: {**noted, "pruned": at}})
        prose(
            f"trial {number} is pruned at {at['examples']:,} of {at['planned']:,} examples, evaluation {at['evaluation']}: "
            f"{objective.metric} {at['value']:.4g} falls behind that of the trials before"
        )
        return math.nan
    value = value_of(run, objective)
    run.note(**{KEY: {**noted, "value": value if math.isfinite(value) else None}})
    return value
