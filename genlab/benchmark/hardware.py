"""The rates of this machine, measured: a model's speed is compared with them.

The matrix-multiply rate is that of C = A B with square matrices of n rows in the precision of a training step. It counts
2 n^3 floating-point operations, at the best of several n. The memory rate is that of a copy between two buffers that are
larger than the caches. It counts the bytes read and the bytes written.
"""

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genlab.numerics.memory import peak_memory_mb
from genlab.training.devices import Device

BUFFER = {"cpu": 2**27, "cuda": 2**30, "mps": 2**28}  # bytes
SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192), "mps": (1024, 2048, 4096)}  # rows of a square matrix


def synchronize(where: torch.device) -> None:
    """Wait until the device has done everything that was launched."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)
    elif where.type == "mps":
        torch.mps.synchronize()


def rate(act: Callable[[], object], where: torch.device, seconds: float) -> float:
    """Calls of `act` a second, over at least `seconds` and at least one call."""
    synchronize(where)
    calls, start = 0, time.perf_counter()
    while True:
        act()
        calls += 1
        if time.perf_counter() - start >= seconds:
            synchronize(where)
            return calls / (time.perf_counter() - start)


class MachineRates:
    """Measures the rates of `device`, for `seconds` at a time. It holds its buffers for as long as it lives."""

    def __init__(self, device: Device, seconds: float) -> None:
        self.where, self.seconds = device.resolve(), seconds
        dtype = torch.bfloat16 if device.precision == "bf16" else torch.float32
        self.source = torch.ones(BUFFER[self.where.type] // 4, device=self.where)
        self.target = torch.zeros_like(self.source)
        self.size = 0
        """Rows of the matrices that multiply fastest."""
        best = 0.0
        for n in SIZES[self.where.type]:
            if best and 2 * n**3 / best > 4 * seconds:  # one product would take too long
                break
            matrices = [torch.full((n, n), 1.0 / n, device=self.where, dtype=dtype) for _ in range(3)]
            multiply = partial(torch.mm, matrices[0], matrices[1], out=matrices[2])
            multiply()  # the first product of a size sets the library up
            reached = 2 * n**3 * rate(multiply, self.where, seconds / 4)
            if reached > best:
                best, self.size, self._multiply = reached, n, multiply

    def matmul_flops(self) -> float:
        """Floating-point operations a second of a matrix product."""
        return 2 * self.size**3 * rate(self._multiply, self.where, self.seconds)

    def memory_bandwidth(self) -> float:
        """Bytes a second that a copy reads and writes."""
        moved = 2 * self.source.numel() * self.source.element_size()
        return moved * rate(partial(self.target.copy_, self.source), self.where, self.seconds)


class PeakMemory:
    """Largest memory of this process since this object was made, in MiB."""

    def __init__(self, where: torch.device) -> None:
        self.where = where
        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats(where)
        with suppress(OSError):  # on other systems the peak is that of the whole process so far
            # Linux forgets the earlier peak, which may be that of another job of a sweep.
            Path("/proc/self/clear_refs").write_text("5")

    def process(self) -> float | None:
        """Resident memory on the host; None where the system does not report it."""
        return peak_memory_mb()

    def device(self) -> float | None:
        """Memory that tensors took on the device; None on a CPU, and where the device does not report it."""
        return torch.cuda.max_memory_allocated(self.where) / 2**20 if self.where.type == "cuda" else None


def facts(where: torch.device) -> dict[str, Any]:
    """The machine: names, number of cores, and its load at this moment."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "accelerator": torch.cuda.get_device_name(where) if where.type == "cuda" else None,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "load_average": load,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
