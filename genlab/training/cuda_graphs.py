"""CUDA graphs: one update of a training loop is captured on an NVIDIA GPU, and from then on replayed.

The GPU works through a small model in a fraction of the time that Python takes to launch its kernels. A graph launches all
kernels of an update at once. By the contract (models/base.py) everything that lasts is in parameters, buffers and
optimizers. So an update can be replayed without its Python code, if it does the same operations every time:
`Model.replayable`. The static inputs of the graph are memory that it reads: the indices of the examples, the learning rates,
the progress. Random draws continue torch's own generator, as they would without a graph.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from genlab.data.batches import Batch, Batches
from genlab.errors import GenlabError
from genlab.models.base import Metrics, Model
from genlab.models.contract import checked_updates
from genlab.numerics import shares
from genlab.optimizers.recipe import reads_rate_from_memory
from genlab.training.devices import Device

WARMUP = 3  # updates before the capture, in which optimizers make their state and libraries choose their kernels


def updates_of(model: Model, batches: Batches, device: Device) -> Iterator[Metrics]:
    """What `model.train_loop(batches)` yields, by replays of a graph where that is possible."""
    if can_replay(model, batches, device):
        return replay_updates(model, batches)
    return checked_updates(model, model.train_loop(batches))


def can_replay(model: Model, batches: Batches, device: Device) -> bool:
    """Whether an update of `model` can be captured and replayed on `device`."""
    return (
        device.replay
        and not device.compile
        and shares.count() == 1
        and batches.device.type == "cuda"
        and isinstance(batches.data.x, Tensor)
        and model.replayable
        and all(reads_rate_from_memory(optimizer) for optimizer in model.optimizers.values())
    )


class StaticBatches:
    """The batches of a training loop. During the capture of an update they are gathered by indices in static memory."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.claimed: list[list[Tensor]] = []
        """Indices of the batches of the last update."""
        self.static: list[list[Tensor]] | None = None
        """During a capture: the memory from which the indices are read."""
        self.progress: list[Tensor] = []
        """Progress at each batch of an update, in static memory."""

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self.static is not None:
            indices, at = self.static[len(self.claimed)], self.progress[len(self.claimed)]
            self.claimed.append(indices)
            return self.batches.gather(indices, at)
        if self.batches.seen >= self.batches.examples:
            raise StopIteration
        progress, indices = self.batches.progress, self.batches.claim()
        self.claimed.append(indices)
        return self.batches.gather(indices, progress)

    def allocate(self) -> list[list[Tensor]]:
        """Static memory for the indices of as many batches as the last update took."""
        self.progress = [torch.zeros((), device=self.batches.device) for _ in self.claimed]
        return [[torch.empty_like(index) for index in indices] for indices in self.claimed]

    def fill(self, static: list[list[Tensor]]) -> bool:
        """Claim the batches of one more update and write their indices into `static`; false where fewer are left."""
        size = self.batches.batch_size
        if self.batches.seen + (len(static) - 1) * size >= self.batches.examples:
            return False
        for memory, progress in zip(static, self.progress, strict=True):
            progress.fill_(self.batches.progress)
            for place, indices in zip(memory, self.batches.claim(), strict=True):
                place.copy_(indices)
        return True


def replay_updates(model: Model, batches: Batches) -> Iterator[Metrics]:
    """What `model.train_loop(batches)` yields: a few updates of the loop itself, then replays of the next one.

    Model and batches are such that `can_replay`. Raises GenlabError where the update cannot be captured after all.
    """
    stream = StaticBatches(batches)
    for optimizer in model.optimizers.values():
        make_capturable(optimizer)
    loop = iter(model.train_loop(stream))
    side, usual = torch.cuda.Stream(), torch.cuda.current_stream()
    for _ in range(WARMUP):
        stream.claimed.clear()
        side.wait_stream(usual)
        with torch.cuda.stream(side):
            metrics = next(loop, None)
        usual.wait_stream(side)
        if metrics is None:
            return
        yield metrics

    static = stream.allocate()
    if stream.fill(static):
        names, values, graph = _capture(loop, stream, static, side)
        while True:
            graph.replay()
            yield dict(zip(names, values.clone().unbind(), strict=True))
            if not stream.fill(static):
                break
        stream.static = None
    yield from loop  # the batches that are too few for an update, and whatever the family does at the end


def _capture(
    loop: Iterator[Metrics], stream: StaticBatches, static: list[list[Tensor]], side: torch.cuda.Stream
) -> tuple[list[str], Tensor, torch.cuda.CUDAGraph]:
    """Names of the metrics, the memory that will hold their values, and the graph of the next update, which is not run yet.

    Raises GenlabError where an operation of the update cannot be captured.
    """
    stream.claimed, stream.static = [], static
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


def make_capturable(optimizer: Optimizer) -> None:
    """Learning rate and number of steps become tensors on the device, which a captured step reads."""
    for group in optimizer.param_groups:
        where = group["params"][0].device
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=where)
        group["capturable" if "capturable" in group else "fused"] = (
            True  # SGD and Adagrad read a rate in their fused kernels
        )
    for parameter, state in optimizer.state.items():
        if "step" in state:
            state["step"] = torch.as_tensor(state["step"], dtype=torch.float32, device=parameter.device)


def portable_state(optimizer: Optimizer) -> dict[str, Any]:
    """The state of an optimizer as it is without any capture, so that the training can go on on another device."""
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        group["lr"] = float(group["lr"])
        group.update({key: optimizer.defaults[key] for key in ("capturable", "fused") if key in group})
    return state
