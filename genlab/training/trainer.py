"""The trainer: the only consumer of a training loop.

A model yields after each complete update. Everything else happens here, between two yields: learning rates, logging,
evaluation, samples, checkpoints, stopping. Cadence counts examples seen. Nothing here draws from the training's random
stream.
"""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from torch import Tensor

from genlab.config.schema import differing_keys
from genlab.data.dataset import Dataset
from genlab.data.examples import Examples
from genlab.data.places import without_places
from genlab.data.subsets import at_most
from genlab.errors import GenlabError
from genlab.evaluation import diagnoses
from genlab.evaluation.remedies import Training, remedy
from genlab.inference import portfolio
from genlab.inference.mixing import mixing
from genlab.models.abilities import HasMarkovChain
from genlab.models.base import Metrics, Model
from genlab.numerics import ranks
from genlab.tracking.console import prose
from genlab.tracking.next_steps import to_type
from genlab.tracking.progress import step
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.tracker import Tracker
from genlab.training import budget, checkpoint
from genlab.training.agreement import Agreement
from genlab.training.devices import Device
from genlab.training.divergence import refuse_nonfinite, refuse_nonfinite_parameters
from genlab.training.looking import Looking
from genlab.training.lowest_loss import LowestLoss
from genlab.training.run_warnings import RunWarnings
from genlab.training.sections import TrainSection
from genlab.training.signals import StopRequest
from genlab.training.updates import SHOWING, Updates
from genlab.training.validation import evaluate_split, monitor_state, state_of_optimizers


