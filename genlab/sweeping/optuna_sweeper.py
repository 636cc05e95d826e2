"""hydra/sweeper=optuna: a sweep whose jobs are the trials of a study. Hydra's launcher runs them, Optuna chooses their values."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from genlab.composition.resolvers import slug
from genlab.errors import GenlabError
from genlab.tracking.next_steps import to_type

if TYPE_CHECKING:
    from genlab.sweeping.search import Search

ROUNDS = 5
"""In as many at least are the trials run, where n_jobs says nothing: those of one round learn nothing from each other."""
LEAST = {"n_trials": 1, "startup": 0, "seed": 0, "n_jobs": 1}
"""Whole numbers among the settings."""


class OptunaSweeper(Sweeper):
    """Its arguments are the keys of conf/sweeper/optuna.yaml. Optuna is imported when the sweep starts."""

    def __init__(self, **settings: Any) -> None:
        self.settings: dict[str, Any] = {
            k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in settings.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.hydra: Any = config.hydra
        self.jobs = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the trials that are missing, and report. Raises GenlabError for a mistake, before the first of them."""
        from genlab.sweeping.launchers import jobs_at_once
        from genlab.sweeping.study_report import describe_study, report_study

        search = self._checked(arguments)
        most = max(1, self.settings["n_trials"] // ROUNDS)
        at_once = self.settings["n_jobs"] or min(most, jobs_at_once(self.hydra.launcher))
        with search.alone():
            OmegaConf.save(self.config, search.folder / "multirun.yaml")
            describe_study(search, at_once)
            try:
                while search.missing:
                    trials = [search.ask() for _ in range(min(search.missing, at_once))]
                    for batch in _consecutive(trials):
                        words = [self._job(search, trial) for trial in batch]
                        self.jobs.launch(words, initial_job_idx=batch[0].number)
                        for trial in batch:
                            search.tell(trial.number)
                    search.refuse_failures()
            except (KeyboardInterrupt, SystemExit):
                print(f"genlab: the search goes on by: {search.command}", file=sys.stderr)
                raise
            report_study(search)

    def _checked(self, arguments: list[str]) -> "Search":
        """What can be seen before anything is written: settings, space, objective. Raises GenlabError for a mistake."""
        from genlab.sweeping.objective import find_objective
        from genlab.sweeping.search import Search
        from genlab.sweeping.search_check import check_space
        from genlab.sweeping.search_space import read_space
        from genlab.sweeping.study import library, place_of, pruner_of, sampler_of

        library()
        settings = self.settings
        if (command := self.hydra.job.name) != "train":
            raise GenlabError(f"hydra/sweeper=optuna: trials are trainings, and genlab {command} trains nothing")
        for key, least in LEAST.items():
            value = settings[key]
            if not (isinstance(value, int) and value >= least) and not (key == "n_jobs" and value is None):
                raise GenlabError(f"hydra.sweeper.{key}={value}: should be a whole number, {least} or more")
        if (name := settings["study_name"]) is not None and not re.fullmatch(r"\w[\w.-]*", str(name)):
            raise GenlabError(f"hydra.sweeper.study_name={name}: a name is of letters, digits, '_', '-' and '.'")
        pruner_of(settings)
        space = read_space(settings["params"] or {}, self._without_search(arguments))
        sampler_of(settings)
        folder = Path(self.hydra.sweep.dir)
        place = place_of(settings, folder)
        experiment = check_space(space)
        objective = find_objective(settings, experiment)
        defaults = space.defaults(experiment.config, experiment.model)
        return Search(settings, space, objective, defaults, folder, place, self._command(folder))

    def _without_search(self, words: Sequence[str]) -> list[str]:
        """`words` without the choice of a search, and with the model that it chose: so a trial is typed as a training."""
        kept = [word for word in words if not word.startswith("search=")]
        if len(kept) < len(words) and not any(word.startswith("model=") for word in kept):
            kept.insert(0, f"model={self.hydra.runtime.choices.model}")
        return kept

    def _command(self, folder: Path) -> str:
        """What is typed to go on with the study in `folder`."""
        words, key = sys.argv[1:], "hydra.sweep.dir="
        if self.settings["study_name"] is None and not any(word.startswith(key) for word in words):
            flags = [word for word in words if word.startswith("-")]
            words = [*(word for word in words if word not in flags), f"{key}{folder}", *flags]
        return to_type("train", *words)

    def _job(self, search: "Search", trial: Any) -> list[str]:
        """The overrides of a job. Those of hydra.* are not among the words that a run keeps."""
        from hydra.core.override_parser.types import Quote, QuotedString

        objective, given = search.objective, [str(word) for word in self.hydra.overrides.hydra]
        facts = {
            "number": trial.number,
            "study": QuotedString(search.study.study_name, Quote.single).with_quotes(),
            "place": QuotedString(search.place, Quote.single).with_quotes(),
            "metric": objective.metric,
            "direction": objective.direction,
            "at": objective.at,
            "recorded": str(objective.recorded).lower(),
            "pruner": self.settings["pruner"],
            "startup": self.settings["startup"],
        }
        told = ",".join(f"{key}:{value}" for key, value in facts.items())
        words = search.words(trial)
        of_hydra = [f"hydra.sweeper.trial={{{told}}}"]
        if not any(word.startswith("hydra/sweeper=") for word in given):  # the search chose it, which a job has not
            of_hydra.append("hydra/sweeper=optuna")
        if not any(word.startswith("hydra.mode=") for word in given):  # nor does it know that it is one of many
            of_hydra.append("hydra.mode=MULTIRUN")
        if not any(word.startswith("hydra.sweep.subdir=") for word in given):
            varied = slug(words[len(search.space.fixed) :]) or "_default"
            of_hydra.append(f"hydra.sweep.subdir={trial.number}{varied}")
        return [*words, *of_hydra]


def _consecutive(trials: Sequence[Any]) -> list[list[Any]]:
    """Trials with numbers that follow each other together: Hydra counts the jobs of a batch from its first one."""
    batches: list[list[Any]] = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        if batches and batches[-1][-1].number + 1 == trial.number:
            batches[-1].append(trial)
        else:
            batches.append([trial])
    return batches
