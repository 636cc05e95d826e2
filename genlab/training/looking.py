"""What one training shows and measures beside itself: decided by its first update and its first set of pictures, and kept.

The decision is part of a checkpoint, so that a resumed run shows and measures what one that was never stopped does.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from genlab.config.schema import check
from genlab.data.batches import Batches
from genlab.data.dataset import Dataset
from genlab.models.base import Model
from genlab.numerics.work import count_work
from genlab.training import budget
from genlab.training.cadence import Cadence, thinned
from genlab.training.sections import TrainSection

T = TypeVar("T")


class Looking:
    """The budget of one training (budget.py), and the moments at which its events are due."""

    def __init__(self, model: Model, dataset: Dataset, seed: int, train: TrainSection, every: Cadence) -> None:
        self.model, self.dataset, self.seed, self.train, self.every = model, dataset, seed, train, every
        self.budget: budget.Budget | None = None  # from the first update on
        self.sets = 0  # of pictures, so far
        self.training: float | None = None  # nominal seconds of the whole training; None for a run of an older genlab
        self.stride: int | None = (
            None  # records from one look at the state of the model to the next; None before the first
        )

    @property
    def allowed(self) -> budget.Budget:
        """What is shown and measured."""
        return self.budget or budget.unlimited(self.model, self.dataset)

    def first_update(self, update: Callable[[], T], batches: Batches) -> T:
        """Make one update; its work decides what pictures and measures may cost."""
        before, found = batches.seen, list[T]()
        if (
            self.train.evaluation_budget is None
        ):  # nothing to decide, and counting may take kernels that round otherwise
            found.append(update())
            self.budget = budget.unlimited(self.model, self.dataset)
        else:
            work = count_work(lambda: found.append(update()))
            self.training = training = work.nominal_seconds * batches.examples / max(1, batches.seen - before)
            evaluations = batches.examples // self.every.eval + 1
            self.budget = budget.budget_of(self.model, self.dataset, self.seed, self.train, training, evaluations)
        self._plan(self.budget.sets, before)
        return found[0]

    def show(self, draw: Callable[[], None], seen: int) -> None:
        """Draw a set of pictures; the work of the first one decides how many there will be."""
        self.sets += 1
        if self.sets > 1 or self.budget is None:
            draw()
            return
        self._plan(self.budget.after_first_set(budget.cost_of_set(draw)) - 1, seen)

    def state_of_model(self, monitor: Callable[[], dict[str, float]], batches: Batches) -> dict[str, float]:
        """What `monitor` finds, at those records at which it is due: all, or fewer where that would cost too much.

        The first record and the last one have it. The work of the first decides how many others do.
        """
        records = batches.examples // self.every.log + 1
        if self.stride is None:
            share = self.train.evaluation_budget
            if share is None or self.training is None:
                self.stride = 1
                return monitor()
            found: list[dict[str, float]] = []
            cost = count_work(lambda: found.append(monitor())).nominal_seconds
            self.stride = budget.stride(cost * records, share * self.training)
            return found[0]
        return monitor() if self.looks(batches) else {}

    def looks(self, batches: Batches) -> bool:
        """Whether the state of the model is due in the present record."""
        number = batches.seen // self.every.log - 1
        return self.stride is None or number % self.stride == 0 or batches.seen >= batches.examples

    def _plan(self, sets: int, since: int) -> None:
        """So many sets after `since` examples, that at the end included; where the user chose when, nothing changes."""
        if self.train.sample_every is None:
            later = [moment for moment in self.every.sample if moment > since]
            self.every = replace(self.every, sample=thinned(later, sets - 1))

    def state_dict(self) -> dict[str, Any]:
        """What was decided, in plain containers."""
        moments = None if self.train.sample_every is not None else list(self.every.sample)
        kept = {"training": self.training, "stride": self.stride}
        return {"budget": dict(vars(self.allowed)), "moments": moments, "sets": self.sets, **kept}

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go back to a decision; None, of an older checkpoint, holds none. Raises GenlabError for what is no budget."""
        if state:
            (kept,) = check(state["budget"], "looking.budget", budget.Budget)
            self.budget, self.sets = budget.Budget(**kept), int(state["sets"])
            self.training, self.stride = state.get("training"), state.get("stride")
            if state["moments"] is not None:
                self.every = replace(self.every, sample=[int(moment) for moment in state["moments"]])


def planned_anew(state: dict[str, Any] | None, train: TrainSection, moments: Sequence[int], seen: int) -> Any:
    """The `state` of a training that goes on to another length after `seen` examples.

    What a set of pictures and an evaluation hold stays, so that losses before and after compare. `moments` are those of pictures
    in a training of the new length; as many of the later ones are kept as the budget has sets.
    """
    if not state:
        return None
    if train.sample_every is not None:
        return {**state, "moments": None}
    later = [moment for moment in moments if moment > seen]
    return {**state, "moments": thinned(later, int(state["budget"]["sets"]) - 1)}
