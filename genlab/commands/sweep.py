"""Both ends of a sweep, as Hydra calls them: it goes on where an earlier start ended, is shown while it runs, and summed up."""

import sys
from pathlib import Path
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from genlab.commands.remaining_jobs import follow
from genlab.commands.sweep_checks import number_of_jobs, refuse_mistakes, settle_experiment
from genlab.commands.sweep_overview import Overview
from genlab.commands.sweep_plan import Plan, plan_sweep
from genlab.commands.sweep_table import summarise
from genlab.composition.explain import explain
from genlab.errors import GenlabError, complain
from genlab.sweeping.launchers import SWEEPER, require_plugins
from genlab.tracking.console import prose
from genlab.tracking.own_folder import discard_if_empty
from genlab.tracking.sweep_folder import SweepFolder

LAUNCHER = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
ANEW = "--anew"
OWN = {"multirun.yaml", "sweep.json", "sweep.json.partial"}
"""What a sweep has before its first job."""


class Summary(Callback):
    """Hydra calls this in the process that starts the sweep, with every launcher."""

    under_way: ClassVar[Path | None] = None
    """Folder of the sweep that this process has started, until it ends."""
    quiet: ClassVar[bool] = False
    """Whether nothing is trained, and the end of a sweep is shown by someone else."""
    anew: ClassVar[bool] = False
    """Whether a new sweep is started, whatever earlier ones have done."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        Summary.under_way = Path(config.hydra.sweep.dir)
        follow(None)
        try:
            require_plugins(config.hydra)  # Hydra would make a warning of it
            words = settle_experiment(config)
            total = number_of_jobs(words, config)
            searching = config.hydra.sweeper._target_ == SWEEPER  # which checks and shows its own trials
            training = config.hydra.job.name == "train" and not searching
            if training:
                refuse_mistakes(words)
            if not Summary.quiet and not searching:
                _begin(config, words, total, _plan(config) if training else None)
        except SystemExit:
            discard_unbegun()
            raise
        except Exception as error:
            line = explain(error, str(config.hydra.job.name))
            if line is None:
                raise
            complain(line)
            discard_unbegun()
            raise SystemExit(2) from None

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        leave()
        folder, Summary.under_way = Summary.under_way, None
        told = Summary.quiet or config.hydra.sweeper._target_ == SWEEPER
        if folder is not None and not told and summarise(folder, config.hydra.job.name):
            raise SystemExit(1)


def _begin(config: DictConfig, words: list[str], total: int | None, plan: Plan | None) -> None:
    """Write down the sweep, say what an earlier start has left to do, and show it from now on."""
    folder = Summary.under_way = Path(config.hydra.sweep.dir)
    sweep, command = SweepFolder(folder), str(config.hydra.job.name)
    if plan is None:
        sweep.begin(command, words, [])
    else:
        sweep.begin(command, words, [job.entry() for job in plan.jobs], swept=plan.swept)
        follow(plan)
        if plan.again:
            prose(_going_on(plan))
    if plan is None or plan.to_do:
        Overview(SweepFolder(folder.absolute()), total, config.hydra.launcher._target_ == LAUNCHER).start()


def _plan(config: DictConfig) -> Plan | None:
    explicit = any(word.lstrip("+").startswith("hydra.sweep.dir=") for word in sys.argv)
    return plan_sweep(config, Summary.anew, explicit)


def _going_on(plan: Plan) -> str:
    """The line with which a sweep goes on: what is left out, resumed and run, and how a new one is started."""
    states = [job.state for job in plan.jobs]
    done, running = states.count("finished"), states.count("running")
    new = f"a new one is started by {ANEW}"
    if done == len(states):
        return f"all {done} jobs of this sweep are done, in {plan.folder}; {new}"
    said = [f"{done} of {len(states)} jobs are done"]
    said += [f"{running} {_is(running)} being trained by another process"] if running else []
    for state, what in (("interrupted", "resumed"), ("failed", "run again after a failure")):
        said += [f"{n} {_is(n)} {what}"] if (n := states.count(state)) else []
    waiting = len(plan.to_do) - states.count("interrupted") - states.count("failed")
    said += [f"{waiting} {_is(waiting)} still to run"] if waiting else []
    return f"this sweep goes on in {plan.folder}: {', '.join(said)}; {new}"


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def take_anew(words: list[str]) -> list[str]:
    """The words of a command without --anew, which holds from now on where it was among them. Raises GenlabError for a value."""
    for word in words:
        if word.startswith(f"{ANEW}="):
            raise GenlabError(f"{word}: {ANEW} takes no value; write {ANEW} alone")
    Summary.anew = ANEW in words
    return [word for word in words if word != ANEW]


def leave() -> None:
    """Show the sweep that this process runs no longer, as its jobs have come to their end."""
    follow(None)
    if Overview.current is not None:
        Overview.current.stop()


def discard_unbegun() -> None:
    """Remove the folder of a sweep that failed before its first job, where it holds nothing but Hydra's own note."""
    folder, Summary.under_way = Summary.under_way, None
    if folder is not None and folder.is_dir() and {path.name for path in folder.glob("*")} <= OWN:
        for name in OWN:
            (folder / name).unlink(missing_ok=True)
        discard_if_empty(folder)
