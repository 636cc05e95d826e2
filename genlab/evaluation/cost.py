"""What a model costs: parameters, time and memory of its training, network evaluations and time of its samples."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from genlab.evaluation.entries import Entries, Entry, entry
from genlab.inference.sampling import block_size, draw, film
from genlab.metrics.estimate import Estimate
from genlab.models.base import GenerativeModel, Model


@contextmanager
def counted(model: nn.Module) -> Iterator[dict[str, int]]:
    """Number of forward calls of each of the model's networks (its children with parameters) within the block."""
    calls: dict[str, int] = {}
    hooks = []
    for name, child in model.named_children():
        if any(True for _ in child.parameters()):
            calls[name] = 0

            def count(*_: object, name: str = name) -> None:
                calls[name] += 1

            hooks.append(child.register_forward_hook(count))
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def network_evaluations(model: GenerativeModel, seed: int, **options: Any) -> int:
    """Evaluations of its most used network for one sample; without networks, states of the chain."""
    with counted(model) as calls:
        states = len(film(model, 1, seed, frames=10**9, **options))
    return max(calls.values(), default=0) or states


def timed_draw(model: GenerativeModel, n: int, seed: int, **options: Any) -> tuple[Tensor, Estimate]:
    """n samples and the number drawn per second: median over blocks of samples, with its standard error."""
    seconds: list[float] = []
    last = time.perf_counter()

    def lap() -> None:
        nonlocal last
        now = time.perf_counter()
        seconds.append(now - last)
        last = now

    samples = draw(model, n, seed, after_block=lap, **options)
    rates = block_size(model) / torch.tensor(seconds, dtype=torch.float64)
    scatter = 1.2533 * float(rates.std()) / len(rates) ** 0.5 if len(rates) > 1 else float("nan")  # of a median
    return samples, Estimate(float(rates.median()), scatter)


def costs(model: Model, noted: dict[str, Any]) -> Entries:
    """From the model and from what its training noted in run.json."""
    found: Entries = {"parameters": Entry("cost", model.size, None, "numbers", "cost", "lower")}
    for name, key, unit in (
        ("training_seconds", "seconds", "s"),
        ("training_examples", "examples", "examples"),
        ("peak_memory_mb", "peak_memory_mb", "MB"),
        ("peak_device_memory_mb", "peak_device_memory_mb", "MB"),
    ):
        if key in noted:
            found[name] = Entry("cost", float(noted[key]), None, unit, "cost", "lower")
    return found


def sampling_costs(rate: Estimate, evaluations: int) -> Entries:
    return {
        "network_evaluations": Entry("cost", evaluations, None, "evaluations/sample", "cost", "lower"),
        "sampling_images_per_s": entry("cost", rate, "images/s", "higher", "cost"),
    }
