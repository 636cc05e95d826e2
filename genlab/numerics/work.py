"""How much work a computation is, counted and not timed: the same number at every time and under every load.

FLOPs are those that torch.utils.flop_counter counts: matrix products and convolutions, with two for a multiply-add. Every
operation of torch also takes some time whatever its size, which decides for small networks and long chains. `nominal_seconds`
adds both up for a processor of an ordinary kind; only ratios of it mean anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

FLOPS_PER_SECOND = 1e10
SECONDS_PER_OPERATION = 5e-6


@dataclass(frozen=True)
class Work:
    flops: int
    operations: int
    """Calls of torch's operations, those of a backward pass included."""

    @property
    def nominal_seconds(self) -> float:
        return self.flops / FLOPS_PER_SECOND + self.operations * SECONDS_PER_OPERATION


class _NoModules:
    """Takes the place of the counter's sums by module: their hooks fail on gradients of gradients."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


class _Operations(TorchDispatchMode):
    """Counts the operations of torch within it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def count_work(act: Callable[[], object]) -> Work:
    """The work of a call of `act`. Compiled code runs as it is written."""
    counter, operations = FlopCounterMode(display=False), _Operations()
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with torch.compiler.set_stance("force_eager"), counter, operations:
        act()
    return Work(int(counter.get_total_flops()), operations.count)
