"""Within a trial: each evaluation on the validation split is reported to the study, which may end the trial."""

import math
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genlab.sweeping.objective import Objective
from genlab.sweeping.study import library, open_storage, pruner_of
from genlab.tracking.console import console

if TYPE_CHECKING:
    from genlab.training.trainer import Trainer  # seconds to import


class Watch:
    """Listens to the records of one training. The number of an evaluation is its step: with other batches, and other lengths,
    it is the same share of the training.
    """

    def __init__(self, settings: Mapping[str, Any], place: str, name: str, number: int, objective: Objective) -> None:
        self.settings, self.place, self.name, self.number, self.objective = settings, place, name, number, objective
        self.evaluations, self.seen = 0, -1
        self.pruned: dict[str, Any] | None = None
        """Where and why the trial was ended early."""
        self._trial: Any = None
        self._given_up = False

    def attach(self, trainer: "Trainer") -> None:
        """From now on each record of `trainer` is heard. It stops between two updates, as a signal stops it."""
        self._trainer = trainer
        trainer.tracker.listeners.append(self.hear)

    def hear(self, values: Mapping[str, float], seen: int) -> None:
        value = values.get(self.objective.known_as)
        if value is None or seen == self.seen or not math.isfinite(value) or self._given_up:
            return
        self.evaluations, self.seen = self.evaluations + 1, seen
        ended = any(name.startswith("test/") for name in values)
        try:
            self._report(value, seen, ended)
        except Exception as error:  # whatever a database raises: it is not worth a training
            self._given_up = True
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            console.print(f"warning: this trial cannot be pruned any more ({reason})", style="yellow", markup=False)

    def _report(self, value: float, seen: int, ended: bool) -> None:
        trial = self._open()
        trial.report(value, self.evaluations)
        if ended or self.pruned is not None or not trial.should_prune():
            return
        planned = self._trainer.batches.examples
        self.pruned = {"examples": seen, "planned": planned, "evaluation": self.evaluations, "value": value}
        self._trainer.stop.number = signal.SIGTERM

    def _open(self) -> Any:
        if self._trial is None:
            optuna = library()
            pruner, sampler = pruner_of(self.settings), optuna.samplers.RandomSampler()  # it has nothing to draw
            study = optuna.load_study(
                study_name=self.name, storage=open_storage(self.place), sampler=sampler, pruner=pruner
            )
            frozen = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == self.number)
            self._trial = optuna.trial.Trial(study, frozen._trial_id)
        return self._trial
