"""What a run warns of while it trains: each diagnosis once, printed and kept in run.json."""

from collections.abc import Iterable, Mapping

from genlab.evaluation import diagnoses
from genlab.evaluation.diagnoses import Diagnosis
from genlab.evaluation.remedies import KINDS, Training, verdict
from genlab.models.base import Model
from genlab.tracking.console import prose
from genlab.tracking.run_folder import RunFolder


class RunWarnings:
    def __init__(self, run: RunFolder, model: Model) -> None:
        self.run, self.model = run, model
        self.noted = {warning["name"]: warning for warning in run.info().get("warnings", [])}
        self.shown_since: dict[str, int] = {}
        """Diagnosis that the scalars show without a break -> examples seen when they began to. Checkpoints hold it."""

    def of_scalars(self, values: Mapping[str, float], training: Training) -> None:
        """Warn of what the `values` of a record show, once they have shown it for as long as each diagnosis asks."""
        found = diagnoses.from_scalars(values)
        if any(name.startswith("train/") for name in values):  # others hold too little to say that a fault is over
            names = {diagnosis.name for diagnosis in found}
            self.shown_since = {name: seen for name, seen in self.shown_since.items() if name in names}
        for diagnosis in found:
            self.shown_since.setdefault(diagnosis.name, training.seen)
        lasted = {name: (training.seen - since) / training.preferred for name, since in self.shown_since.items()}
        self.of([d for d in found if lasted[d.name] >= KINDS[d.name].lasting], training)

    def of(self, found: Iterable[Diagnosis], training: Training) -> None:
        """Print each diagnosis when it is made for the first time, and note it in run.json."""
        new = [diagnosis for diagnosis in found if diagnosis.name not in self.noted]
        for diagnosis in verdict(new, self.model, training):
            self.noted[diagnosis.name] = {**diagnosis.as_dict(), "examples": training.seen}
            self.run.note(warnings=list(self.noted.values()))
            prose(f"warning at {training.seen:,} examples: {diagnosis}", style="yellow")
