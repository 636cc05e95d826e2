"""A search: a study with its space, its objective and the run folder of every trial.

What a process leaves unfinished the next one finds: a trial that was killed is run anew with its values, one that ended meanwhile
is told its value. Several machines may share a study through a database; each then looks after its own trials.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from genlab.errors import GenlabError
from genlab.sweeping.objective import Objective
from genlab.sweeping.search_space import Space, Value
from genlab.sweeping.study import library, open_study, refuse_another
from genlab.tracking.console import console
from genlab.tracking.own_folder import discard_if_empty
from genlab.tracking.run_folder import RunFolder

LEAST_TRIALS = 3
"""As many that fail before one has succeeded end the search."""
DEFAULT, KILLED, RETRY, FOLDER = "default", "killed", "anew_of", "folder"
"""Attributes of a trial: the configuration as it is; a process that was killed trained it; the number of the killed one whose
values it has; the folder of the search, where several share a study.
"""
LOCK = ".search.lock"


@dataclass
class Search:
    """`settings` are those of conf/sweeper/optuna.yaml, `defaults` the values that the configuration has without the search."""

    settings: Mapping[str, Any]
    space: Space
    objective: Objective
    defaults: Mapping[str, Value]
    folder: Path
    place: str
    command: str
    """What is typed to go on with it."""
    study: Any = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within the block the study is open, and no other process searches in this folder.

        Raises GenlabError where one does, and where the study is one of something else.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(self.folder / LOCK).acquire(timeout=1)
        except Timeout:
            raise GenlabError(
                f"hydra.sweep.dir={self.folder}: another process searches there; wait for it, or stop it first"
            ) from None
        with held:
            self._open()
            self._settle_killed()
            yield

    def _open(self) -> None:
        try:
            self.study = open_study(self.settings, self.place, self.objective)
        except GenlabError:
            if not any(self.folder.glob("*/run.json")):  # so that the folder goes again
                (self.folder / LOCK).unlink(missing_ok=True)
                discard_if_empty(self.folder)
            raise
        asked = {
            "words": [word for word in self.space.fixed if word.partition("=")[0] not in ("name", "tag", "note")],
            "space": self.space.describe(),
            "metric": self.objective.metric,
            "at": self.objective.at,
        }
        refuse_another(self.study, asked, self.study.study_name)

    @property
    def is_shared(self) -> bool:
        """Whether other folders may search in the same study."""
        return not self.place.startswith(str(self.folder.absolute()))

    @property
    def trials(self) -> list[Any]:
        found: list[Any] = self.study.get_trials(deepcopy=False)
        return found

    @property
    def counted(self) -> list[Any]:
        """The trials that have ended. Those that were killed do not count."""
        return [trial for trial in self.trials if trial.state.is_finished() and KILLED not in trial.user_attrs]

    @property
    def missing(self) -> int:
        return max(0, int(self.settings["n_trials"]) - len(self.counted))

    @property
    def own(self) -> str:
        return str(self.folder.absolute())

    def ask(self) -> Any:
        """The next trial: one that was killed anew, the configuration as it is, or what the sampler chooses."""
        trials = self.trials
        again = {trial.user_attrs.get(RETRY) for trial in trials}
        killed = [t for t in trials if KILLED in t.user_attrs and t.number not in again and self._is_own(t)]
        if killed:
            attributes = {RETRY: killed[0].number}
            attributes |= {DEFAULT: True} if DEFAULT in killed[0].user_attrs else {}
            self.study.enqueue_trial(killed[0].params, user_attrs=attributes)
        elif not trials and self.settings["default_first"]:
            self.study.enqueue_trial(self.defaults, user_attrs={DEFAULT: True})
        trial = self.study.ask()
        is_default = DEFAULT in trial.user_attrs
        for dimension in self.space.dimensions:
            if not is_default or dimension.key in self.defaults:
                trial._suggest(dimension.key, dimension.distribution(library()))
        if self.is_shared:
            trial.set_user_attr(FOLDER, self.own)
        return trial

    def _is_own(self, trial: Any) -> bool:
        return not self.is_shared or trial.user_attrs.get(FOLDER) == self.own

    def words(self, trial: Any) -> list[str]:
        """What is typed to train a trial."""
        return self.space.words({} if DEFAULT in trial.user_attrs else trial.params)

    def default_trial(self) -> Any:
        """The finished trial of the configuration as it is; None where there is none."""
        return next((trial for trial in self.counted if DEFAULT in trial.user_attrs), None)

    def run_of(self, trial: Any) -> RunFolder | None:
        """The run folder of a trial; None where none was begun."""
        folder, number = Path(trial.user_attrs.get(FOLDER) or self.folder), str(trial.number)
        folder = self.folder if folder == self.folder.absolute() else folder
        found = [path for path in folder.glob(f"{number}*") if path.name.partition("_")[0] == number]
        return RunFolder(found[0]) if found else None

    def tell(self, number: int, was_killed: bool = False) -> None:
        """Tell the study how a trial has ended, as run.json has it; with `was_killed` one without an end is to be run anew."""
        states, trial = library().trial.TrialState, self.trials[number]
        run = self.run_of(trial)
        state, found = ("unknown", {}) if run is None else (run.state, run.info().get("search") or {})
        if state == "pruned":
            self.study.tell(number, state=states.PRUNED, skip_if_finished=True)
        elif state == "finished" and isinstance(found.get("value"), int | float):
            self.study.tell(number, float(found["value"]), skip_if_finished=True)
        else:
            if was_killed and state != "failed":
                self.study._storage.set_trial_user_attr(trial._trial_id, KILLED, True)
            self.study.tell(number, state=states.FAIL, skip_if_finished=True)

    def _settle_killed(self) -> None:
        """Trials of an earlier process that ended without telling. Those that still run are left to their process."""
        for trial in self.trials:
            if trial.state.name != "RUNNING" or not self._is_own(trial):
                continue
            run = self.run_of(trial)
            if run is not None and run.state == "running":
                console.print(f"trial {trial.number} still runs in {run.path}; it is left to its process", markup=False)
                continue
            self.tell(trial.number, was_killed=True)

    def refuse_failures(self) -> None:
        """Raises GenlabError where nothing but failures has come so far."""
        trials = self.counted
        if len(trials) >= LEAST_TRIALS and all(trial.state.name == "FAIL" for trial in trials):
            raise GenlabError(f"the first {len(trials)} trials failed, the last one so: {self.reason(trials[-1])}")

    def reason(self, trial: Any) -> str:
        """Why a trial failed."""
        run = self.run_of(trial)
        return (run.error if run is not None else None) or "without a word, or without a finite value"
