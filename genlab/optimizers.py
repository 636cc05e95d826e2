"""Optimizers and learning-rate schedules.

Each function below is the schema of one file in conf/optimizer: its arguments are the keys, its annotations their types
and ranges. A family receives a `Recipe` and calls it on its parameters, once for every optimizer that it steps.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim import Optimizer

from genlab.errors import GenlabError

Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Betas = Annotated[list[Momentum], Field(min_length=2, max_length=2)]
Schedule = Literal["constant", "linear", "cosine"]
Create = Callable[[list[Any]], Optimizer]


def sgd(*, lr: Rate, weight_decay: NonNegative) -> Create:
    """Stochastic gradient descent, theta <- theta - lr g."""
    return partial(torch.optim.SGD, lr=lr, weight_decay=weight_decay)


def momentum(*, lr: Rate, momentum: Momentum, weight_decay: NonNegative) -> Create:
    """Heavy ball, v <- momentum v + g; theta <- theta - lr v (Polyak 1964)."""
    return partial(torch.optim.SGD, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def nesterov(*, lr: Rate, momentum: Annotated[float, Field(gt=0, lt=1)], weight_decay: NonNegative) -> Create:
    """Nesterov's accelerated gradient (Nesterov 1983, in the form of Sutskever et al. 2013)."""
    return partial(torch.optim.SGD, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True, fused=True)


def adagrad(*, lr: Rate, eps: Rate, weight_decay: NonNegative) -> Create:
    """Rates divided by the root of the summed squared gradients (Duchi et al. 2011)."""
    return partial(torch.optim.Adagrad, lr=lr, eps=eps, weight_decay=weight_decay)


def rmsprop(*, lr: Rate, alpha: Momentum, eps: Rate, momentum: Momentum, weight_decay: NonNegative) -> Create:
    """Rates divided by a running root mean square of the gradient (Hinton 2012)."""
    return partial(torch.optim.RMSprop, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


def adam(*, lr: Rate, betas: Betas, eps: Rate, weight_decay: NonNegative) -> Create:
    """Adaptive moments (Kingma & Ba 2015)."""
    return partial(torch.optim.Adam, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, fused=True)


def adamw(*, lr: Rate, betas: Betas, eps: Rate, weight_decay: NonNegative) -> Create:
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019)."""
    return partial(torch.optim.AdamW, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, fused=True)


def lbfgs(
    *,
    lr: Rate,
    max_iter: Annotated[int, Field(gt=0)],
    history_size: Annotated[int, Field(gt=0)],
    line_search_fn: Literal["strong_wolfe"] | None,
) -> Create:
    """Limited-memory BFGS (Liu & Nocedal 1989); evaluates the loss several times a step, so the loss must be deterministic."""
    return partial(
        torch.optim.LBFGS, lr=lr, max_iter=max_iter, history_size=history_size, line_search_fn=line_search_fn
    )


@dataclass(frozen=True)
class Recipe:
    """How a family makes its optimizers: optimizer(parameters), with schedule and clipping noted in the parameter group."""

    create: Create
    schedule: Schedule
    """Course of the rate after the warm-up: constant, or falling to 0 at the end along a line or half a cosine."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Share of the training over which the rate rises linearly from 0."""
    clip: Annotated[float, Field(gt=0)] | None
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
        return max(progress / warmup, 1e-3)  # the first update happens at progress 0 and should not be void
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
        if isinstance(group["lr"], Tensor):  # of recorded updates (replay.py), which read it from there
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def reads_rate_from_memory(optimizer: Optimizer) -> bool:
    """Whether its rate may be a tensor, read on the device at each step."""
    return isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW | torch.optim.SGD) and all(
        group["fused"] for group in optimizer.param_groups
    )
