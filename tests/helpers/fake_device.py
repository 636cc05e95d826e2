"""genlab on a pretended accelerator: python -m tests.helpers.fake_device ARGUMENTS OF GENLAB.

Tensors of the pretended device, cuda:0, live in ordinary memory, but an operation on some of them and on tensors of the processor
ends in an error, as it does on a GPU: whoever forgets where a tensor lies is found out without one. It is slow, and tells nothing
of numbers, streams and kernels.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from genlab.cli import main
from genlab.data.batches import Batches
from genlab.experiment.experiment import check_experiment, make_dataset, make_model
from genlab.training import checkpoint, devices
from genlab.training.cuda_graphs import WARM, Stream, can_replay
from tests.helpers.support import configure

HERE, THERE = torch.device("cpu"), torch.device("cuda", 0)
TAKES_INDICES_FROM_HERE = ("aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::index_put")
SYNCHRONISES = ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::masked_select", "aten::_unique2")
ANSWERS_HERE = ("aten::_local_scalar_dense", "aten::equal")


class Elsewhere(Tensor):
    """A tensor `held` of the processor that says it is on the pretended device; to torch's own code it is on `meta`."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> "Elsewhere":
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device("meta"),
        )
        made.held = held
        return made

    device = property(lambda self: THERE)
    is_cpu = property(lambda self: False)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    def tolist(self) -> Any:
        return self.held.tolist()

    def new_tensor(self, data: Any, **options: Any) -> Tensor:  # type: ignore[override]
        return torch.tensor(data, **{"dtype": self.dtype, "device": THERE, **options})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return run(func, args, dict(kwargs or {}))


class Pretending(TorchDispatchMode):
    """Inside, tensors can be made and moved there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, dict(kwargs or {}))


recording = False
"""While it is set, what a CUDA graph cannot record ends in an error: numbers that go to the processor or come from it."""


def held_by(value: Any) -> Any:
    return value.held if isinstance(value, Elsewhere) else value


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """`func` on what is inside of the tensors, where all lie in one place, and its results where they belong."""
    name, schema = func._schema.name, func._schema
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    there = [isinstance(tensor, Elsewhere) for tensor in tensors]
    device = kwargs.get("device")
    stays_there = any(there) if device is None else torch.device(device).type in ("cuda", "meta")
    if device is not None:
        kwargs["device"] = HERE
    elif any(there) and not (name in TAKES_INDICES_FROM_HERE and there[0]):
        here = [tuple(t.shape) for t, is_there in zip(tensors, there, strict=True) if not is_there and t.dim()]
        if here and name != "aten::copy_":
            raise RuntimeError(f"{name} mixes tensors of cuda:0 with ones of the processor, of shape {here}")
    if name == "aten::copy_" and not there[0]:
        stays_there = False
    if recording:
        refuse_what_cannot_be_recorded(func, tensors, stays_there)
    inside = tree_map(held_by, (args, kwargs))
    if name == "aten::_to_copy":
        inside[1].pop("device", None)
    out = func(*inside[0], **inside[1])
    writes = [
        argument for argument in schema.arguments if argument.alias_info is not None and argument.alias_info.is_write
    ]
    if writes and writes[0].name == schema.arguments[0].name and isinstance(args[0], Tensor):
        return args[0]
    if writes and kwargs.get("out") is not None:
        return kwargs["out"]
    if name in ANSWERS_HERE or not stays_there:
        return out
    return tree_map(lambda value: Elsewhere(value) if type(value) is Tensor else value, out)


def refuse_what_cannot_be_recorded(func: Any, tensors: list[Tensor], stays_there: bool) -> None:
    name = func._schema.name
    there = [isinstance(tensor, Elsewhere) for tensor in tensors]
    moves = name in ("aten::_to_copy", "aten::copy_") and {there[-1], stays_there} == {True, False}
    masks = name in TAKES_INDICES_FROM_HERE and any(tensor.dtype == torch.bool for tensor in tensors[1:])
    draws = torch.Tag.nondeterministic_seeded in func.tags and not stays_there
    if moves or masks or draws or (name in SYNCHRONISES and any(there)):
        raise RuntimeError(f"{name} cannot be recorded: it needs the processor")


def record(words: str) -> bool | None:
    """One update of the model that `words` compose, as replay.py records it; whether it could be, None where it need not."""
    global recording
    config = configure(*words.split(), "train.batch_size=8", "device.name=cuda")
    parts = check_experiment(config)
    dataset = make_dataset(config).to(THERE)
    model = make_model(config, dataset.spec).to(THERE).train()
    batches = Batches(
        dataset.train,
        dataset.represent,
        batch_size=8,
        examples=8000,
        seed=0,
        device=THERE,
        labelled_beside=model.labelled_beside,
    )
    if not can_replay(model, batches, parts.device):
        return None
    stream = Stream(batches)
    loop = iter(model.train_loop(stream))
    for _ in range(WARM):
        stream.claimed.clear()
        next(loop)
    slots = stream.slots()
    assert stream.fill(slots)
    stream.claimed, stream.recorded, recording = [], slots, True
    try:
        torch.stack([value.detach().float() for value in next(loop).values()])
    except RuntimeError as error:
        print(f"{words}: {error}", file=sys.stderr)
        return False
    finally:
        recording = False
    return True


def pretend() -> None:
    """Make the code of genlab and of torch that asks for a GPU find the pretended one."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    answers: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
        "get_device_name": lambda device=None: "pretended",
        "synchronize": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 0,
        "reset_peak_memory_stats": lambda device=None: None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    save = checkpoint.save

    def placed(plain: Callable[..., Tensor], data: Any, *, device: Any = None, **options: Any) -> Tensor:
        made = plain(data, **options)
        return made if device is None else made.to(THERE if torch.device(device).type == "cuda" else device)

    for name in ("tensor", "as_tensor"):
        setattr(torch, name, partial(placed, getattr(torch, name)))

    setattr(devices.Device, "resolve", lambda self: THERE)  # noqa: B010
    setattr(checkpoint, "save", lambda path, state: save(path, tree_map(held_by, dict(state))))  # noqa: B010


if __name__ == "__main__":
    pretend()
    with Pretending():
        sys.exit(main(sys.argv[1:]))
