"""The lowest validation loss of a run, and early stopping: train.patience evaluations without a lower one end the training."""

from typing import Any

from genlab.config.schema import family_of
from genlab.data.dataset import Dataset
from genlab.data.subsets import batch_of
from genlab.errors import GenlabError
from genlab.models.adversarial.implicit_model import ImplicitModel
from genlab.models.base import Model, evaluation_mode
from genlab.numerics import rng

PROBE = 8  # examples


class LowestLoss:
    """`value` was the loss at `at` examples seen; `waited` evaluations have passed since without a lower one."""

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.value, self.at, self.waited = float("inf"), 0, 0
        self.counted = -1  # examples seen at the last evaluation that counts
        self.newest = float("nan")
        """Of the last evaluation of this session."""

    def improves(self, loss: float, seen: int) -> bool:
        """Whether `loss` after `seen` examples is the lowest so far; from now on it counts."""
        self.newest = loss
        again, self.counted = seen == self.counted, seen
        if loss < self.value:
            self.value, self.at, self.waited = loss, seen, 0
            return True
        self.waited += not again
        return False

    @property
    def exhausted(self) -> bool:
        """Whether the patience has come to its end."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, float | int]:
        return {"value": self.value, "at": self.at, "waited": self.waited, "counted": self.counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.at, self.waited = float(state["value"]), int(state["at"]), int(state["waited"])
        self.counted = int(state["counted"])

    def taken(self, seen: int, planned: int) -> str:
        """That a training of `planned` examples stopped after `seen`, and took its best state, which is the newest now."""
        self.newest = self.value
        return (
            f"stopped early at {seen:,} of {planned:,} examples: {self.waited} evaluations without a lower validation loss than "
            f"{self.value:.4g}, at {self.at:,} examples. Pictures and measures are of that state, checkpoints/best.pt; so are "
            "those of genlab sample and genlab evaluate, unless checkpoint=last is set"
        )


def check_patience(patience: int | None, model: Model, dataset: Dataset, seed: int) -> None:
    """Raises GenlabError where train.patience has no validation loss to wait for. `model` is on the CPU, before its training."""
    if patience is None:
        return
    key, family = f"train.patience={patience}", family_of(type(model).__name__)
    if model.closed_form:
        raise GenlabError(f"{key}: model={family} is fitted in closed form, in one pass; leave train.patience out")
    if isinstance(model, ImplicitModel):
        raise GenlabError(
            f"{key}: the losses of model={family} are those of a game, which do not fall as samples improve; "
            "leave train.patience out, and set the length by train.epochs"
        )
    if dataset.validation is None:
        raise GenlabError(
            f"{key}: dataset={dataset.spec.name} has no validation split to wait for; set dataset.validation=0.1, "
            "or leave train.patience out"
        )
    cpu = model.device
    with evaluation_mode(model), rng.seeded(seed, "patience", device=cpu):
        found = model.evaluate(batch_of(dataset.validation, PROBE, dataset.represent, cpu))
    if "loss" not in found:
        raise GenlabError(
            f"{key}: model={family} measures no validation loss, only {', '.join(sorted(found))}; leave train.patience out"
        )
