"""Where and how the arithmetic runs: device, precision, threads, compilation."""

import logging
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from genlab.config.schema import check
from genlab.config.types import Positive
from genlab.errors import GenlabError
from genlab.numerics import ranks
from genlab.numerics.processor import cores

Precision = Literal["fp32", "tf32", "bf16"]
Reruns = Literal["bit-identical", "statistically equal"]
"""How equal two runs of one configuration are, on the same hardware, with the same versions and number of threads."""


def has_bf16_products() -> bool:
    """Whether this processor multiplies bf16 matrices about as fast as fp32 ones: all do, except x86 without AVX-512."""
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return known.get("architecture") != "x86_64" or bool(known.get("avx512_bw"))


@dataclass(frozen=True)
class Device:
    """The `device` group of the configuration."""

    name: Literal["auto", "gpu", "cpu", "cuda", "mps"]
    precision: Precision
    """fp32; tf32 (matrix products on CUDA with a 10-bit mantissa); bf16 (autocast; parameters and losses stay fp32)."""
    compile: bool
    """Compile the networks with torch.compile."""
    threads: Annotated[int, Field(gt=0, le=1024)] | None
    """Threads of one operation on the CPU; null for one a core. OpenMP ends the process where it has no memory for them."""
    processes: Annotated[int, Field(gt=0, le=4096)] | Literal["auto"]
    """Processes that share each batch of the training; auto for one a GPU of this machine."""
    replay: bool = True
    """On CUDA, capture one update as a graph and replay it, where the family allows it (cuda_graphs.py). Older runs lack it."""
    shard: bool = False
    """Each process keeps a part of the parameters and of the optimizer's state (sharding.py). Older runs lack it."""
    timeout: Positive = ranks.PATIENCE
    """Seconds after which a process that does not answer ends the training. Older runs lack it."""

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "Device":
        """Checks the `device` section. Raises GenlabError for a mistake, and for a device that this machine has not."""
        (keys,) = check(section, "device", cls)
        device = cls(**keys)
        device.resolve()
        return device

    def resolve(self) -> torch.device:
        """The device that `name` means here. Raises GenlabError where this machine has none of that name."""
        available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
        name: str = self.name
        if name in ("auto", "gpu"):
            name = next((n for n, there in available.items() if there and (n != "cpu" or name == "auto")), name)
        if not available.get(name):
            here = ", ".join(n for n, there in available.items() if there)
            raise GenlabError(f"device.name={name} is not on this machine (there is: {here}); set device=auto")
        if self.precision == "tf32" and name != "cuda":
            raise GenlabError(
                f"device.precision=tf32 exists on cuda only, and this is {name}; set device.precision=fp32"
            )
        return torch.device(name)

    def prepare(self) -> torch.device:
        """Set threads and matrix-product precision for this process and return the device."""
        device = self.resolve()
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        elif ranks.world() > 1:  # the cores are shared out, too
            torch.set_num_threads(max(1, cores() // ranks.local()[1]))
        torch.set_float32_matmul_precision("high" if self.precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        return device

    def processes_for(self, batch_size: int) -> int:
        """How many processes share batches of that size: as many as there are, or else as `processes` says."""
        if (world := ranks.of_environment()[1]) > 1:
            return world
        if self.processes != "auto":
            return self.processes
        gpus = torch.cuda.device_count() if self.resolve().type == "cuda" else 1
        return max(n for n in range(1, max(1, gpus) + 1) if batch_size % n == 0)

    def reruns(self) -> Reruns:
        """On the CPU every sum has one order, in every precision, compiled or not. On a GPU some are added up in the order in
        which threads arrive (gradients of embeddings and of convolutions), and rounded differently in every run.
        """
        return "bit-identical" if self.resolve().type == "cpu" else "statistically equal"

    def warning(self) -> str | None:
        """A warning before a long training begins; None where there is nothing to warn of."""
        if self.precision == "bf16" and self.resolve().type == "cpu" and not has_bf16_products():
            return (
                "device.precision=bf16: this processor has no instructions for bf16 and takes ten times as long as with fp32; "
                "set device.precision=fp32"
            )
        return None

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of a training step, and of samples where the user asks for it."""
        if self.precision == "bf16":
            return torch.autocast(self.resolve().type, dtype=torch.bfloat16)
        return nullcontext()

    def place(self, model: nn.Module) -> None:
        """Move the model to the device; its networks are compiled in place, so that parameter names stay as they are."""
        device = self.resolve()
        model.to(device)
        if device.type == "cuda":
            model.to(memory_format=torch.channels_last)
        if self.compile:
            # Of a CUDA compiler without a GPU, and of what torch's own compiler calls: no matter of the user.
            logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
            warnings.filterwarnings("ignore", module=r"torch\._(dynamo|inductor)")
            for part in model.children():
                # What is compiled has no second derivatives, as a penalty on its gradient needs, nor has an average of it.
                differentiated = any(getattr(module, "needs_second_derivatives", False) for module in part.modules())
                if any(True for _ in part.parameters()) and not differentiated:
                    for piece in _pieces(part):
                        piece.compile()


def _pieces(part: nn.Module) -> list[nn.Module]:
    """What is compiled in its place: the layers of a flow, where the code of one fits all that are alike, or all of it."""
    stacks = {module for module in part.modules() if getattr(module, "compiled_by_layer", False)}
    layers = [layer for stack in stacks for layer in stack.get_submodule("layers").children()]
    return [layer for layer in layers if layer not in stacks] or [part]
