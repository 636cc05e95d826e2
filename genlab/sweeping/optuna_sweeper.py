"""hydra/sweeper=optuna: a sweep whose jobs are the trials of a study. Hydra's launcher runs them, Optuna chooses their values.

The study lies in a file, so that it outlives the process. Whoever opens it again finishes what is missing: a trial that was
killed is run anew with its values, one that ended meanwhile is told its value.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from genlab.composition.resolvers import slug
from genlab.errors import GenlabError
from genlab.tracking.console import console
from genlab.tracking.next_steps import to_type
from genlab.tracking.own_folder import discard_if_empty
from genlab.tracking.run_folder import RunFolder

if TYPE_CHECKING:
    pass

LEAST_TRIALS = 3
"""As many that fail before one has succeeded end the search."""
RETRY = "anew_of"
"""Attribute of a trial: the number of the killed one whose values it has."""


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

        self._check(arguments)
        with self._alone():
            self._open()
            self._settle_killed()
            describe_study(self)
            try:
                self._run(self.settings["n_jobs"] or jobs_at_once(self.hydra.launcher))
            except (KeyboardInterrupt, SystemExit):
                print(f"genlab: the search goes on by: {self.command}", file=sys.stderr)
                raise
            report_study(self)

    def _check(self, arguments: list[str]) -> None:
        """What can be seen before anything is written: settings, space, objective."""
        from genlab.sweeping.objective import find_objective
        from genlab.sweeping.search_check import check_space
        from genlab.sweeping.search_space import read_space
        from genlab.sweeping.study import library, place_of, pruner_of, sampler_of

        library()
        settings = self.settings
        if (command := self.hydra.job.name) != "train":
            raise GenlabError(f"hydra/sweeper=optuna: trials are trainings, and genlab {command} trains nothing")
        for key, least in (("n_trials", 1), ("startup", 0), ("seed", 0), ("n_jobs", 1)):
            value = settings[key]
            if not (isinstance(value, int) and value >= least) and not (key == "n_jobs" and value is None):
                raise GenlabError(f"hydra.sweeper.{key}={value}: should be a whole number, {least} or more")
        if (name := settings["study_name"]) is not None and not re.fullmatch(r"\w[\w.-]*", str(name)):
            raise GenlabError(f"hydra.sweeper.study_name={name}: a name is of letters, digits, '_', '-' and '.'")
        pruner_of(settings)
        self.space = read_space(settings["params"] or {}, self._without_search(arguments))
        sampler_of(settings, self.space.dimensions)
        experiment, self.defaults = check_space(self.space)
        self.objective = find_objective(settings, experiment)
        self.folder = Path(self.hydra.sweep.dir)
        self.place = place_of(settings, self.folder)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Within the block no other process searches in this folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".search.lock")
        try:
            held = lock.acquire(timeout=1)
        except Timeout:
            raise GenlabError(
                f"hydra.sweep.dir={self.folder}: another process searches there; wait for it, or stop it first"
            ) from None
        with held:
            yield

    def _open(self) -> None:
        """The study, and a note of what it searches. Raises GenlabError where it is one of something else."""
        from genlab.sweeping.study import open_study, refuse_another

        try:
            self.study = open_study(self.settings, self.place, self.objective, self.space.dimensions)
        except GenlabError:
            if not any(self.folder.glob("*/run.json")):  # so that the folder goes again
                (self.folder / ".search.lock").unlink(missing_ok=True)
                discard_if_empty(self.folder)
            raise
        asked = {
            "words": [word for word in self.space.fixed if word.partition("=")[0] not in ("name", "tag", "note")],
            "space": self.space.describe(),
            "metric": self.objective.metric,
            "at": self.objective.at,
        }
        refuse_another(self.study, asked, self.study.study_name)
        OmegaConf.save(self.config, self.folder / "multirun.yaml")

    def _without_search(self, words: Sequence[str]) -> list[str]:
        """`words` without the choice of a search, and with the model that it chose: so a trial is typed as a training."""
        kept = [word for word in words if not word.startswith("search=")]
        if len(kept) < len(words) and not any(word.startswith("model=") for word in kept):
            kept.insert(0, f"model={self.hydra.runtime.choices.model}")
        return kept

    @property
    def command(self) -> str:
        """What is typed to go on with the study."""
        words = sys.argv[1:]
        key = "hydra.sweep.dir="
        if self.settings["study_name"] is None and not any(word.startswith(key) for word in words):
            flags = [word for word in words if word.startswith("-")]
            words = [*(word for word in words if word not in flags), f"{key}{self.folder}", *flags]
        return to_type("train", *words)

    def _run(self, at_once: int) -> None:
        while (missing := self.settings["n_trials"] - len(self.counted())) > 0:
            trials = [self._ask() for _ in range(min(missing, at_once))]
            for batch in _consecutive(trials):
                self.jobs.launch([self._words(trial) for trial in batch], initial_job_idx=batch[0].number)
                for trial in batch:
                    self._tell(trial.number)
            self._refuse_failures()

    def counted(self) -> list[Any]:
        """The trials that have ended. Those that were killed do not count."""
        return [
            trial
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state.is_finished() and "killed" not in trial.user_attrs
        ]

    def _ask(self) -> Any:
        """The next trial: one that was killed anew, the configuration as it is, or what the sampler chooses."""
        trials = self.study.get_trials(deepcopy=False)
        again = {trial.user_attrs.get(RETRY) for trial in trials}
        killed = [t for t in trials if "killed" in t.user_attrs and t.number not in again]
        distributions = {d.key: d.distribution(_optuna()) for d in self.space.dimensions}
        if killed:
            fixed = killed[0].params
            self.study.enqueue_trial(fixed, user_attrs={RETRY: killed[0].number})
            return self.study.ask({key: distributions[key] for key in fixed})
        if not trials and self.settings["default_first"]:
            self.study.enqueue_trial(self.defaults, user_attrs={"default": True})
            return self.study.ask({key: distributions[key] for key in self.defaults})
        return self.study.ask(distributions)

    def _words(self, trial: Any) -> list[str]:
        """The overrides of a job. Those of hydra.* are not among the words that a run keeps."""
        from hydra.core.override_parser.types import Quote, QuotedString

        values = {} if "default" in trial.user_attrs else trial.params
        if RETRY in trial.user_attrs and self._is_default(trial.user_attrs[RETRY]):
            values = {}
        objective = self.objective
        facts = {
            "number": trial.number,
            "study": QuotedString(self.study.study_name, Quote.single).with_quotes(),
            "place": QuotedString(self.place, Quote.single).with_quotes(),
            "metric": objective.metric,
            "direction": objective.direction,
            "at": objective.at,
            "recorded": str(objective.recorded).lower(),
            "pruner": self.settings["pruner"],
            "startup": self.settings["startup"],
        }
        told = ",".join(f"{key}:{value}" for key, value in facts.items())
        chosen = any(str(word).startswith("hydra/sweeper=") for word in self.hydra.overrides.hydra)
        of_hydra = [*([] if chosen else ["hydra/sweeper=optuna"]), f"hydra.sweeper.trial={{{told}}}"]
        words = self.space.words(values)
        if not any(str(word).startswith("hydra.sweep.subdir=") for word in self.hydra.overrides.hydra):
            of_hydra.append(f"hydra.sweep.subdir={trial.number}{slug(words[len(self.space.fixed) :]) or '_default'}")
        return [*words, *of_hydra]

    def _is_default(self, number: int) -> bool:
        """Whether a trial, or the killed one whose place it takes, is the configuration as it is."""
        attributes: Mapping[str, Any] = self.study.get_trials(deepcopy=False)[number].user_attrs
        return "default" in attributes or (RETRY in attributes and self._is_default(attributes[RETRY]))

    def default_trial(self) -> Any:
        """The finished trial of the configuration as it is; None where there is none."""
        return next((trial for trial in self.counted() if self._is_default(trial.number)), None)

    def run_of(self, number: int) -> RunFolder | None:
        """The run folder of a trial; None where none was begun."""
        found = [path for path in self.folder.glob(f"{number}*") if path.name.partition("_")[0] == str(number)]
        return RunFolder(found[0]) if found else None

    def _tell(self, number: int, killed: bool = False) -> None:
        """Tell the study how a trial has ended, as run.json has it; with `killed` one without an end is to be run anew."""
        states, run = _optuna().trial.TrialState, self.run_of(number)
        info = run.info() if run is not None else {}
        found = info.get("search") or {}
        state = run.state if run is not None else "unknown"
        if state == "pruned":
            self.study.tell(number, state=states.PRUNED, skip_if_finished=True)
        elif state == "finished" and isinstance(found.get("value"), int | float):
            self.study.tell(number, float(found["value"]), skip_if_finished=True)
        else:
            trial = self.study.get_trials(deepcopy=False)[number]
            if killed and state != "failed":
                self.study._storage.set_trial_user_attr(trial._trial_id, "killed", True)
            self.study.tell(number, state=states.FAIL, skip_if_finished=True)

    def _settle_killed(self) -> None:
        """Trials of an earlier process that ended without telling. Those that still run on another machine are left to it."""
        running = _optuna().trial.TrialState.RUNNING
        for trial in self.study.get_trials(deepcopy=False, states=(running,)):
            run = self.run_of(trial.number)
            if run is not None and run.state == "running":
                console.print(f"trial {trial.number} still runs in {run.path}; it is left to its process", markup=False)
                continue
            self._tell(trial.number, killed=True)

    def _refuse_failures(self) -> None:
        """Raises GenlabError where nothing but failures has come so far."""
        trials, states = self.counted(), _optuna().trial.TrialState
        if len(trials) >= LEAST_TRIALS and all(trial.state == states.FAIL for trial in trials):
            run = self.run_of(trials[-1].number)
            reason = run.error if run is not None else None
            raise GenlabError(f"the first {len(trials)} trials failed, the last one so: {reason or 'without a word'}")


def _optuna() -> Any:
    from genlab.sweeping.study import library

    return library()


def _consecutive(trials: Sequence[Any]) -> list[list[Any]]:
    """Trials with numbers that follow each other together: Hydra counts the jobs of a batch from its first one."""
    batches: list[list[Any]] = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        if batches and batches[-1][-1].number + 1 == trial.number:
            batches[-1].append(trial)
        else:
            batches.append([trial])
    return batches
