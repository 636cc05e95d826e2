"""How fast a model trains and samples on this machine, and where the time of an update goes.

Every measurement is repeated, and they take turns, so that whatever else the machine does meets each of them alike.
FLOPs are those that torch.utils.flop_counter knows, matrix products and convolutions with a multiply-add counted as two:
element-wise operations, random numbers and the optimizer's arithmetic take time, but count for none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median, quantiles
from typing import Annotated, Any

import torch
from pydantic import Field

from genlab.benchmark.hardware import PeakMemory, Yardstick, rate
from genlab.benchmark.profiling import breakdown
from genlab.benchmark.stepping import Updates, count_flops
from genlab.benchmark.trainer_cost import runner_cost
from genlab.config.types import Count
from genlab.data.dataset import Dataset
from genlab.experiment.experiment import Parts
from genlab.models.base import GenerativeModel, Model
from genlab.numerics import rng

PROFILES = 3  # windows under the profiler: reading one takes longer than running it


@dataclass(frozen=True)
class Plan:
    """The `benchmark` section of the configuration."""

    repeats: Annotated[int, Field(gt=0, le=1000)]
    """Repeats of every measurement."""
    seconds: Annotated[int | float, Field(gt=0)]
    """Of one repeat of the training or the sampling; at least one update or block of samples."""
    warmup: Count
    """Updates before anything is timed."""
    n: Annotated[int, Field(gt=0, le=1_000_000)]
    """Samples drawn at a time."""
    profile: Annotated[int, Field(ge=0)]
    """Updates at most whose operations are sorted into kinds, each time; 0 for none."""
    logging: bool
    """Whether to run the real runner too and state what its records, pictures and checkpoints cost."""


@dataclass(frozen=True)
class Figure:
    """A figure of which there are several measurements."""

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
        """Standard error of the median, had the repeats a normal distribution with these quartiles."""
        low, high = self.quartiles
        return float(1.2533 * (high - low) / 1.349 / len(self.repeats) ** 0.5)


class Benchmark:
    """Measures `model` on `dataset`, both on their device already, trained as `config` and `parts` say."""

    def __init__(self, model: Model, dataset: Dataset, parts: Parts, config: Mapping[str, Any], plan: Plan) -> None:
        self.model, self.dataset, self.parts, self.config, self.plan = model, dataset, parts, config, plan
        self.where = parts.device.resolve()
        self.seed: int = config["seed"]
        self.samples = isinstance(model, GenerativeModel)
        self.fixed: dict[str, float] = {"model/parameters": model.size}
        self.measured: dict[str, list[float]] = {}

    def run(self) -> dict[str, Figure | float]:
        """Every figure by its name in benchmark.json. What a family cannot do (an autoencoder's samples) is absent.

        Raises NonFiniteError where the training diverges meanwhile.
        """
        self._warm_up()
        self.yardstick = Yardstick(self.parts.device, self.plan.seconds / 4)
        self.fixed["machine/matmul_size"] = self.yardstick.size
        for number in range(self.plan.repeats):
            self._take_turns(profile=self.plan.profile > 0 and number < PROFILES)
        self.updates.refuse_nonfinite()
        if self.updates.closings:
            self.fixed["train/closing_s"] = median(self.updates.closings)
        figures: dict[str, Figure | float] = {name: Figure(values) for name, values in self.measured.items()}
        if self.plan.logging:
            self._run_the_runner(figures)
        found = {**figures, **self.fixed}
        rooms = ("train", "sample", "time", "memory", "machine", "model")
        return dict(sorted(found.items(), key=lambda item: rooms.index(item[0].partition("/")[0])))

    def _warm_up(self) -> None:
        """Memory is looked at here, before the yardstick takes its own."""
        peak = PeakMemory(self.where)
        before = peak.process()
        self.updates = Updates(self.model, self.dataset, self.parts, self.seed)
        self.fixed["train/flops_per_image"] = self.updates.flops()
        for _ in range(self.plan.warmup):
            self.updates.update()
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
        matmul = self.yardstick.matmul()
        images, update = self.updates.repeat(self.plan.seconds)
        if profile and self.updates.profiler.available:
            self._profile(update)
        self._note(
            **{
                "train/images_per_s": images,
                "train/update_s": update,
                "machine/matmul_flops_per_s": matmul,
                "machine/memory_bytes_per_s": self.yardstick.memory(),
            }
        )
        self._note_share("train", images, matmul)
        if self.samples:
            images = self._sample(self.plan.seconds)
            self._note(**{"sample/images_per_s": images})
            self._note_share("sample", images, matmul)

    def _note(self, **values: float) -> None:
        for name, value in values.items():
            self.measured.setdefault(name, []).append(value)

    def _note_share(self, what: str, images: float, matmul: float) -> None:
        flops = images * self.fixed[f"{what}/flops_per_image"]
        self._note(**{f"{what}/flops_per_s": flops, f"{what}/share_of_matmul_peak": flops / matmul})

    def _profile(self, update: float) -> None:
        """Kinds of operations; the rest of the time `update` of an update, measured just before, is Python and the like."""
        count = min(self.plan.profile, max(1, int(self.plan.seconds / update)))
        clocked = self.updates.clocked(count)
        updates = self.updates
        if updates.replays:  # what is replayed does not tell which operation a kernel belongs to
            updates = Updates(self.model, self.dataset, self.parts, self.seed, replay=False)
        kinds = breakdown(updates.profiler.spent(updates.update, count), clocked, update)
        total = sum(kinds.values())
        self._note(**{f"time/{kind}_s": seconds for kind, seconds in kinds.items()})
        self._note(**{f"time/{kind}_share": seconds / total for kind, seconds in kinds.items()})

    @torch.no_grad()
    def _sample(self, seconds: float) -> float:
        """Samples a second. The training's random stream is left as it was."""
        assert isinstance(self.model, GenerativeModel)
        self.model.eval()
        with rng.seeded(self.seed, "sample", device=self.where), self.parts.device.autocast():
            calls = rate(partial(self.model.sample, self.plan.n), self.where, seconds)
        self.model.train()
        return calls * self.plan.n

    def _flops_of_a_sample(self) -> float:
        assert isinstance(self.model, GenerativeModel)
        self.model.eval()
        with rng.seeded(self.seed, "sample", device=self.where):
            flops = count_flops(partial(self.model.sample, self.plan.n))
        self.model.train()
        return flops / self.plan.n

    def _run_the_runner(self, figures: Mapping[str, Figure | float]) -> None:
        images, update = figures["train/images_per_s"], figures["train/update_s"]
        assert isinstance(images, Figure)
        assert isinstance(update, Figure)
        batch = self.parts.training.batch_size
        length = self.parts.length(self.dataset)
        examples = min(length, max(8 * batch, int(images.median * 2 * self.plan.seconds)))
        for name, seconds in runner_cost(self.model, self.dataset, self.parts, self.config, examples).items():
            self.fixed[f"time/{name}_s"] = seconds * images.median * update.median  # an update has rate * time examples
            self.fixed[f"time/{name}_share"] = seconds * images.median
