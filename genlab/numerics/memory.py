"""The memory of this machine, and a look at what is asked of it: Linux kills a process that takes more, without a word."""

import sys
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from genlab.errors import GenlabError

LARGE = 2**26  # bytes of a tensor from which the free memory is looked up
COPIES = ("_to_copy", "clone", "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like")
GROUP = Path("/sys/fs/cgroup")
INFO = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")


def free_memory() -> int | None:
    """Bytes that a process may still take, by the system and by the limit of its container; None where nothing says so."""
    found = []
    try:
        lines = dict(line.split(":") for line in INFO.read_text().splitlines())
        found.append(1024 * int(lines["MemAvailable"].split()[0]))
    except (OSError, KeyError, ValueError):
        pass
    try:
        most, used = (int((GROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = dict(line.split() for line in (GROUP / "memory.stat").read_text().splitlines())
        found.append(most - used + int(cached["inactive_file"]))
    except (OSError, KeyError, ValueError):  # "max": there is no limit
        pass
    return min(found, default=None)


def check_memory_of_training(model: nn.Module, what: str) -> None:
    """Raises GenlabError where gradients and a running mean of each parameter, which an update takes, have no room."""
    taken = sum(parameter.nbytes for parameter in model.parameters() if parameter.device.type == "cpu")
    free = free_memory() if taken > LARGE else None
    if free is not None and 2 * taken > free:
        raise GenlabError(_line(f"an update of {what}", 2 * taken, free))


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process, in MiB; None where the system does not report it.

    On Linux the kernel's VmHWM: getrusage gives the memory of the process that started this one, where that was larger.
    """
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in kilobytes on Linux, in bytes on macOS
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class WithinMemory(TorchDispatchMode):
    """Within its block a tensor that the free memory cannot hold raises GenlabError. `what` is the one that is made."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, which takes a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        numbers, dtype = 0, torch.get_default_dtype()
        if (
            args and isinstance(args[0], list | tuple) and all(isinstance(n, int) for n in args[0])
        ):  # torch.empty and the like
            numbers = prod(args[0])
        elif func.overloadpacket.__name__ in COPIES:
            numbers, dtype = args[0].numel(), args[0].dtype
        size = numbers * (kwargs.get("dtype") or dtype).itemsize
        free = free_memory() if size > LARGE else None
        if free is not None and size > free:
            raise GenlabError(_line(self.what, size, free))
        return func(*args, **kwargs)


def _line(what: str, size: int, free: int) -> str:
    needed, there = size / 2**30, free / 2**30
    return f"{what} needs {needed:,.1f} GiB of memory or more, and {there:,.1f} GiB are free; choose a smaller network"
