"""What the measures of one evaluation share: model, data and settings, and what is worked out once from them."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.dataset import Dataset
from genlab.data.subsets import chosen
from genlab.evaluation.anomalous_data import Anomalies
from genlab.evaluation.code_maps import Map
from genlab.evaluation.features import feature_space
from genlab.evaluation.represented import BATCH, represented
from genlab.evaluation.sample_reference import LEAST, Reference
from genlab.inference.partition import Annealing
from genlab.inference.samples import Samples
from genlab.inference.sampling import sampling_options, timed_draw
from genlab.metrics.estimate import Estimate
from genlab.models.base import GenerativeModel, Model

FEW = 5_000  # test examples for what takes long or needs all of them at once


@dataclass(frozen=True)
class Settings:
    """What the keys of `genlab evaluate` set."""

    n: int | None
    """Number of samples; None for as many as there are test examples."""
    seed: int
    k: int
    """Draws for the importance-weighted bound."""
    annealing: Annealing
    """How log Z is estimated where it cannot be summed."""
    latent: Map
    """How codes are laid out in a plane."""
    options: dict[str, Any]
    """Arguments of the family's sample_loop."""
    noise: float | None = None
    """Level of the noise that is removed from test examples; None for the usual one, 0 for none."""
    anomalies: Anomalies | None = None
    """Examples that are to be detected among those of the test split."""
    fid_steps: list[int] | None = None
    """Numbers of steps of each sampler for which FID is measured beside the cost."""
    precision: Callable[[], AbstractContextManager[object]] = nullcontext
    """The precision of the networks while samples are drawn; all measures are taken in single precision."""


@dataclass(frozen=True)
class Drawn:
    """The model's own samples."""

    samples: Samples
    per_second: Estimate
    seconds: float


@dataclass
class EvaluationContext:
    """One evaluation of `model` (in evaluation mode) on the test split of `dataset`, both on one device."""

    model: Model
    dataset: Dataset
    settings: Settings
    training_cost: Mapping[str, Any] = field(default_factory=dict)
    """The cost that the training noted in run.json."""
    given: Samples | None = None
    """Samples from elsewhere, in place of the model's own."""

    @cached_property
    def test_batches(self) -> Iterable[Batch]:
        """The test split in the model's representation; every pass gives the same batches."""
        dataset = self.dataset
        return represented(dataset.test, dataset.represent, self.settings.seed, self.model.device)

    @cached_property
    def few_batches(self) -> list[Batch]:
        """At most FEW test examples in random order, one of each class first (data/subsets.py)."""
        x, y = self.of_test(chosen(self.dataset.test, FEW, each_class=True))
        labels = [None] * len(x) if y is None else y.split(BATCH)
        return [Batch(part, own, 1.0) for part, own in zip(x.split(BATCH), labels, strict=False)]

    def of_test(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Test examples at the places `index` (n,), and their classes if there are any: (n, *shape), (n,)."""
        which, rank = index.sort().values, index.argsort().argsort()
        x, y, seen = [], [], 0
        for batch in self.test_batches:
            here = (which[(which >= seen) & (which < seen + len(batch.x))] - seen).to(batch.x.device)
            x.append(batch.x[here])
            y += [] if batch.y is None else [batch.y[here]]
            seen += len(batch.x)
        rank = rank.to(x[0].device)
        return torch.cat(x)[rank], torch.cat(y)[rank] if y else None

    @cached_property
    def options(self) -> dict[str, Any]:
        """Arguments of sample_loop for the model's own samples; empty where it has none, or others are given."""
        if self.given is not None or not isinstance(self.model, GenerativeModel):
            return {}
        return sampling_options(self.model, self.dataset, self.settings.options)

    @cached_property
    def drawn(self) -> Drawn:
        assert isinstance(self.model, GenerativeModel)
        began = time.perf_counter()
        n = self.settings.n or max(len(self.dataset.test), 2 * LEAST)
        with self.settings.precision():
            samples, per_second = timed_draw(self.model, n, self.settings.seed, **self.options)
        return Drawn(samples, per_second, time.perf_counter() - began)

    @property
    def samples(self) -> Samples:
        """The samples that are measured."""
        return self.drawn.samples if self.given is None else self.given

    @cached_property
    def reference(self) -> Reference:
        """The real examples with which samples are compared, and the features of both."""
        space = feature_space(self.dataset, self.model.device)
        return Reference(self.dataset, space, len(self.samples), self.settings.seed)
