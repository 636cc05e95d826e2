"""A process that takes part in a training which another one leads: the same updates, and its part of what all do together.

It writes nothing, shows nothing and evaluates nothing. Each step here answers one of the trainer (trainer.py), in the same order.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlab.data.dataset import Dataset
from genlab.models.base import Model
from genlab.numerics import ranks
from genlab.training import checkpoint
from genlab.training.agreement import Agreement
from genlab.training.devices import Device
from genlab.training.looking import Looking
from genlab.training.sections import TrainSection
from genlab.training.signals import StopRequest
from genlab.training.updates import SHOWING, Updates


class Follower:
    """Goes on from the checkpoint `last`, if there is one, as the process that leads does."""

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        train: TrainSection,
        device: Device,
        config: Mapping[str, Any],
        examples: int,
        last: Path | None,
    ) -> None:
        self.model = model
        self.updates = Updates(model, dataset, train, device, examples, config["seed"])
        every = train.cadence(len(dataset.train), examples)
        self.looking = Looking(model, dataset, config["seed"], train, every)
        self.exhausted = False
        if last is not None:
            state = checkpoint.load(last)
            with checkpoint.fitting(last):
                self.updates.load_state_dict(state)
                self.looking.load_state_dict(state["looking"])
                self.exhausted = bool(state["stopped_early"])

    def fit(self) -> None:
        """Train to the end, or until all processes agree to stop."""
        agreement, batches = Agreement(), self.updates.batches
        with StopRequest() as stop:
            self.model.train()
            before = batches.seen
            self.updates.set_rates()
            metrics = None if self.exhausted else self.updates.next()
            if metrics is not None and self.looking.budget is None:
                self.looking.load_state_dict(ranks.listen())
            while metrics is not None:
                self.updates.window.append(metrics)
                self.updates.set_rates()
                shows = self._between_updates(before, batches.seen)
                agreement.after_update(stop.number, False, shows)
                if agreement.signal is not None:
                    self.updates.collect(True)
                    return
                before = batches.seen
                metrics = None if agreement.exhausted else self.updates.next()
        self.updates.set_rates()
        self.updates.collect(True)
        if self.updates.window:
            self.updates.means()

    def _between_updates(self, before: int, seen: int) -> bool:
        """This process's part of what is due; whether that needed the model as a whole."""
        due = self.looking.every.due(before, seen)
        if seen >= self.updates.batches.examples:
            due -= SHOWING
        if shows := self.updates.shows(due):
            self.updates.collect("checkpoint" in due)
        if "log" in due:
            self.updates.means()
        if "sample" in due and not self.looking.sets:
            self.looking.load_state_dict(ranks.listen())
        return shows
