"""What a model costs: parameters, time and memory of its training, network evaluations and time of its samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from torch import nn

from genlab.evaluation.entries import Entry, entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.inference.sampling import film
from genlab.models.abilities import SamplesExPost
from genlab.models.base import GenerativeModel


@runtime_checkable
class CountsPasses(Protocol):
    """A sample is not made by calls of a network that could be counted."""

    def sampling_passes(self) -> int:
        """Passes of the network whose arithmetic a sample costs."""
        ...


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
    """Evaluations of its most used network for one sample, or as many as it says; without networks, states of the chain."""
    if isinstance(model, CountsPasses):
        return model.sampling_passes()
    with counted(model) as calls:
        states = len(film(model, 1, seed, frames=10**9, **options))
    return max(calls.values(), default=0) or states


def sampling_cost(context: EvaluationContext, findings: Findings) -> None:
    """Network evaluations of a sample and samples per second, with the options of the sampling."""
    model, drawn = context.model, context.drawn
    assert isinstance(model, GenerativeModel)
    evaluations = network_evaluations(model, context.settings.seed, **context.options)
    findings.entries["network_evaluations"] = Entry("cost", evaluations, None, "evaluations/sample", "cost", "lower")
    findings.entries["sampling_images_per_s"] = entry("cost", drawn.per_second, "images/s", "higher", "cost")
    findings.facts["sampling"] = context.options
    if isinstance(model, SamplesExPost):
        findings.facts["ex_post"] = model.ex_post


def training_cost(context: EvaluationContext, findings: Findings) -> None:
    """Parameters of the model, and what the training noted in run.json."""
    findings.entries["parameters"] = Entry("cost", context.model.size, None, "numbers", "cost", "lower")
    for name, key, unit in (
        ("training_seconds", "seconds", "s"),
        ("training_examples", "examples", "examples"),
        ("peak_memory_mb", "peak_memory_mb", "MB"),
        ("peak_device_memory_mb", "peak_device_memory_mb", "MB"),
    ):
        if key in context.training_cost:
            value = float(context.training_cost[key])
            findings.entries[name] = Entry("cost", value, None, unit, "cost", "lower")
