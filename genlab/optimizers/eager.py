"""Optimizers of torch without the compiler, whose import takes longer than all else that starts with the first optimizer.

torch.optim tells torch.compile that it should not look into `step` and the methods around it, and imports it for that, in the
middle of an eager training too. These subclasses have the functions themselves, as functools.wraps keeps them.
"""

from inspect import unwrap
from typing import Any, TypeVar

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

Kind = TypeVar("Kind", bound=Optimizer)


def _eager(kind: type[Kind]) -> type[Kind]:
    around = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods: dict[str, Any] = {name: unwrap(getattr(kind, name)) for name in around}
    methods |= {"step": torch.no_grad()(unwrap(kind.step)), "__module__": __name__}
    return type(kind.__name__, (kind,), methods)


EagerSGD, EagerAdam, EagerAdamW = _eager(SGD), _eager(Adam), _eager(AdamW)
EagerAdagrad, EagerRMSprop = _eager(Adagrad), _eager(RMSprop)
