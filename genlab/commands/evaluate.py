"""genlab evaluate run=RUN: held-out measures with their errors, diagnoses and pictures."""

from math import isfinite
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from genlab.commands.job import in_sweep, run_job
from genlab.tracking.own_folder import discard_if_empty
from genlab.tracking.run_folder import RunFolder


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="evaluate")
def main(config: DictConfig) -> float | None:
    return run_job(evaluate, config)


def evaluate(config: dict[str, Any], folder: Path) -> None:
    from genlab.interface.evaluation_run import (
        evaluate_run,
    )  # seconds to import, which a mistyped word need not wait for

    found = evaluate_run(config, folder)
    if in_sweep():
        RunFolder(folder).note(results=_headline(found.findings.entries))
    elif found.folder != folder:
        discard_if_empty(folder)


def _headline(entries: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """The figures that a sweep's table shows first."""
    first = [name for name in ("fid", "coverage", "accuracy") if name in entries]
    likelihood = [name for name in entries if name.startswith("log_likelihood")][-1:]
    return {
        name: {"value": entries[name].value, "stderr": entries[name].stderr}
        for name in [*likelihood, *first, *entries]
        if entries[name].stderr is not None and isfinite(entries[name].stderr) and isfinite(entries[name].value)
    }
