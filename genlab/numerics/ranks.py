"""The processes that train one model together, and what they tell each other.

A process finds its rank, and the number of processes, in its environment: torchrun, srun and genlab itself (device.processes)
write them there. In a process on its own nothing here costs or changes anything.
"""

import json
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from genlab.errors import GenlabError

PATIENCE = 1800.0
"""Seconds that a process waits for the others, unless the configuration says otherwise (device.timeout)."""
PORT = 29_400  # where the processes of a Slurm step meet, plus a number made of that of the job


def of_environment() -> tuple[int, int]:
    """Rank of this process and number of processes, as whoever started it says; (0, 1) where nobody does."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:  # torchrun, and genlab itself
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # srun; a batch script outside of it has none
        return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_STEP_NUM_TASKS"])
    return 0, 1


def rank() -> int:
    """Number of this process; the first is 0 and does all that only one may do."""
    return of_environment()[0]


def follows() -> bool:
    """Whether another process leads: this one only trains."""
    return rank() > 0


def local() -> tuple[int, int]:
    """Number of this process on its machine, and how many there are on it."""
    number, world = of_environment()
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"]), int(os.environ.get("LOCAL_WORLD_SIZE", world))
    if "SLURM_LOCALID" in os.environ and world > 1:
        nodes = int(os.environ.get("SLURM_STEP_NUM_NODES", 1))
        return int(os.environ["SLURM_LOCALID"]), -(-world // nodes)
    return number, world


def joined() -> bool:
    """Whether this process has met the others."""
    return dist.is_available() and dist.is_initialized()


def world() -> int:
    """Number of processes that train together; 1 before they have met."""
    return dist.get_world_size() if joined() else 1


def join(timeout: float = PATIENCE) -> None:
    """Meet the other processes; nothing where there are none, or where they have met.

    Tensors of a GPU go by nccl, all others by gloo. Raises GenlabError where they do not come.
    """
    number, count = of_environment()
    if count == 1 or joined():
        return
    _meeting_place(count)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local()[0] % torch.cuda.device_count())
    try:
        dist.init_process_group(backend, rank=number, world_size=count, timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise GenlabError(
            f"process {number} of {count} does not meet the others at "
            f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')} ({reason}); start all of them, on machines "
            "that reach each other"
        ) from None


def _meeting_place(count: int) -> None:
    """Where processes that srun has started meet; torchrun says it itself."""
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
    if "MASTER_PORT" not in os.environ:
        os.environ["MASTER_PORT"] = str(PORT + int(os.environ.get("SLURM_JOB_ID", 0)) % 20_000)


def leave() -> None:
    """Part from the others."""
    if joined():
        dist.destroy_process_group()


def tell(message: dict[str, Any] | None) -> None:
    """From rank 0 to all others: plain containers, or None, after which there is nothing more to do."""
    if world() > 1:
        text = json.dumps(message).encode()
        dist.broadcast(torch.tensor([len(text)]), 0)
        dist.broadcast(torch.frombuffer(bytearray(text), dtype=torch.uint8), 0)


def listen() -> dict[str, Any] | None:
    """What rank 0 tells."""
    length = torch.zeros(1, dtype=torch.int64)
    dist.broadcast(length, 0)
    text = torch.zeros(int(length), dtype=torch.uint8)
    dist.broadcast(text, 0)
    found: dict[str, Any] | None = json.loads(text.numpy().tobytes())
    return found


def hand_out(tensors: Sequence[Tensor]) -> None:
    """Every process has the values of rank 0 from now on."""
    if world() > 1:
        for tensor in tensors:
            value = tensor.detach().contiguous()
            dist.broadcast(value, 0)
            tensor.detach().copy_(value)


def greatest(values: Sequence[int]) -> list[int]:
    """The greatest of each of the values of all processes."""
    if world() == 1:
        return list(values)
    found = torch.tensor(list(values), dtype=torch.int64)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return [int(value) for value in found]


def add_up(tensor: Tensor) -> Tensor:
    """`tensor` with the sum over all processes in the place of its values."""
    if world() > 1:
        dist.all_reduce(tensor)
    return tensor


def add_up_all(tensors: Sequence[Tensor]) -> None:
    """`add_up` of each of them, all under way at once."""
    if world() > 1:
        for message in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
            message.wait()


def everyones(tensor: Tensor) -> list[Tensor]:
    """The tensors of all processes, all of one shape."""
    if world() == 1:
        return [tensor]
    own = tensor.contiguous()
    found = [torch.empty_like(own) for _ in range(world())]
    dist.all_gather(found, own)
    return found
