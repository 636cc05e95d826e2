"""What a training will cost before it starts: a few updates, evaluations and pictures, timed and multiplied.

The trainer itself is used, in a folder that is thrown away, so that batches, device, precision and what train.evaluation_budget
allows are those of the training. The range spans the spread of the updates that were timed, and what a machine usually varies.
Memory is the peak of this process, in which everything that the training does was done once.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles

from genlab.benchmark.hardware import PeakMemory, synchronize
from genlab.benchmark.trainer_overhead import quiet_console
from genlab.data.subsets import at_most
from genlab.evaluation import diagnoses
from genlab.experiment.experiment import Experiment
from genlab.inference import portfolio
from genlab.inference.mixing import mixing
from genlab.inference.sampling import BLOCK, first_states, known_length, sampling_options
from genlab.inference.shown_examples import held_out
from genlab.models.abilities import HasMarkovChain
from genlab.models.base import GenerativeModel, Metrics
from genlab.numerics.work import count_work
from genlab.plots.images import png
from genlab.plots.learning_curves import learning_curves
from genlab.report.sweep_curves import read_records
from genlab.tracking.progress import step
from genlab.tracking.run_folder import RunFolder
from genlab.training.budget import SECONDS_OF_SET
from genlab.training.cuda_graphs import WARMUP
from genlab.training.trainer import Trainer
from genlab.training.validation import evaluate_split, monitor_state

WARM = WARMUP + 2  # updates before any is timed
PROBE = 500  # examples of which an evaluation is timed
STATES = 20  # of a chain whose work is counted
LEAST, MOST = 0.7, 1.6  # of the time that is expected: what a machine varies between a minute and the next
PICTURES_VARY = 1.5  # their number, and what a chain costs, are known to that factor


@dataclass(frozen=True)
class Span:
    """Seconds: what is expected, and from where to where."""

    low: float
    typical: float
    high: float

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.typical + other.typical, self.high + other.high)


@dataclass
class TrainingCost:
    """Of one training. `parts` is where its time goes."""

    parameters: int
    examples: int
    updates: int
    batch_size: int
    timed: int
    """Updates that were timed."""
    whole: bool
    """Whether these were all of them."""
    sets: int
    """Of pictures."""
    parts: dict[str, Span]
    memory_mb: float | None
    """Peak of the process."""
    device_memory_mb: float | None
    """Peak of what tensors take on a GPU."""
    checkpoint_bytes: int
    """Of last.pt; best.pt is no larger."""
    disk: dict[str, int] = field(default_factory=dict)
    """Bytes of checkpoints, records and pictures at the end."""

    @property
    def time(self) -> Span:
        """What run.json will call its seconds."""
        return sum(self.parts.values(), Span(0.0, 0.0, 0.0))


def training_cost(experiment: Experiment, seconds: float = 4.0) -> TrainingCost:
    """Measure the experiment, which is built; each of its parts is timed for about `seconds` at most. No run folder is made."""
    experiment.config = {**experiment.config, "tracker": None}
    peak = PeakMemory(experiment.device.resolve())
    with tempfile.TemporaryDirectory(prefix="genlab-estimate-") as folder, quiet_console():
        run = RunFolder(Path(folder))
        run.create(experiment.config)
        trainer = experiment.trainer(run)
        with trainer.tracker, step("estimate", trainer.batches.examples) as trainer.progress:
            measured = _Measured(trainer, seconds)
            measured.run()
        cost = measured.cost()
    cost.memory_mb, cost.device_memory_mb = peak.process(), peak.device()
    return cost


class _Measured:
    def __init__(self, trainer: Trainer, seconds: float) -> None:
        self.trainer, self.seconds, self.where = trainer, seconds, trainer.where
        self.parts: dict[str, Span] = {}
        self.timed = self.seen_by_one = 0
        self.whole = False
        self.sets, self.bytes_of_set, self.bytes_of_record = 0, 0, 0

    def run(self) -> None:
        self._updates()
        self._evaluations()
        self._records()
        self._pictures()
        self._checkpoints()

    def _clocked(self, act: Callable[[], object]) -> float:
        synchronize(self.where)
        start = time.perf_counter()
        act()
        synchronize(self.where)
        return time.perf_counter() - start

    def _updates(self) -> None:
        """The first one decides what pictures and measures may cost, as in the training; of the others some warm up."""
        trainer, batches = self.trainer, self.trainer.batches
        trainer.model.train()
        first: list[Metrics | None] = []
        opening = self._clocked(lambda: first.append(trainer.counted_update()))
        if first[0] is None:  # a loop without a yield: that was all of it
            self._all_done(opening, 1)
            return
        trainer.window.append(first[0])
        self.seen_by_one = batches.seen
        laps: list[float] = []
        done, warm = 1, 0.0
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < self.seconds or len(laps) < (
            3 if spent < 2 * self.seconds else 1
        ):
            warming = done < WARM and warm < self.seconds / 2
            before, found = batches.seen, list[Metrics | None]()
            lap = self._clocked(lambda: found.append(trainer.updates.next()))  # noqa: B023
            if found[0] is None:
                self._all_done(opening + warm + sum(laps) + lap, done)
                return
            trainer.window.append(found[0])
            done += 1
            if warming:
                warm += lap
                continue
            laps.append(lap)
            self.timed += 1
            self.seen_by_one = max(1, batches.seen - before)
        left = (batches.examples - self.seen_by_one) / self.seen_by_one
        mean, (low, high) = sum(laps) / len(laps), (min(laps), max(laps))
        if len(laps) >= 10:
            low, *_, high = quantiles(laps, n=10)
        low, high = min(max(low, mean / 2), mean), max(min(high, 2 * mean), mean)
        self.parts["first update"] = Span(LEAST * opening, opening, MOST * opening)
        self.parts["updates"] = Span(LEAST * left * low, left * mean, MOST * left * high)

    def _all_done(self, total: float, updates: int) -> None:
        """The whole training, of so many updates, took `total` seconds."""
        self.whole, self.timed = True, updates
        self.seen_by_one = max(1, self.trainer.batches.examples // updates)
        self.parts["updates"] = Span(LEAST * total, total, MOST * total)

    def _evaluations(self) -> None:
        trainer, dataset, every = self.trainer, self.trainer.dataset, self.trainer.looking.every

        def evaluate(n: int) -> None:
            evaluate_split(trainer.model, dataset, at_most(dataset.test, n), trainer.seed, self.where)

        few = min(len(dataset.test), PROBE // 10)
        spent = self._clocked(partial(evaluate, few))
        n = min(len(dataset.test), PROBE)
        if spent * n / few < self.seconds:
            spent, few = self._clocked(partial(evaluate, n)), n
        examples = trainer.allowed.test
        if dataset.validation is not None:
            examples += trainer.allowed.validation * self._times(every.eval)
        total = spent / few * examples
        self.parts["evaluations"] = Span(LEAST * total, total, MOST * total)

    def _records(self) -> None:
        trainer, events = self.trainer, list(self.trainer.run.tensorboard.glob("*"))
        if not trainer.window:
            return
        window = list(trainer.window)
        laps, before = [], _size(events) if events else 0

        def act() -> None:
            trainer.window[:] = window[:10]
            trainer.tracker.record(trainer.training_scalars(), trainer.batches.seen, 0, 0.0)

        for _ in range(3):
            laps.append(self._clocked(act))
        trainer.tracker.flush()
        self.bytes_of_record = (_size(events) - before + trainer.run.metrics.stat().st_size) // 3
        records, stride = self._times(trainer.looking.every.log), trainer.looking.stride or 1
        look = self._clocked(partial(monitor_state, trainer.model, trainer.dataset, trainer.seed, self.where))
        without = max(0.0, median(laps) - look * trainer.looking.looks(trainer.batches))
        total = without * records + look * -(-records // stride)
        self.parts["records"] = Span(LEAST * total, total, MOST * total)

    def _times(self, every: int) -> int:
        """How often something is due, after an update, the end of the training included."""
        return min(self.updates, self.trainer.batches.examples // every) + 1

    @property
    def updates(self) -> int:
        return max(1, round(self.trainer.batches.examples / self.seen_by_one))

    def _pictures(self) -> None:
        """A set without its samples is shown twice, counted and timed; what these cost follows from their first states."""
        trainer, budget = self.trainer, self.trainer.allowed
        samples, nominal = self._samples(budget.samples)
        n = min(budget.samples, len(trainer.dataset.test))
        drawn = None if samples is None else held_out(trainer.dataset, n, trainer.seed, self.where).x.cpu()

        def show() -> None:
            model, dataset, seed = trainer.model, trainer.dataset, trainer.seed
            if isinstance(model, HasMarkovChain):
                mixing(model, dataset, seed)
            for name, picture in portfolio.training_pictures(model, dataset, seed, drawn).items():
                trainer.tracker.picture(name, picture, trainer.batches.seen)
            trainer.tracker.histograms(model.named_parameters(), trainer.batches.seen)
            diagnoses.of_pictures(model, dataset, seed, drawn)

        counted: list[float] = []  # the first set of a training is counted, too, and sets libraries up
        first = self._clocked(lambda: counted.append(count_work(show).nominal_seconds))
        nominal += counted[0] + SECONDS_OF_SET
        trainer.tracker.flush()
        folder = trainer.run.path
        before = _size([*folder.glob("tensorboard/*")])
        rest = self._clocked(show)
        trainer.tracker.flush()
        pictures = _size([*folder.glob("samples/*_0*.png")])
        self.bytes_of_set = _size([*folder.glob("tensorboard/*")]) - before + pictures
        moments = trainer.looking.every.sample
        decided = budget.after_first_set(nominal) if trainer.looking.train.sample_every is None else len(moments) + 1
        self.sets = min(decided, len(moments) + 1, self.updates)
        curves = self._clocked(self._learning_curves)
        total = max(first, rest) + (self.sets - 1) * rest + self.sets * (samples or 0.0) + curves
        self.parts["pictures"] = Span(total / PICTURES_VARY, total, PICTURES_VARY * total)

    def _learning_curves(self) -> None:
        picture = learning_curves(read_records(self.trainer.run.metrics), self.trainer.model.layout())
        if picture is not None:
            png(picture)

    def _samples(self, n: int) -> tuple[float | None, float]:
        """Seconds, and nominal seconds, that n samples take; None for a model that has none to show."""
        trainer, model = self.trainer, self.trainer.model
        if not isinstance(model, GenerativeModel):
            return None, 0.0
        options = sampling_options(model, trainer.dataset, {})
        size, blocks = (n, 1) if n < BLOCK else (BLOCK, -(-n // BLOCK))
        draw = partial(first_states, model, size, trainer.seed, **options)
        length = known_length(model, options)
        if length is None:  # nothing was drawn for the budget
            length = first_states(model, 1, trainer.seed, float("inf"), 10**9, **options)
        draw(seconds=0.0, most=1)
        states: list[int] = []
        spent = self._clocked(lambda: states.append(draw(seconds=self.seconds / 2, most=length)))
        counted: list[int] = []
        work = count_work(lambda: counted.append(draw(seconds=self.seconds / 2, most=min(length, STATES))))
        return spent / states[0] * length * blocks, work.nominal_seconds / counted[0] * length * blocks

    def _checkpoints(self) -> None:
        trainer = self.trainer
        trainer.save()
        spent = self._clocked(trainer.save)
        often = self._times(trainer.looking.every.checkpoint)
        self.best = trainer.dataset.validation is not None
        often += self._times(trainer.looking.every.eval) if self.best else 0
        low, total = spent * often / 2, spent * often
        self.parts["checkpoints"] = Span(low, total, MOST * total)

    def cost(self) -> TrainingCost:
        trainer = self.trainer
        last = trainer.run.last.stat().st_size
        disk = {
            "checkpoints": last * (2 if self.best else 1),
            "records": self.bytes_of_record * self._times(trainer.looking.every.log),
            "pictures": int(
                1.5 * self.bytes_of_set * self.sets
            ),  # beside TensorBoard's: the newest of each, and a film
        }
        return TrainingCost(
            parameters=trainer.model.size,
            examples=trainer.batches.examples,
            updates=self.updates,
            batch_size=trainer.looking.train.batch_size,
            timed=self.timed,
            whole=self.whole,
            sets=self.sets,
            parts=self.parts,
            memory_mb=None,
            device_memory_mb=None,
            checkpoint_bytes=last,
            disk=disk,
        )


def _size(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)
