"""One job of a sweep of trainings: skipped where it is done, resumed where it was interrupted, run where it failed or is new."""

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genlab.composition.job_identity import job_identity
from genlab.data.places import absolute
from genlab.errors import GenlabError
from genlab.interface.training_run import train_run
from genlab.tracking import trash
from genlab.tracking.console import prose
from genlab.tracking.next_steps import to_type
from genlab.tracking.run_folder import OWN, RunFolder
from genlab.tracking.sweep_folder import SweepFolder


class TrainedElsewhereError(Exception):
    """Another process trains this job, and is left alone."""


class OtherJobError(GenlabError):
    """Another job has the folder already."""


def train_job(
    config: dict[str, Any],
    folder: Path,
    hydra_files: Mapping[str, str],
    overrides: Sequence[str],
    sweep: SweepFolder,
    outputs: Path = trash.OUTPUTS,
) -> float:
    """Bring a job to its end, whatever an earlier start has left in its folder; returns the best validation loss.

    The trash is that of `outputs`. Raises TrainedElsewhereError where another process is at it,
    and GenlabError for a mistake.
    """
    run, identity = RunFolder(folder), _identity(config, folder, sweep)
    info = run.info()
    if info.get("identity") not in (None, identity):
        raise OtherJobError(
            f"hydra.sweep.dir={sweep.path}: {folder.name} holds a run already, of another job; name another folder"
        )
    state = run.state if info else "new"
    if state == "finished":
        prose(f"{folder} is done already")
        return reached(run)
    try:
        if state == "interrupted" or (state == "failed" and info.get("resumable")):
            return _resume(config, run)
        if state == "failed":
            _put_away(run, outputs)
        if state != "running":
            return train_run(config, folder, hydra_files, overrides=list(overrides), identity=identity)
    except Exception:
        if run.state != "running":
            raise
    raise TrainedElsewhereError(_elsewhere(run))  # by a process that may have begun it in this moment


def _resume(config: Mapping[str, Any], run: RunFolder) -> float:
    """Go on from the last checkpoint. Where that cannot be, the next start of the sweep runs the job anew."""
    from genlab.interface.resuming import resume

    try:
        return resume(str(run.path), _moved(config, run))
    except Exception:
        if run.state == "interrupted":
            run.note(resumable=False)
        raise


def _identity(config: Mapping[str, Any], folder: Path, sweep: SweepFolder) -> str:
    """As it was planned, where it was."""
    name = os.path.relpath(folder, sweep.path)
    planned = next((job.get("identity") for job in sweep.read().get("jobs", []) if job["folder"] == name), None)
    found = job_identity(config)
    return planned if isinstance(planned, str) and planned.partition("-")[0] == found else found


def reached(run: RunFolder) -> float:
    """What a finished training returns: its best validation loss, or else its loss on the test split."""
    info = run.info()
    loss, results = info.get("validation_loss"), info.get("results")
    if loss is None and isinstance(results, Mapping) and isinstance(results.get("test/loss"), Mapping):
        loss = results["test/loss"].get("value")
    return float(loss) if isinstance(loss, int | float) else math.nan


def _moved(config: Mapping[str, Any], run: RunFolder) -> list[str]:
    """The override that names the folder of data sets, where it is another one now."""
    from genlab.experiment.opening import read_config

    now = absolute(config.get("dataset") or {}).get("root")
    before = (read_config(run).get("dataset") or {}).get("root")
    return [f"dataset.root={now}"] if now is not None and before is not None and now != before else []


def _put_away(run: RunFolder, outputs: Path) -> None:
    """Make room for a new attempt. A failed training that has saved something goes to the trash; of others nothing is left."""
    if not run.last.exists() and {path.name for path in run.path.iterdir()} <= {*OWN, "run.json"}:
        with run.training():
            for path in (path for path in run.path.iterdir() if path.name != ".lock"):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return
    inside = Path.cwd() == run.path.absolute()  # hydra.job.chdir=true
    if inside:
        os.chdir(run.path.parent)
    trash.remove(run.path, outputs)
    run.path.mkdir(parents=True, exist_ok=True)
    if inside:
        os.chdir(run.path)
    prose(f"{run.path} failed before and is run anew; what it left is in the trash: {to_type('runs', 'trash')}")


def _elsewhere(run: RunFolder) -> str:
    where = run.elsewhere
    if where is None:
        return f"{run.path} is being trained by another process, and is left to it"
    return (
        f"{run.path} is being trained on {where}, and is left to it; where that has stopped, go on by: "
        f"{to_type('resume', run.path)}"
    )