class Trainer:
    """Trains `model` on `dataset`, both on the device already, for `examples` examples.

    It writes into the folder `run`, and goes on from the last checkpoint there, if there is one.
    """

    def __init__(
        self,
        model: Model,
        dataset: Dataset,
        train: TrainSection,
        device: Device,
        run: RunFolder,
        config: Mapping[str, Any],
        examples: int,
        preferred: int | None = None,
    ) -> None:
        """`preferred` is the length that the model prefers; None for `examples`.

        Raises GenlabError where the last checkpoint is damaged, or is one of another configuration."""
        self.model, self.dataset, self.device, self.run, self.config = model, dataset, device, run, config
        self.seed: int = config["seed"]
        self.where = device.resolve()
        self.updates = Updates(model, dataset, train, device, examples, self.seed)
        self.batches = self.updates.batches
        self.looking = Looking(model, dataset, self.seed, train, train.cadence(len(dataset.train), examples))
        self.samples: Tensor | None = None  # that the last set shows
        self.agreement = Agreement()
        self.lowest = LowestLoss(train.patience)
        self.seams: list[dict[str, int]] = []  # where an earlier session trained on to another length
        self.seconds = 0.0  # of earlier sessions of this run
        self.stop = StopRequest()
        self.preferred = preferred or examples
        self.warnings = RunWarnings(run, model)
        resumed_at = self._restore() if run.last.exists() else None
        self.resumed = resumed_at is not None
        if not self.resumed:
            run.cut_logs({})  # a run that was killed before its first checkpoint has left some
        self.tracker = Tracker(run, config, resumed_at, model.layout())
        self.began = time.perf_counter()  # now: the trackers of others take seconds to open
        if self.seams and self.seams[-1]["examples"] == self.batches.seen:
            self._record({"seam/from": self.seams[-1]["from"], "seam/to": self.seams[-1]["to"]})
        self._lap = (time.perf_counter(), self.batches.seen)

    def fit(self) -> dict[str, tuple[float, float]]:
        """Train to the end and evaluate; returns the final measures, each with its standard error.

        Raises InterruptedRun after a checkpoint on SIGINT or SIGTERM, NonFiniteError where training diverges, OSError where
        the run folder cannot be written.
        """
        title = f"{type(self.model).__name__} on {self.dataset.spec.name}"
        with (
            self.stop,
            self.tracker,
            step(title, self.batches.examples, "examples", done=self.batches.seen, main=True) as self.progress,
        ):
            self.model.train()
            before = self.batches.seen
            self.updates.set_rates()
            with checkpoint.fitting(self.run.last) if self.resumed else nullcontext():  # what was restored shows now
                metrics = None if self.lowest.exhausted else self.counted_update()
            while metrics is not None:
                self.window.append(metrics)
                self.updates.set_rates()
                self.between_updates(before, self.batches.seen)
                before = self.batches.seen
                metrics = None if self.agreement.exhausted else self.counted_update()
            return self._finish()

    def counted_update(self) -> Metrics | None:
        """One update; the work of the first one decides what pictures and measures may cost."""
        if self.looking.budget is not None:
            return self.updates.next()
        metrics = self.looking.first_update(self.updates.next, self.batches)
        if metrics is not None:  # else too few examples are left for an update, and nobody listens
            ranks.tell(self.looking.state_dict())
        return metrics

    @property
    def window(self) -> list[Metrics]:
        """What the updates since the last record yielded."""
        return self.updates.window

    @property
    def allowed(self) -> budget.Budget:
        """What is shown and measured."""
        return self.looking.allowed

    @property
    def stopped_early(self) -> bool:
        """Whether train.patience ends the training here."""
        return self.lowest.exhausted and self.batches.seen < self.batches.examples

    @property
    def sets(self) -> int:
        """Sets of pictures so far."""
        return self.looking.sets

    @property
    def best(self) -> float:
        """The lowest validation loss; infinite where there is none."""
        return self.lowest.value

    @property
    def best_at(self) -> int:
        """Examples seen at the lowest validation loss."""
        return self.lowest.at

    @property
    def validation_loss(self) -> float:
        """That of the last evaluation."""
        return self.lowest.newest

    def between_updates(self, before: int, seen: int) -> None:
        """Everything that is due after an update that began at `before` examples and ended at `seen`.

        Raises InterruptedRun, once a checkpoint is written, where a signal asks the run to stop.
        """
        self.progress.at(seen)
        due = self.looking.every.due(before, seen)
        if seen >= self.batches.examples:
            due -= SHOWING  # _finish does them all
        if shows := self.updates.shows(due):
            self.updates.collect("checkpoint" in due)
        if due:
            values: dict[str, float] = {}
            if "log" in due:
                values |= self.training_scalars()
                self.warnings.of_scalars(values, self.training)
            if "eval" in due:
                values |= self.validate()
            if "sample" in due:
                self.show_samples(values, "keep" in due)
                if self.sets == 1:
                    ranks.tell(self.looking.state_dict())
            self._record(values)
            if "eval" in due or "sample" in due:
                self._lap = (time.perf_counter(), seen)
        self.agreement.after_update(self.stop.number, self.lowest.exhausted, shows)
        if (signal := self.agreement.signal) is not None:
            self.updates.collect(True)
        if signal is not None or "checkpoint" in due:
            self.save()
        if signal is not None:
            self.stop.number = signal
            raise self.stop.interrupted(seen, self.batches.examples, to_type("resume", self.run.path))

    def _finish(self) -> dict[str, tuple[float, float]]:
        self.updates.set_rates()  # a last update for which the examples were too few has not
        stopped_early = self.stopped_early
        self.updates.collect(True)
        self.save()
        values = self.training_scalars() if self.window else {}
        results: dict[str, tuple[float, float]] = {}
        values |= self.validate()
        if stopped_early:
            self._take_best()
        for name, value in self.evaluate(self.test).items():
            results[f"test/{name}"] = value
            values[f"test/{name}"] = value[0]
            values[f"test/{name}_stderr"] = value[1]
        self.show_samples(values)
        self.tracker.film("samples")  # all its frames start from the same noise, so that it shows how samples change
        self._record(values)
        return results

    def _take_best(self) -> None:
        """Go to the state of the lowest validation loss: what early stopping is for. Nothing is trained or saved after it."""
        with checkpoint.fitting(self.run.best):
            self.model.load_state_dict(checkpoint.load(self.run.best)["model"])
        self.run.note(stopped_early={"examples": self.batches.seen, "best": self.best, "best_at": self.best_at})
        prose(self.lowest.taken(self.batches.seen, self.batches.examples))

    def show_samples(self, values: dict[str, float], keep: bool = True) -> None:
        """A set of pictures, to be kept or not; the work of the first one decides how many there will be."""
        self.looking.show(lambda: self._show(values, keep), self.batches.seen)

    def _show(self, values: dict[str, float], keep: bool) -> None:
        """Pictures, histograms of the parameters, mixing of the chains (added to `values`), and warnings."""
        self._refuse_nonfinite_parameters()
        if isinstance(self.model, HasMarkovChain):
            found = mixing(self.model, self.dataset, self.seed)
            values |= {f"monitor/{name}": measure.value for name, measure in found.items()}
        self.samples = samples = portfolio.fixed_samples(self.model, self.seed, self.dataset, self.allowed.samples)
        for name, picture in portfolio.training_pictures(self.model, self.dataset, self.seed, samples).items():
            self.tracker.picture(name, picture, self.batches.seen, keep)
        if keep:
            self.tracker.histograms(self.model.named_parameters(), self.batches.seen)
        self.warnings.of_scalars(values, self.training)
        self.warnings.of(diagnoses.of_pictures(self.model, self.dataset, self.seed, samples), self.training)

    def _record(self, values: Mapping[str, float]) -> None:
        self.tracker.record(values, self.batches.seen, self.batches.epoch, self.elapsed())

    @property
    def training(self) -> Training:
        """What the model has behind it, for remedies that fit."""
        return Training(self.config, self.batches.seen, self.batches.examples, self.preferred)

    def elapsed(self) -> float:
        """Seconds spent on this run, over all its sessions."""
        return self.seconds + time.perf_counter() - self.began

    def training_scalars(self) -> dict[str, float]:
        """Means over the updates since the last record, and the state of the optimizers."""
        values = {f"train/{name}": mean for name, mean in self.updates.means().items()}
        self._refuse_nonfinite(values)
        values |= state_of_optimizers(self.updates.trained)
        monitor = partial(monitor_state, self.model, self.dataset, self.seed, self.where)
        self._refuse_nonfinite(monitored := self.looking.state_of_model(monitor, self.batches))
        values |= monitored
        now, seen = time.perf_counter(), self.batches.seen
        values["throughput/images_per_second"] = (seen - self._lap[1]) / max(now - self._lap[0], 1e-9)
        self._lap = (now, seen)
        self.progress.losses = {k.removeprefix("train/"): v for k, v in values.items() if k.startswith("train/")}
        return values

    def _refuse_nonfinite(self, values: Mapping[str, float]) -> None:
        kept = f"the last good state is {self.run.last}" if self.run.last.exists() else "nothing was saved yet"
        refuse_nonfinite(
            values,
            self.model,
            f"within {self.looking.every.log:,} examples before example {self.batches.seen:,}",
            lambda: f"{self._remedy()}; {kept}",
        )

    def _refuse_nonfinite_parameters(self) -> None:
        refuse_nonfinite_parameters(self.model, self.batches.seen, self._remedy)

    def _remedy(self) -> str:
        return remedy("non-finite values", self.model, self.training)

    def validate(self) -> dict[str, float]:
        """Means over the validation split, if there is one. The model is saved to best.pt where its loss is the lowest so far."""
        if self.dataset.validation is None:
            return {}
        split = at_most(self.dataset.validation, self.allowed.validation)
        values = {f"eval/{name}": mean for name, (mean, _) in self.evaluate(split, "validation split").items()}
        self._refuse_nonfinite(values)
        if self.lowest.improves(values.get("eval/loss", float("nan")), self.batches.seen):
            checkpoint.save(self.run.best, {**self._identity(), "examples": self.batches.seen, "eval": values})
        return values

    @property
    def test(self) -> Examples:
        """What is measured of the test split."""
        return at_most(self.dataset.test, self.allowed.test)

    def evaluate(self, split: Examples, title: str = "test split") -> dict[str, tuple[float, float]]:
        """Mean and standard error over the examples of `split` of everything that the family measures."""
        return evaluate_split(self.model, self.dataset, split, self.seed, self.where, title)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint needs so that the model can be built again without its data."""
        return {"config": self.config, "data": self.dataset.spec.state_dict(), "model": self.model.state_dict()}

    def save(self) -> None:
        """Write last.pt: the whole state of the training between two updates. Raises NonFiniteError where it diverged."""
        self._refuse_nonfinite_parameters()
        self.tracker.flush()
        checkpoint.save(
            self.run.last,
            {
                **self._identity(),
                **self.updates.state_dict(),
                "lowest": self.lowest.state_dict(),
                "stopped_early": self.stopped_early,
                "seams": self.seams,
                "shown_since": self.warnings.shown_since,
                "seconds": self.elapsed(),
                "looking": self.looking.state_dict(),
                "logs": self.run.log_sizes(),
            },
        )

    def _restore(self) -> int:
        """Go back to last.pt; returns the number of examples seen there. Raises GenlabError where it does not fit."""
        state = checkpoint.load(self.run.last)
        with checkpoint.fitting(self.run.last):
            if difference := differing_keys(without_places(state["config"]), without_places(self.config)):
                changes = "; ".join(difference)
                raise GenlabError(f"run={self.run.path} was trained with another configuration: {changes}")
            self.updates.load_state_dict(state)
            self.seconds = float(state["seconds"])
            self.lowest.load_state_dict(state["lowest"])
            self.seams = [{name: int(number) for name, number in seam.items()} for seam in state["seams"]]
            self.warnings.shown_since = {str(name): int(seen) for name, seen in state["shown_since"].items()}
            self.looking.load_state_dict(state["looking"])
            logs = {name: int(size) for name, size in state["logs"].items()}
        self.run.cut_logs(logs)
        return self.batches.seen
