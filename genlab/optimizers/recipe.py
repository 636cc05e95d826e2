"""How a model makes its optimizers, and how their learning rate moves.

A model receives a `Recipe` and calls it on its parameters, once for every optimizer that it steps.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from genlab.config.types import Positive, Share
from genlab.errors import GenlabError
from genlab.optimizers.algorithms import Create

Schedule = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Recipe:
    """How a family makes its optimizers: optimizer(parameters), with schedule and clipping noted in the parameter group."""

    create: Create
    schedule: Schedule
    """Course of the rate after the warm-up: constant, or falling to 0 at the end along a line or half a cosine."""
    warmup: Share
    """Share of the training over which the rate rises linearly from 0."""
    clip: Positive | None
    """Largest norm of the gradient over all parameters of one optimizer; null for no clipping."""

    def __post_init__(self) -> None:
        if self.needs_closure and self.clip is not None:
            raise GenlabError(f"optimizer.clip={self.clip}: lbfgs chooses its own step length; set optimizer.clip=null")

    @property
    def needs_closure(self) -> bool:
        return isinstance(self.create, partial) and self.create.func is torch.optim.LBFGS

    @property
    def evaluations(self) -> int:
        """Most evaluations of the loss in one step."""
        return int(self.create.keywords["max_iter"]) if self.needs_closure and isinstance(self.create, partial) else 1

    def __call__(self, parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]]) -> Optimizer:
        """For parameters, or for groups of them as torch.optim has them ({"params": [...], "weight_decay": 0.0})."""
        optimizer = self.create(list(parameters))
        for group in optimizer.param_groups:
            # Kept in the group, so that they travel in the optimizer's state dict.
            group.update(base_lr=group["lr"], schedule=self.schedule, warmup=self.warmup, clip=self.clip)
        set_rate(optimizer, 0.0)
        return optimizer


def schedule_factor(schedule: Schedule, warmup: float, progress: float) -> float:
    """Learning rate at `progress` in [0, 1] of the training, in units of the base rate. It has no state to save."""
    if progress < warmup:
        return max(progress / warmup, 1e-3)  # the first update, at progress 0, should change something
    done = (progress - warmup) / (1 - warmup)
    if schedule == "linear":
        return 1 - done
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1.0


def set_rate(optimizer: Optimizer, progress: float) -> None:
    """Set every group's rate to what its schedule says at `progress`."""
    for group in optimizer.param_groups:
        rate = group["base_lr"] * schedule_factor(group["schedule"], group["warmup"], progress)
        if isinstance(group["lr"], Tensor):  # of recorded updates (training/cuda_graphs.py), which read it from there
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def reads_rate_from_memory(optimizer: Optimizer) -> bool:
    """Whether its rate may be a tensor, read on the device at each step."""
    return isinstance(optimizer, Adam | AdamW | SGD | RMSprop | Adagrad)
