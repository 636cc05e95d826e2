"""Each batch is dealt out like cards: to several processes (device.processes), or to several turns (train.accumulate).

Of n shares, share i holds the examples i, i + n, i + 2n, ... of every batch. The gradient of a mean over examples is the mean of
the gradients of the shares. What is no mean over examples asks `whole_mean` for the mean over all processes, or is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from genlab.numerics import ranks

LARGE = 2**18
"""Numbers in a gradient that travels on its own. Smaller ones travel together."""


@dataclass
class _Dealt:
    rank: int = 0
    processes: int = 1
    turn: int = 0
    turns: int = 1


_dealt = _Dealt()


@contextmanager
def dealt(turns: int = 1) -> Iterator[None]:
    """Within the block each batch is dealt out to all processes, and in each of them to so many turns."""
    before = dict(vars(_dealt))
    vars(_dealt).update(rank=ranks.rank() if ranks.world() > 1 else 0, processes=ranks.world(), turn=0, turns=turns)
    try:
        yield
    finally:
        vars(_dealt).update(before)


def number() -> int:
    """Which share this process computes in this turn."""
    return _dealt.turn * _dealt.processes + _dealt.rank


def count() -> int:
    """Number of shares of a batch."""
    return _dealt.processes * _dealt.turns


def processes() -> int:
    """Number of processes to which batches are dealt out."""
    return _dealt.processes


def mine(rows: Tensor, turn: int | None = None) -> Tensor:
    """Those of `rows` (n, ...) that belong to this share, or to that of another `turn` of this process."""
    if count() == 1:
        return rows
    return rows[(number() if turn is None else turn * _dealt.processes + _dealt.rank) :: count()]


def places(n: int, device: torch.device) -> Tensor:
    """The places 0 ... n - 1 of this share's examples, in random order, as places in the whole batch: (n,)."""
    order = torch.randperm(n, device=device)
    return order if count() == 1 else order * count() + number()


def even_times(n: int, device: torch.device) -> Tensor:
    """Times of n examples, in random order, which cover [0, 1) evenly; so do those of all shares together: (n,)."""
    return (places(n, device) + torch.rand((), device=device)) / (n * count())


# Turns: one update in several parts, one after the other.


def turns() -> int:
    return _dealt.turns


def each_turn() -> Iterator[int]:
    """The turns of one update; share and `first_turn` follow."""
    for turn in range(_dealt.turns):
        _dealt.turn = turn
        yield turn


def first_turn() -> bool:
    return _dealt.turn == 0


def last_turn() -> bool:
    """Whether the parameters move in this turn."""
    return _dealt.turn == _dealt.turns - 1


# Means over all processes.


class _WholeMean(torch.autograd.Function):
    """The mean over processes. Each process descends the mean of all losses, so that its gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return ranks.add_up(x.detach().clone()) / _dealt.processes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return ranks.add_up(gradient.clone()) / _dealt.processes


def whole_mean(x: Tensor) -> Tensor:
    """The mean of x over all processes, with its derivative: what a mean over the examples of this process becomes."""
    if _dealt.processes == 1:
        return x
    mean: Tensor = _WholeMean.apply(x)
    return mean


def whole_sum(x: Tensor) -> Tensor:
    """The sum of x over all processes, with its derivative."""
    return _dealt.processes * whole_mean(x) if _dealt.processes > 1 else x


def whole_rows(rows: Tensor) -> Tensor:
    """The rows (n, ...) of all processes in the order of the whole batch: (n * processes, ...), without derivative."""
    if _dealt.processes == 1:
        return rows
    return torch.stack(ranks.everyones(rows.detach()), 1).flatten(0, 1)


def picked(rows: Tensor, index: Tensor, width: int) -> Tensor:
    """Rows (k, dim) of the whole batch, by the `index` (k,) of rank 0.

    `rows` (n * width, dim) are those of this process, `width` of each example.
    """
    if _dealt.processes == 1:
        return rows[index]
    ranks.hand_out([index])
    example, place = index // width, index % width
    own = (example % _dealt.processes == _dealt.rank).unsqueeze(1)
    found = rows[(example // _dealt.processes * width + place).clamp_max(len(rows) - 1)]
    return ranks.add_up(torch.where(own, found, torch.zeros_like(found)))


def moments(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, int]:
    """Mean and variance (divided by n) along `axes` over all processes, and the number n of values in each."""
    mean = whole_mean(x.mean(list(axes), keepdim=True))
    variance = whole_mean((x - mean).square().mean(list(axes)))
    n = _dealt.processes * x.numel() // max(1, variance.numel())
    return mean.view(variance.shape), variance, n


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Every gradient becomes the mean over all processes. One of few numbers that no process has stays None."""
    if _dealt.processes == 1:
        return
    trained = [
        p for p in parameters if p.requires_grad and not hasattr(p, "placements")
    ]  # sharded ones are averaged already
    small: dict[tuple[torch.device, torch.dtype], list[nn.Parameter]] = {}
    messages = []
    for p in trained:
        if p.numel() >= LARGE:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            messages.append(p.grad.div_(_dealt.processes))
        else:
            small.setdefault((p.device, p.dtype), []).append(p)
    together = []
    for (device, kind), group in small.items():
        there = torch.tensor([float(p.grad is not None) for p in group], device=device, dtype=kind)
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in group] + [there])
        together.append(flat.div_(_dealt.processes))
    ranks.add_up_all([*messages, *together])
    for flat, group in zip(together, small.values(), strict=True):
        *gradients, there = flat.split([*(p.numel() for p in group), len(group)])
        for i, (p, gradient) in enumerate(zip(group, gradients, strict=True)):
            if p.grad is not None:
                p.grad.copy_(gradient.view_as(p))
            elif there[i] > 0:
                p.grad = gradient.view_as(p).clone()


# State whose rows belong to the shares of a batch: persistent chains, replay buffers.


@torch.no_grad()
def collect(model: nn.Module) -> None:
    """Every process has the newest of all rows that are dealt out (`dealt_rows` of the modules of a model)."""
    if _dealt.processes == 1:
        return
    for part in model.modules():
        for name in getattr(part, "dealt_rows", ()):
            rows = part.get_buffer(name)
            own = rows[_dealt.rank :: _dealt.processes]
            longest = -(-len(rows) // _dealt.processes)
            padded = torch.cat([own, own.new_zeros(longest - len(own), *own.shape[1:])])
            for i, found in enumerate(ranks.everyones(padded)):
                rows[i :: _dealt.processes] = found[: len(rows[i :: _dealt.processes])]
