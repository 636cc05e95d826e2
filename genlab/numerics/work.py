"""How much work a computation is, counted and not timed: the same number at every time and under every load.

FLOPs are those that torch.utils.flop_counter counts: matrix products and convolutions, with two for a multiply-add; and the
additions of a sum of rows, which takes the place of a product where most factors are 0. Beside them every number that an
operation writes takes time, and every operation, which decides for small networks and long chains. What is no operation of
torch says itself what it takes (`spend`). `nominal_seconds` adds all up for one thread of an ordinary processor: updates of six
families on digits took 0.7 to 1.2 times as long on one thread of an AMD EPYC.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode

T = TypeVar("T")


def _formulas() -> dict[Any, Callable[..., Any]]:
    """torch's formulas. Their module imports triton where it is, for triton's own kernels, which takes longer than all of it."""
    logger, absent = logging.getLogger("torch.utils.flop_counter"), "triton" not in sys.modules
    logger.disabled = True  # it would say that triton is missing
    if absent:
        sys.modules["triton"] = None  # type: ignore[assignment]  # an import of it fails
    try:
        from torch.utils.flop_counter import flop_registry
    finally:
        logger.disabled = False
        if absent:
            del sys.modules["triton"]
    return flop_registry


FORMULAS = _formulas()

FLOPS_PER_SECOND = 5e10
NUMBERS_PER_SECOND = 1e9
SECONDS_PER_OPERATION = 5e-6


@dataclass(frozen=True)
class Work:
    flops: int
    operations: int
    """Calls of torch's operations, those of a backward pass included."""
    numbers: int = 0
    """That these operations wrote."""
    other_seconds: float = 0.0
    """Nominal ones, of what is no operation of torch."""

    @property
    def nominal_seconds(self) -> float:
        counted = self.flops / FLOPS_PER_SECOND + self.numbers / NUMBERS_PER_SECOND
        return counted + self.operations * SECONDS_PER_OPERATION + self.other_seconds


_FLOPS: dict[Any, Callable[..., Any] | None] = {torch.ops.prim.device.default: None}
"""Operations that torch does not make of others, as far as was seen, and what counts the FLOPs of each."""


class _Counter(TorchDispatchMode):
    """Counts what torch does within it."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.operations = self.numbers = 0
        self.other_seconds = 0.0
        self._inside = False  # of an operation that torch makes of others

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes a second, to keep it away from the method below

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.operations += not self._inside
        if func not in _FLOPS:
            before, self._inside = self._inside, True
            with self:
                parts = func.decompose(*args, **kwargs)
            self._inside = before
            if parts is not NotImplemented:
                return parts
            _FLOPS[func] = _flops_of(func)
        found = func(*args, **kwargs)
        if (flops := _FLOPS[func]) is not None:
            self.flops += int(flops(*args, **kwargs, out_val=found))
        if not func.is_view:
            for written in found if isinstance(found, tuple | list) else (found,):
                if isinstance(written, torch.Tensor):
                    self.numbers += written.numel()
        return found

    @property
    def counts(self) -> bool:
        """Whether the next operation is counted here, and not in a mode within this one."""
        return _get_current_dispatch_mode() is self

    def so_far(self) -> list[float]:
        return [self.flops, self.operations, self.numbers, self.other_seconds]

    def add(self, more: list[float]) -> None:
        """Count what a difference of two moments holds once more."""
        flops, operations, numbers, self.other_seconds = map(sum, zip(self.so_far(), more, strict=True))
        self.flops, self.operations, self.numbers = int(flops), int(operations), int(numbers)


def _flops_of(func: Any) -> Callable[..., Any] | None:
    """What counts the FLOPs of an operation from its arguments; None where it has none."""
    if func.overloadpacket is torch.ops.aten._embedding_bag_forward_only:
        return lambda matrix, rows, *_, **__: rows.numel() * matrix.shape[1]
    return FORMULAS.get(func.overloadpacket)


_counters: list[_Counter] = []
"""Those that count now, the innermost one last."""


def count_work(act: Callable[[], object]) -> Work:
    """The work of a call of `act`. Compiled code runs as it is written."""
    counter = _Counter()
    compiles = "torch._dynamo" in sys.modules  # to ask torch would import it
    _counters.append(counter)
    try:
        with torch.compiler.set_stance("force_eager") if compiles else nullcontext(), counter:
            act()
    finally:
        _counters.pop()
    return Work(counter.flops, counter.operations, counter.numbers, counter.other_seconds)


def spend(nominal_seconds: float) -> None:
    """Count what is done here without torch, where work is counted."""
    if _counters:
        _counters[-1].other_seconds += nominal_seconds


def sparingly(states: Iterator[T]) -> Iterator[T]:
    """`states`, such as those of chains: only the first and then one of ten are counted, where work is counted.

    To count an operation takes longer than a small one. Each state that is not counted counts as the last one that was.
    """
    if not _counters:
        yield from states
        return
    counter, last, end = _counters[-1], list[float](), object()
    for number in count():
        if number % 10 == 1 or number == 0 or not counter.counts:
            before = counter.so_far()
            state = next(states, end)
            last = [late - early for early, late in zip(before, counter.so_far(), strict=True)]
        else:
            spent = counter.other_seconds
            counter.__exit__(None, None, None)
            try:
                state = next(states, end)
            finally:
                counter.__enter__()
                counter.other_seconds = spent
            if state is not end:
                counter.add(last)
        if state is end:
            return
        yield state  # type: ignore[misc]  # it is no `end`
