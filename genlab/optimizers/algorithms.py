"""The optimizers, by the names of their files in conf/optimizer.

Each function is the schema of one file: its arguments are the keys, its annotations their types and ranges. It returns the
function that makes the optimizer from a list of parameters.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch.optim import Optimizer

from genlab.config.types import Count, Fraction, NonNegative, Positive, Share
from genlab.optimizers.eager import EagerAdagrad, EagerAdam, EagerAdamW, EagerRMSprop, EagerSGD

Betas = Annotated[list[Share], Field(min_length=2, max_length=2)]
Create = Callable[[list[Any]], Optimizer]


def sgd(*, lr: Positive, weight_decay: NonNegative) -> Create:
    """Stochastic gradient descent, theta <- theta - lr g."""
    return partial(EagerSGD, lr=lr, weight_decay=weight_decay)


def momentum(*, lr: Positive, momentum: Share, weight_decay: NonNegative) -> Create:
    """Heavy ball, v <- momentum v + g; theta <- theta - lr v (Polyak 1964)."""
    return partial(EagerSGD, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=True)


def nesterov(*, lr: Positive, momentum: Fraction, weight_decay: NonNegative) -> Create:
    """Nesterov's accelerated gradient (Nesterov 1983, in the form of Sutskever et al. 2013)."""
    return partial(EagerSGD, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=True, fused=True)


def adagrad(*, lr: Positive, eps: Positive, weight_decay: NonNegative) -> Create:
    """Rates divided by the root of the summed squared gradients (Duchi et al. 2011)."""
    return partial(EagerAdagrad, lr=lr, eps=eps, weight_decay=weight_decay)


def rmsprop(*, lr: Positive, alpha: Share, eps: Positive, momentum: Share, weight_decay: NonNegative) -> Create:
    """Rates divided by a running root mean square of the gradient (Hinton 2012)."""
    return partial(EagerRMSprop, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


def adam(*, lr: Positive, betas: Betas, eps: Positive, weight_decay: NonNegative) -> Create:
    """Adaptive moments (Kingma & Ba 2015)."""
    return partial(EagerAdam, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, fused=True)


def adamw(*, lr: Positive, betas: Betas, eps: Positive, weight_decay: NonNegative) -> Create:
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter 2019)."""
    return partial(EagerAdamW, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay, fused=True)


def lbfgs(
    *,
    lr: Positive,
    max_iter: Count,
    history_size: Count,
    line_search_fn: Literal["strong_wolfe"] | None,
) -> Create:
    """Limited-memory BFGS (Liu & Nocedal 1989); evaluates the loss several times a step, so the loss must be deterministic."""
    return partial(
        torch.optim.LBFGS, lr=lr, max_iter=max_iter, history_size=history_size, line_search_fn=line_search_fn
    )
