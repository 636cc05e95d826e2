"""Hydra's sweeper, without the jobs that are done: launchers, and the machines behind them, see only those that are left."""

from typing import Any, ClassVar

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.plugin import Plugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from genlab.commands.sweep_plan import BASIC, Plan


class RemainingJobs(Sweeper):
    """Runs the jobs of `plan` that are to do."""

    plan: ClassVar[Plan | None] = None
    own: ClassVar[type[Plugin] | None] = None
    """Hydra's class, in whose place this one stands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        plan = RemainingJobs.plan
        assert plan is not None
        assert self.launcher is not None
        OmegaConf.save(self.config, plan.folder / "multirun.yaml")
        jobs = [_overrides(plan, k) for k in range(len(plan.to_do))]
        size = plan.batch or max(1, len(jobs))
        returns = []
        for first in range(0, len(jobs), size):  # all of them were composed for the plan already
            results = self.launcher.launch(jobs[first : first + size], initial_job_idx=first)
            for result in results:
                _ = result.return_value  # raises what the job has raised
            returns.append(results)
        return returns


def _overrides(plan: Plan, k: int) -> list[str]:
    """Those of the k-th job to do; with its folder, where Hydra would count to another number."""
    job = plan.to_do[k]
    if not plan.again:
        return job.overrides
    return [*job.overrides, f"hydra.sweep.subdir={QuotedString(job.folder, Quote.single).with_quotes()}"]


def follow(plan: Plan | None) -> None:
    """From now on what is left of `plan` runs in the place of what Hydra's own sweeper would run; None: no longer."""
    classes = Plugins.instance().class_name_to_class
    if classes.get(BASIC) is not RemainingJobs:
        RemainingJobs.own = classes.get(BASIC)
    RemainingJobs.plan = plan
    if plan is not None:
        classes[BASIC] = RemainingJobs
    elif RemainingJobs.own is not None:
        classes[BASIC] = RemainingJobs.own
