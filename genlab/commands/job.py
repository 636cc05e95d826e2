"""What all commands that Hydra starts share: an output folder, and one line for an error."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from genlab.commands.sweep_job import OtherJobError, TrainedElsewhereError
from genlab.commands.sweep_overview import job_begins, look_again
from genlab.composition.compose import with_typed_length
from genlab.composition.explain import explain
from genlab.composition.own_code import allow_composed
from genlab.composition.own_faults import show_own_frames
from genlab.composition.words import as_typed
from genlab.config.schema import plain
from genlab.errors import InterruptedRun, complain
from genlab.sweeping.launchers import section_of, with_share_of_threads
from genlab.tracking.console import prose
from genlab.tracking.next_steps import to_type
from genlab.tracking.own_folder import discard_if_empty
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.sweep_folder import SweepFolder

Task = Callable[[dict[str, Any], Path], float | None]


def run_job(task: Task, config: DictConfig) -> float | None:
    """Call task(resolved configuration, output folder).

    A user's mistake ends a single run with one line and exit code 2, and leaves no folder where nothing had begun. In a
    sweep it is noted in the job's folder for the summary, and the other jobs go on.
    """
    hydra = HydraConfig.get()
    folder, sweeping = shorten(Path(hydra.runtime.output_dir)), in_sweep()
    if Path.cwd() != Path(hydra.runtime.cwd):  # hydra.job.chdir=true
        folder = folder.absolute()
    typed = as_typed(hydra.overrides.task)
    sweep = folder.parent if not sweeping else shorten(Path(hydra.runtime.cwd) / hydra.sweep.dir)
    occupied = (folder / "run.json").exists()
    job_begins()
    try:
        composed = with_share_of_threads(with_typed_length(plain(config), typed), section_of(hydra, "launcher"))
        allow_composed(composed)
        occupied = occupied and hydra.job.name != "train"  # a job of a sweep of trainings goes on with what is its own
        result = task(composed, folder)
        if sweeping:
            RunFolder(folder).update(lambda info: {"state": info.get("state") or "finished", "overrides": typed})
        return result
    except TrainedElsewhereError as other:
        prose(str(other))
        return float("nan")
    except InterruptedRun as stop:
        print(f"genlab: {stop}", file=sys.stderr)
        if sweeping and hydra.job.name == "train":
            print(f"genlab: the sweep goes on by the same command, or by: {to_type('resume', sweep)}", file=sys.stderr)
        raise SystemExit(128 + stop.signal_number) from None
    except Exception as error:
        line = explain(error, hydra.job.name)
        if sweeping and not occupied and not isinstance(error, OtherJobError):
            reason = line or f"{type(error).__name__}: {error}"
            show_own_frames(error)
            RunFolder(folder).end("failed", error=reason, overrides=typed)
            complain(f"job {SweepFolder(sweep).number(folder)} failed: {reason}")
            return float("nan")
        discard_if_empty(folder)
        if line is None:
            raise
        show_own_frames(error)
        complain(line)
        raise SystemExit(2) from None
    finally:
        if sweeping and SweepFolder(sweep).file.exists():
            SweepFolder(sweep).refresh_job(folder)
            look_again()


def in_sweep() -> bool:
    """Whether this job is one of a sweep."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def shorten(path: Path) -> Path:
    """The path relative to the current folder, where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def hydra_files() -> dict[str, str]:
    """What Hydra would keep in .hydra of this job: file name -> YAML."""
    full = HydraConfig.get()
    return {
        "hydra.yaml": OmegaConf.to_yaml(OmegaConf.create({"hydra": full})),
        "overrides.yaml": OmegaConf.to_yaml(full.overrides.task),
    }
