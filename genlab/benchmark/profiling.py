"""Where the time of an update goes: its operations, as torch's profiler records them, sorted into kinds.

On the CPU the time of an operation is that of its own code, without the operations it calls. The profiler slows Python, so
parts that are mostly Python (the data, the optimizer's step) are timed by a clock without it. On CUDA every time is that of
kernels. The rest is Python, dispatch and autograd's bookkeeping, and on CUDA also waiting.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, Literal

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from genlab.benchmark.hardware import synchronize

KINDS = {
    "products": "matrix products and convolutions",
    "elementwise": "element-wise and all other arithmetic",
    "random": "random numbers, those of dynamic binarisation included",
    "data": "fetching batches, without their random numbers",
    "optimizer": "optimizer steps (in L-BFGS with the losses they evaluate)",
}
REST = "Python, dispatch, autograd's bookkeeping, waiting for a GPU"

PRODUCT = re.compile(r"(^|_)(b?add)?b?mm(_|$)|(^|_)(matmul|linear|addmv|mv|v?dot)(_|$)|convolution|conv\d|attention")
BOOKKEEPING = re.compile(r"autograd::|Backward\d|AccumulateGrad|^Profiler|^(cuda|hip)[A-Z]|^genlab::")
DATA = "genlab::data"
STEP = "Optimizer.step#"
Place = Literal["data", "optimizer", "elsewhere"]


class Profiler:
    """Runs updates under torch's profiler. Meanwhile `fetching` marks the operations that belong to the data."""

    def __init__(self, where: torch.device) -> None:
        self.where = where
        self.at_work = False
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # without a GPU it writes warnings to standard error

    @property
    def available(self) -> bool:
        return self.where.type in ("cpu", "cuda")

    def fetching(self) -> AbstractContextManager[object]:
        return record_function(DATA) if self.at_work else nullcontext()

    def spent(self, update: Callable[[], object], updates: int) -> dict[tuple[str, Place], float]:
        """Seconds of one update by kind of operation and place, averaged over `updates` of them."""
        activities = [ProfilerActivity.CPU]
        if self.where.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        synchronize(self.where)
        self.at_work = True
        try:
            with profile(activities=activities, acc_events=True) as trace:
                for _ in range(updates):
                    update()
                synchronize(self.where)
        finally:
            self.at_work = False
        spent: dict[tuple[str, Place], float] = {}
        for event in trace.events() or ():
            kind = classify(str(event.name))
            if kind is not None:
                key = (kind, place(list(lineage(event))))
                spent[key] = spent.get(key, 0.0) + self._own(event) / 1e6 / updates
        return spent

    def _own(self, event: Any) -> float:
        """Microseconds of the event itself."""
        if event.device_type.name != "CPU":
            return 0.0  # a kernel; it counts for the operation that launched it
        return float(event.self_device_time_total if self.where.type == "cuda" else event.self_cpu_time_total)


def breakdown(
    spent: Mapping[tuple[str, Place], float], clocked: Mapping[Place, float], update: float
) -> dict[str, float]:
    """Seconds of one update in each of KINDS, and the `rest`. Together they are at least `update`, the seconds that it takes.

    `clocked` are the seconds of whole places by a clock. Where there are none, those of the operations count.
    """
    everywhere = ("products", "random")  # these count as such in every place
    kinds = {kind: sum(s for (k, _), s in spent.items() if k == kind) for kind in everywhere}
    kinds["elementwise"] = spent.get(("elementwise", "elsewhere"), 0.0)
    for where in ("data", "optimizer"):
        if where in clocked:
            kinds[where] = max(0.0, clocked[where] - sum(spent.get((kind, where), 0.0) for kind in everywhere))
        else:
            kinds[where] = spent.get(("elementwise", where), 0.0)
    return {**{kind: kinds[kind] for kind in KINDS}, "rest": max(0.0, update - sum(kinds.values()))}


def lineage(event: Any) -> Iterator[str]:
    """Names of an event and of those that enclose it, from the inside out."""
    while event is not None:
        yield str(event.name)
        event = event.cpu_parent


def place(names: list[str]) -> Place:
    """The place of an event, from its `lineage`."""
    for name in names:
        if name == DATA:
            return "data"
        if name.startswith(STEP):
            return "optimizer"
    return "elsewhere"


@cache
def classify(name: str) -> str | None:
    """Kind of an operation: products, random or elementwise; None where it computes nothing."""
    namespace, _, operation = name.rpartition("::")
    if BOOKKEEPING.search(name) or not namespace:
        compiled = name.startswith(
            ("## Call CompiledFxGraph", "triton_", "cpp_fused")
        )  # as torch.compile names its own
        return "elementwise" if compiled else None
    if PRODUCT.search(operation):
        return "products"
    if namespace == "aten" and _only_views(operation):
        return None
    return "random" if namespace == "aten" and _draws(operation) else "elementwise"


def _draws(operation: str) -> bool:
    """Whether an ATen operation draws random numbers: torch tags those that do."""
    packet = getattr(torch.ops.aten, operation, None)
    if packet is None:
        return False
    return any(torch.Tag.nondeterministic_seeded in getattr(packet, name).tags for name in packet.overloads())


def _only_views(operation: str) -> bool:
    """Whether an ATen operation reads and writes no number: it makes a view, or uninitialised memory."""
    if operation.startswith(("empty", "new_empty")):
        return True
    packet = getattr(torch.ops.aten, operation, None)
    if packet is None:
        return False
    returns = getattr(packet, packet.overloads()[0])._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)
