"""How much work a computation is, counted and not timed: the same number at every time and under every load.

FLOPs are those that torch.utils.flop_counter counts: matrix products and convolutions, with two for a multiply-add; and the
additions of a sum of rows, which takes the place of a product where most factors are 0. Every
operation of torch also takes some time whatever its size, which decides for small networks and long chains. `nominal_seconds`
adds both up for a processor of an ordinary kind; only ratios of it mean anything.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

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


_INDIVISIBLE: set[Any] = {torch.ops.prim.device.default}
"""Operations that torch does not make of others, as far as was seen."""


class _Counter(TorchDispatchMode):
    """Counts what torch does within it."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.operations = 0
        self._inside = False  # of an operation that torch makes of others

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes a second, to keep it away from the method below

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.operations += not self._inside
        if func not in _INDIVISIBLE:
            before, self._inside = self._inside, True
            with self:
                parts = func.decompose(*args, **kwargs)
            self._inside = before
            if parts is not NotImplemented:
                return parts
            _INDIVISIBLE.add(func)
        found = func(*args, **kwargs)
        if func.overloadpacket is torch.ops.aten._embedding_bag_forward_only:
            self.flops += args[1].numel() * args[0].shape[1]  # of rows args[1] of the matrix args[0]
        elif func.overloadpacket in flop_registry:
            self.flops += int(flop_registry[func.overloadpacket](*args, **kwargs, out_val=found))
        return found


def count_work(act: Callable[[], object]) -> Work:
    """The work of a call of `act`. Compiled code runs as it is written."""
    counter = _Counter()
    compiles = "torch._dynamo" in sys.modules  # to ask torch would import it
    with torch.compiler.set_stance("force_eager") if compiles else nullcontext(), counter:
        act()
    return Work(counter.flops, counter.operations)
