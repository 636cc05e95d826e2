"""genlab on a fake accelerator: python -m tests.helpers.fake_device ARGUMENTS OF GENLAB.

Tensors of the fake device, cuda:0, live in ordinary memory. An operation that mixes them with tensors of the CPU ends in an
error, as it does on a GPU: so code that forgets where a tensor lies is found without one. The fake device is slow, and says
nothing of numbers, streams and kernels.
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
from genlab.experiment.experiment import Experiment
from genlab.training import checkpoint, devices
from genlab.training.cuda_graphs import WARMUP, StaticBatches, can_replay
from tests.helpers.support import configure

CPU, FAKE = torch.device("cpu"), torch.device("cuda", 0)
TAKES_INDICES_OF_THE_CPU = ("aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::index_put")
SYNCHRONISES = (
    "aten::_local_scalar_dense",
    "aten::equal",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::multinomial",
)
ANSWERS_ON_THE_CPU = ("aten::_local_scalar_dense", "aten::equal")


class FakeDeviceTensor(Tensor):
    """A tensor that says it is on the fake device, around a `wrapped` one of the CPU. To torch's own code it is on `meta`."""

    wrapped: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor) -> "FakeDeviceTensor":
        made: FakeDeviceTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device("meta"),
        )
        made.wrapped = inner
        return made

    device = property(lambda self: FAKE)
    is_cpu = property(lambda self: False)
    is_cuda = property(lambda self: True)
    is_meta = property(lambda self: False)

    def tolist(self) -> Any:
        return self.wrapped.tolist()

    def new_tensor(self, data: Any, **options: Any) -> Tensor:  # type: ignore[override]
        return torch.tensor(data, **{"dtype": self.dtype, "device": FAKE, **options})

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return run(func, args, dict(kwargs or {}))


class FakeDeviceMode(TorchDispatchMode):
    """Within it, tensors can be made on the fake device and moved there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, dict(kwargs or {}))


capturing = False
"""While it is true, what a CUDA graph cannot capture ends in an error: numbers that go to the CPU or come from it."""


def unwrap(value: Any) -> Any:
    """The wrapped tensor of one on the fake device; everything else as it is."""
    return value.wrapped if isinstance(value, FakeDeviceTensor) else value


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """`func` on the wrapped tensors, if all lie on one device; its results are on the device where they belong."""
    name, schema = func._schema.name, func._schema
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    fake = [isinstance(tensor, FakeDeviceTensor) for tensor in tensors]
    device = kwargs.get("device")
    result_is_fake = any(fake) if device is None else torch.device(device).type in ("cuda", "meta")
    if device is not None:
        kwargs["device"] = CPU
    elif any(fake) and not (name in TAKES_INDICES_OF_THE_CPU and fake[0]):
        others = [tuple(t.shape) for t, is_fake in zip(tensors, fake, strict=True) if not is_fake and t.dim()]
        if others and name != "aten::copy_":
            raise RuntimeError(f"{name} mixes tensors of cuda:0 with ones of the CPU, of shape {others}")
    if name == "aten::copy_" and not fake[0]:
        result_is_fake = False
    if capturing:
        refuse_what_cannot_be_captured(func, tensors, result_is_fake)
    inner = tree_map(unwrap, (args, kwargs))
    if name == "aten::_to_copy":
        inner[1].pop("device", None)
    out = func(*inner[0], **inner[1])
    writes = [
        argument for argument in schema.arguments if argument.alias_info is not None and argument.alias_info.is_write
    ]
    if writes and writes[0].name == schema.arguments[0].name and isinstance(args[0], Tensor):
        return args[0]
    if writes and kwargs.get("out") is not None:
        return kwargs["out"]
    if name in ANSWERS_ON_THE_CPU or not result_is_fake:
        return out
    return tree_map(lambda value: FakeDeviceTensor(value) if type(value) is Tensor else value, out)


def refuse_what_cannot_be_captured(func: Any, tensors: list[Tensor], result_is_fake: bool) -> None:
    """Raises RuntimeError for an operation that moves numbers between the devices, or waits for the fake one."""
    name = func._schema.name
    fake = [isinstance(tensor, FakeDeviceTensor) for tensor in tensors]
    moves = name in ("aten::_to_copy", "aten::copy_") and {fake[-1], result_is_fake} == {True, False}
    masks = name in TAKES_INDICES_OF_THE_CPU and any(tensor.dtype == torch.bool for tensor in tensors[1:])
    draws = torch.Tag.nondeterministic_seeded in func.tags and not result_is_fake
    if moves or masks or draws or (name in SYNCHRONISES and any(fake)):
        raise RuntimeError(f"{name} cannot be captured: it needs the CPU")


def capture(words: str) -> bool | None:
    """Whether one update of the model that `words` compose can be captured, as training/cuda_graphs.py does it.

    None where training/cuda_graphs.py does not try.
    """
    global capturing
    config = configure(*words.split(), "train.batch_size=8", "device.name=cuda")
    experiment = Experiment(config)
    dataset = experiment.dataset
    model = experiment.model.to(FAKE).train()
    batches = Batches(
        dataset.train,
        dataset.represent,
        batch_size=8,
        examples=8000,
        seed=0,
        device=FAKE,
        labelled_beside=model.labelled_beside,
    )
    if not can_replay(model, batches, experiment.device):
        return None
    stream = StaticBatches(batches)
    loop = iter(model.train_loop(stream))
    for _ in range(WARMUP):
        stream.claimed.clear()
        next(loop)
    static = stream.allocate()
    assert stream.fill(static)
    stream.claimed, stream.static, capturing = [], static, True
    try:
        torch.stack([value.detach().float() for value in next(loop).values()])
    except RuntimeError as error:
        print(f"{words}: {error}", file=sys.stderr)
        return False
    finally:
        capturing = False
    return True


def install() -> None:
    """Make the code of genlab and of torch that asks for a GPU find the fake one."""
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    answers: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: None,
        "get_device_name": lambda device=None: "fake",
        "synchronize": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 0,
        "reset_peak_memory_stats": lambda device=None: None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, answer)
    save = checkpoint.save

    def placed(plain: Callable[..., Tensor], data: Any, *, device: Any = None, **options: Any) -> Tensor:
        made = plain(data, **options)
        return made if device is None else made.to(FAKE if torch.device(device).type == "cuda" else device)

    for name in ("tensor", "as_tensor"):
        setattr(torch, name, partial(placed, getattr(torch, name)))

    setattr(devices.Device, "resolve", lambda self: FAKE)  # noqa: B010
    setattr(checkpoint, "save", lambda path, state: save(path, tree_map(unwrap, dict(state))))  # noqa: B010


if __name__ == "__main__":
    install()
    with FakeDeviceMode():
        sys.exit(main(sys.argv[1:]))
