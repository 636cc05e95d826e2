"""genlab on a pretended accelerator: python -m tests.elsewhere ARGUMENTS OF GENLAB.

Tensors of the pretended device, cuda:0, live in ordinary memory, but an operation on some of them and on tensors of the processor
ends in an error, as it does on a GPU: whoever forgets where a tensor lies is found out without one. It is slow, and tells nothing
of numbers, streams and kernels.
"""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from genlab import checkpoint, parallel
from genlab.cli import main

HERE, THERE = torch.device("cpu"), torch.device("cuda", 0)
TAKES_INDICES_FROM_HERE = ("aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::index_put")
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
    plain, save = torch.tensor, checkpoint.save

    def tensor(data: Any, *, device: Any = None, **options: Any) -> Tensor:
        made = plain(data, **options)
        return made if device is None else made.to(THERE if torch.device(device).type == "cuda" else device)

    setattr(torch, "tensor", tensor)  # noqa: B010  (as mypy sees it, of another type)
    setattr(parallel.Device, "resolve", lambda self: THERE)  # noqa: B010
    setattr(checkpoint, "save", lambda path, state: save(path, tree_map(held_by, dict(state))))  # noqa: B010


if __name__ == "__main__":
    pretend()
    with Pretending():
        sys.exit(main(sys.argv[1:]))
