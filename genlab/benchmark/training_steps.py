"""The training loop of a model, one update at a time, and the operations that an update counts."""

import time
from collections.abc import Iterator

from genlab.benchmark.hardware import synchronize
from genlab.benchmark.profiling import Place, Profiler
from genlab.data.batches import Batch, Batches
from genlab.errors import NonFiniteError
from genlab.evaluation.remedies import Training, remedy
from genlab.experiment.experiment import Experiment
from genlab.models.base import Metrics
from genlab.numerics.work import count_work
from genlab.optimizers.recipe import set_rate
from genlab.training.cuda_graphs import can_replay, replay_updates


class TrainingSteps:
    """The training loop of an experiment's model, as the trainer steps it; it begins anew whenever it ends.

    On a GPU updates are replayed as graphs, as in a training, unless `replay` is false: a profiler cannot tell the kinds of
    operations in a graph.
    """

    def __init__(self, experiment: Experiment, *, replay: bool = True) -> None:
        """The model of the experiment is on the device already."""
        self.experiment, self.model, self.device = experiment, experiment.model, experiment.device
        self.where, self.replay = self.device.resolve(), replay
        self.profiler = Profiler(self.where)
        self.closings: list[float] = []
        """Seconds that the loop took after its last batch, for every time that it came to its end."""
        self.metrics: Metrics = {}
        """Of the last update."""
        self._fetched = 0.0  # seconds in which batches were fetched
        self._seen = 0  # in loops that have ended
        self._exhausted: float | None = None
        self._begin()

    def _begin(self) -> None:
        dataset = self.experiment.dataset
        self.batches = Batches(
            dataset.train,
            dataset.represent,
            batch_size=self.experiment.train.batch_size,
            examples=self.experiment.examples,
            seed=self.experiment.seed,
            device=self.where,
            labelled_beside=self.model.labelled_beside,
        )
        self.model.train()
        self.replays = self.replay and can_replay(self.model, self.batches, self.device)
        self._updates = (
            replay_updates(self.model, self.batches) if self.replays else self.model.train_loop(self._fetch())
        )
        self._has_yielded = False
        self._set_rates()

    def _fetch(self) -> Iterator[Batch]:
        batches = iter(self.batches)
        while True:
            start = time.perf_counter()
            with self.profiler.fetching():
                batch = next(batches, None)
            self._fetched += time.perf_counter() - start
            if batch is None:
                synchronize(self.where)
                self._exhausted = time.perf_counter()
                return
            yield batch

    def _set_rates(self) -> None:
        for optimizer in self.model.optimizers.values():
            set_rate(optimizer, self.batches.progress)

    @property
    def seen(self) -> int:
        """Examples used so far; an update may take several batches."""
        return self._seen + self.batches.seen

    def _advance(self) -> bool:
        """Go to the next yield, or to the end of the loop; whether that completed an update. A loop without a yield is one."""
        with self.device.autocast():
            metrics = next(self._updates, None)
        if self._exhausted is not None:  # the code after the last batch ran in the same call of next
            synchronize(self.where)
            self.closings.append(time.perf_counter() - self._exhausted)
            self._exhausted = None
        if metrics is None:
            complete = not self._has_yielded
            self._seen += self.batches.seen
            self._begin()
            return complete
        self.metrics, self._has_yielded = metrics, True
        self._set_rates()
        return True

    def update(self) -> None:
        """One complete update."""
        while not self._advance():
            pass

    def throughput(self, seconds: float) -> tuple[float, float]:
        """Examples a second and seconds an update, over at least `seconds`; what follows the last batch of a loop is left out."""
        synchronize(self.where)
        seen, closings, updates = self.seen, len(self.closings), 0
        start = time.perf_counter()
        while True:
            self.update()
            updates += 1
            if time.perf_counter() - start >= seconds:
                break
        synchronize(self.where)
        taken = time.perf_counter() - start - sum(self.closings[closings:])
        return (self.seen - seen) / taken, taken / updates

    def clocked(self, updates: int) -> dict[Place, float]:
        """Seconds of an update that fetch batches and step optimizers, by a clock; empty on a GPU, where these only launch."""
        if self.where.type != "cpu":
            return {}
        began, stepped = 0.0, 0.0

        def before(*_: object) -> None:
            nonlocal began
            began = time.perf_counter()

        def after(*_: object) -> None:
            nonlocal stepped
            stepped += time.perf_counter() - began

        hooks = [o.register_step_pre_hook(before) for o in self.model.optimizers.values()]
        hooks += [o.register_step_post_hook(after) for o in self.model.optimizers.values()]
        fetched = self._fetched
        for _ in range(updates):
            self.update()
        for hook in hooks:
            hook.remove()
        return {"data": (self._fetched - fetched) / updates, "optimizer": stepped / updates}

    def flops(self) -> float:
        """Floating-point operations of one update, for each of its examples."""
        seen = self.seen
        count = count_work(self.update).flops
        return count / (self.seen - seen)

    def refuse_nonfinite(self) -> None:
        """Raises NonFiniteError where the training diverged: the speed of arithmetic with NaN means nothing."""
        for name, value in self.metrics.items():
            if not bool(value.isfinite().all()):
                experiment = self.experiment
                training = Training(experiment.config, self.seen, experiment.examples, experiment.preferred_examples)
                raise NonFiniteError(
                    f"train/{name} became {float(value)} while its speed was measured; "
                    f"{remedy('non-finite values', self.model, training)}"
                )
