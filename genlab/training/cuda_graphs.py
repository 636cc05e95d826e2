"""Updates on an NVIDIA GPU: one is recorded as a CUDA graph, and from then on replayed.

The GPU works through a small model in a fraction of the time that Python takes to launch its kernels. A graph launches all of an
update's at once. By the contract (models/base.py) whatever lasts is in parameters, buffers and optimizers, so that an update can
be replayed without its Python code, if that does the same every time: `Model.replayable`. The graph reads which examples to use,
the learning rates and the progress from memory, and draws go on through torch's generator as they would without it.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from genlab.data.batches import Batch, Batches
from genlab.errors import GenlabError
from genlab.models.base import Metrics, Model
from genlab.optimizers.recipe import reads_rate_from_memory
from genlab.training.devices import Device

WARM = 3  # updates before the recording, in which optimizers make their state and libraries choose their kernels


def updates_of(model: Model, batches: Batches, device: Device) -> Iterator[Metrics]:
    """What `model.train_loop(batches)` yields."""
    if can_replay(model, batches, device):
        return replayed(model, batches)
    return model.train_loop(batches)


def can_replay(model: Model, batches: Batches, device: Device) -> bool:
    return (
        device.replay
        and not device.compile
        and batches.device.type == "cuda"
        and isinstance(batches.data.x, Tensor)
        and model.replayable
        and all(reads_rate_from_memory(optimizer) for optimizer in model.optimizers.values())
    )


class Stream:
    """The batches for a training loop: at first as they come, and while an update is recorded from indices in memory."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.claimed: list[list[Tensor]] = []
        """Indices of the batches of an update."""
        self.recorded: list[list[Tensor]] | None = None
        self.progress: list[Tensor] = []
        """Of each of them, in memory while they are replayed."""

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self.recorded is not None:
            indices, at = self.recorded[len(self.claimed)], self.progress[len(self.claimed)]
            self.claimed.append(indices)
            return self.batches.gather(indices, at)
        if self.batches.seen >= self.batches.examples:
            raise StopIteration
        progress, indices = self.batches.progress, self.batches.claim()
        self.claimed.append(indices)
        return self.batches.gather(indices, progress)

    def slots(self) -> list[list[Tensor]]:
        """Memory for the indices of batches like those of the last update."""
        self.progress = [torch.zeros((), device=self.batches.device) for _ in self.claimed]
        return [[torch.empty_like(index) for index in indices] for indices in self.claimed]

    def fill(self, slots: list[list[Tensor]]) -> bool:
        """Claim the batches of one more update and write their indices into `slots`; false where fewer are left."""
        size = self.batches.batch_size
        if self.batches.seen + (len(slots) - 1) * size >= self.batches.examples:
            return False
        for slot, progress in zip(slots, self.progress, strict=True):
            progress.fill_(self.batches.progress)
            for memory, indices in zip(slot, self.batches.claim(), strict=True):
                memory.copy_(indices)
        return True


def replayed(model: Model, batches: Batches) -> Iterator[Metrics]:
    """Of a model and batches that `can_replay`."""
    stream = Stream(batches)
    for optimizer in model.optimizers.values():
        keep_rate_in_memory(optimizer)
    loop = iter(model.train_loop(stream))
    side, usual = torch.cuda.Stream(), torch.cuda.current_stream()
    for _ in range(WARM):
        stream.claimed.clear()
        side.wait_stream(usual)
        with torch.cuda.stream(side):
            metrics = next(loop, None)
        usual.wait_stream(side)
        if metrics is None:
            return
        yield metrics

    slots = stream.slots()
    if stream.fill(slots):
        names, values, graph = _record(loop, stream, slots, side)
        while True:
            graph.replay()
            yield dict(zip(names, values.clone().unbind(), strict=True))
            if not stream.fill(slots):
                break
        stream.recorded = None
    yield from loop  # too few batches for an update, and whatever the family does at the end


def _record(
    loop: Iterator[Metrics], stream: Stream, slots: list[list[Tensor]], side: torch.cuda.Stream
) -> tuple[list[str], Tensor, torch.cuda.CUDAGraph]:
    """Names of the metrics, the memory that their values will be in, and the graph of the next update, which is not yet run.

    Raises GenlabError where something in the update cannot be recorded.
    """
    stream.claimed, stream.recorded = [], slots
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=side):
            metrics = next(loop)
            values = torch.stack([value.detach().float() for value in metrics.values()])
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise GenlabError(
            f"device.replay=true: this update cannot be recorded ({reason}); set device.replay=false"
        ) from error
    return list(metrics), values, graph


def keep_rate_in_memory(optimizer: Optimizer) -> None:
    for group in optimizer.param_groups:
        where = group["params"][0].device
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=where)
        if "capturable" in group:
            group["capturable"] = True


def plain_state(optimizer: Optimizer) -> dict[str, Any]:
    """The state of an optimizer as it is without any recording, so that training can go on on another device."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = float(group["lr"])
        if "capturable" in group:
            group["capturable"] = False
    return state
