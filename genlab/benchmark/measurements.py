"""How fast a model trains and samples on this machine, and where the time of an update goes.

Every measurement is repeated, and they take turns, so that other work of the machine affects all of them alike. FLOPs are
those that torch.utils.flop_counter counts: matrix products and convolutions, with two for a multiply-add. Element-wise
operations, random numbers and the optimizer's arithmetic take time, but count for none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Annotated

import torch
from pydantic import Field

from genlab.benchmark.hardware import MachineRates, PeakMemory, rate
from genlab.benchmark.profiling import breakdown
from genlab.benchmark.trainer_overhead import trainer_overhead
from genlab.benchmark.training_steps import TrainingSteps
from genlab.config.types import Count
from genlab.experiment.experiment import Experiment
from genlab.models.base import GenerativeModel, evaluation_mode
from genlab.numerics import rng
from genlab.numerics.work import count_work

PROFILES = 3  # repeats under the profiler: its records take longer to read than to make


@dataclass(frozen=True)
class BenchmarkSection:
    """The `benchmark` section of the configuration."""

    repeats: Annotated[int, Field(gt=0, le=1000)]
    """Repeats of every measurement."""
    seconds: Annotated[int | float, Field(gt=0)]
    """Time of one repeat of the training or of the sampling; at least one update, or one block of samples."""
    warmup: Count
    """Updates before anything is timed."""
    n: Annotated[int, Field(gt=0, le=1_000_000)]
    """Samples drawn at a time."""
    profile: Annotated[int, Field(ge=0)]
    """Most updates of one repeat whose operations are sorted into kinds; 0 for none."""
    logging: bool
    """Whether to run the trainer too, and to measure what its records, pictures and checkpoints cost."""


@dataclass(frozen=True)
class Measurement:
    """A quantity that was measured several times."""

    repeats: list[float]

    @property
    def median(self) -> float:
        return float(median(self.repeats))

    @property
    def quartiles(self) -> tuple[float, float]:
        if len(self.repeats) < 2:
            return self.repeats[0], self.repeats[0]
        low, _, high = quantiles(self.repeats, n=4, method="inclusive")
        return low, high

    @property
    def stderr(self) -> float:
        """Standard error of the median, if the repeats have a normal distribution with these quartiles."""
        low, high = self.quartiles
        return float(1.2533 * (high - low) / 1.349 / len(self.repeats) ** 0.5)


class Benchmark:
    """Measures the model of `experiment`, which is on its device already, as it trains there."""

    def __init__(self, experiment: Experiment, section: BenchmarkSection) -> None:
        self.experiment, self.model, self.section = experiment, experiment.model, section
        self.where = experiment.device.resolve()
        self.samples = isinstance(self.model, GenerativeModel)
        self.fixed: dict[str, float] = {"model/parameters": self.model.size}
        self.measured: dict[str, list[float]] = {}

    def run(self) -> dict[str, Measurement | float]:
        """Every result by its name in benchmark.json. What a family cannot do (an autoencoder's samples) is absent.

        Raises NonFiniteError where the training diverges meanwhile.
        """
        self._warm_up()
        self.machine = MachineRates(self.experiment.device, self.section.seconds / 4)
        self.fixed["machine/matmul_size"] = self.machine.size
        for number in range(self.section.repeats):
            self._take_turns(profile=self.section.profile > 0 and number < PROFILES)
        self.steps.refuse_nonfinite()
        if self.steps.closings:
            self.fixed["train/closing_s"] = median(self.steps.closings)
        results: dict[str, Measurement | float] = {name: Measurement(values) for name, values in self.measured.items()}
        if self.section.logging:
            self._measure_trainer(results)
        found = {**results, **self.fixed}
        groups = ("train", "sample", "time", "memory", "machine", "model")
        return dict(sorted(found.items(), key=lambda item: groups.index(item[0].partition("/")[0])))

    def _warm_up(self) -> None:
        """Also measures memory, before the buffers for the machine's rates take their own."""
        peak = PeakMemory(self.where)
        before = peak.process()
        self.steps = TrainingSteps(self.experiment)
        self.fixed["train/flops_per_image"] = self.steps.flops()
        for _ in range(self.section.warmup):
            self.steps.update()
        trained = peak.process()
        if self.samples:
            self.fixed["sample/flops_per_image"] = self._flops_of_a_sample()
            self._sample(0.0)
        end, on_device = peak.process(), peak.device()
        if before is not None and trained is not None and end is not None:
            self.fixed["memory/peak_mb"] = end
            self.fixed["memory/training_mb"] = trained - before
            if self.samples:
                self.fixed["memory/sampling_mb"] = end - trained
        if on_device is not None:
            self.fixed["memory/device_peak_mb"] = on_device

    def _take_turns(self, profile: bool) -> None:
        """One repeat of every measurement."""
        matmul = self.machine.matmul_flops()
        images, update = self.steps.throughput(self.section.seconds)
        if profile and self.steps.profiler.available:
            self._profile(update)
        self._note(
            **{
                "train/images_per_s": images,
                "train/update_s": update,
                "machine/matmul_flops_per_s": matmul,
                "machine/memory_bytes_per_s": self.machine.memory_bandwidth(),
            }
        )
        self._note_share("train", images, matmul)
        if self.samples:
            images = self._sample(self.section.seconds)
            self._note(**{"sample/images_per_s": images})
            self._note_share("sample", images, matmul)

    def _note(self, **values: float) -> None:
        for name, value in values.items():
            self.measured.setdefault(name, []).append(value)

    def _note_share(self, what: str, images: float, matmul: float) -> None:
        flops = images * self.fixed[f"{what}/flops_per_image"]
        self._note(**{f"{what}/flops_per_s": flops, f"{what}/share_of_matmul_peak": flops / matmul})

    def _profile(self, update: float) -> None:
        """Kinds of operations in an update, which takes `update` seconds. The rest of them is Python and the like."""
        count = min(self.section.profile, max(1, int(self.section.seconds / update)))
        clocked = self.steps.clocked(count)
        steps = self.steps
        if steps.replays:  # a profiler does not see which operation of a graph a kernel belongs to
            steps = TrainingSteps(self.experiment, replay=False)
        kinds = breakdown(steps.profiler.spent(steps.update, count), clocked, update)
        total = sum(kinds.values())
        self._note(**{f"time/{kind}_s": seconds for kind, seconds in kinds.items()})
        self._note(**{f"time/{kind}_share": seconds / total for kind, seconds in kinds.items()})

    @torch.no_grad()
    def _sample(self, seconds: float) -> float:
        """Samples a second. The training's random stream is left as it was."""
        assert isinstance(self.model, GenerativeModel)
        seeded = rng.seeded(self.experiment.seed, "sample", device=self.where)
        with evaluation_mode(self.model), seeded, self.experiment.device.autocast():
            calls = rate(partial(self.model.sample, self.section.n), self.where, seconds)
        return calls * self.section.n

    def _flops_of_a_sample(self) -> float:
        assert isinstance(self.model, GenerativeModel)
        with evaluation_mode(self.model), rng.seeded(self.experiment.seed, "sample", device=self.where):
            flops = count_work(partial(self.model.sample, self.section.n)).flops
        return flops / self.section.n

    def _measure_trainer(self, results: Mapping[str, Measurement | float]) -> None:
        images, update = results["train/images_per_s"], results["train/update_s"]
        assert isinstance(images, Measurement)
        assert isinstance(update, Measurement)
        wanted = max(8 * self.experiment.train.batch_size, int(images.median * 2 * self.section.seconds))
        for name, seconds in trainer_overhead(self.experiment, min(self.experiment.examples, wanted)).items():
            self.fixed[f"time/{name}_s"] = seconds * images.median * update.median  # an update has rate * time examples
            self.fixed[f"time/{name}_share"] = seconds * images.median
