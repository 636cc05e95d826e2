"""A program as torch.export traces it: operations on tensors with the parameters beside them, and no code of genlab."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from genlab.export.program import Program
from genlab.networks.few_channel_conv import Conv, TransposedConv

FIXED = 16  # examples of a program that holds for one number only


def compiled(program: Program, model: nn.Module) -> tuple[torch.export.ExportedProgram, int | None]:
    """The program as torch.export traces it, for any number n of examples; else for the number that is returned beside it."""
    try:
        return _traced(program, model, program.examples(), any_number=True), None
    except torch._dynamo.exc.UserError:  # an operation that holds for one number only
        examples = tuple(example.repeat(FIXED // 2, *[1] * (example.ndim - 1)) for example in program.examples())
        return _traced(program, model, examples, any_number=False), FIXED


def _traced(
    program: Program, model: nn.Module, examples: tuple[Tensor, ...], any_number: bool
) -> torch.export.ExportedProgram:
    n = torch.export.Dim("n", min=1, max=1 << 20)
    shapes: Any = (tuple({0: n} for _ in examples),)
    module = program.module(model)
    with torch.no_grad(), _plain_convolutions(model):
        if program.kind == "energy":  # its gradient becomes operations of its own
            mode: Literal["symbolic", "real"] = "symbolic" if any_number else "real"
            module = make_fx(module, tracing_mode=mode, _allow_non_fake_inputs=True)(*examples)
            shapes = shapes[0]
        return torch.export.export(module, examples, dynamic_shapes=shapes if any_number else None, strict=False)


@contextmanager
def _plain_convolutions(model: nn.Module) -> Iterator[None]:
    """Within the block convolutions are those of torch: genlab's faster ones hold for one number of examples only."""
    fast = [part for part in model.modules() if isinstance(part, Conv | TransposedConv)]
    kinds = [type(part) for part in fast]
    for part in fast:
        part.__class__ = nn.Conv2d if isinstance(part, Conv) else nn.ConvTranspose2d  # type: ignore[assignment]
    try:
        yield
    finally:
        for part, kind in zip(fast, kinds, strict=True):
            part.__class__ = kind
