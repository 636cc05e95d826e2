"""Randomness that a run owns: seeds derived by name, and scopes that leave the training stream untouched."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlab.numerics.work import NUMBERS_PER_SECOND, spend

ONE_THREAD = 2**17
"""Most draws that one thread makes faster than two, which would take each other's numbers from cache to cache."""


def derive(seed: int, *path: str | int) -> int:
    """An independent 63-bit seed for the purpose named by `path`, e.g. derive(seed, "order", epoch)."""
    digest = hashlib.sha256(repr((seed, *path)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def get_state(device: torch.device) -> dict[str, Any]:
    """States of the generators that a run on `device` draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_state(state: dict[str, Any], device: torch.device) -> None:
    """Restore what `get_state` returned. The state of a device that is not in use is ignored."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"].cpu())


def normal_like(x: Tensor) -> Tensor:
    """Independent draws from N(0, 1), in the shape and the type of x.

    On a CPU, where torch's draws take twice as long, each draw is one of 65,536 equally probable quantiles, by 16 random
    bits. Variance and kurtosis are those of N(0, 1) to 3e-4; none is larger than 4.33, which one in 70,000 would be.
    """
    if x.device.type != "cpu" or x.dtype == torch.float64:
        return torch.randn_like(x)
    bits = torch.empty(x.numel() // 4 + 1, dtype=torch.int64).random_(-(2**63), None)
    index = bits.view(torch.int16)[: x.numel()].to(torch.int32).add_(2**15)
    return _quantiles(x.dtype).index_select(0, index).view(x.shape)


@cache
def _quantiles(dtype: torch.dtype) -> Tensor:
    p = (torch.arange(2**16, dtype=torch.float64) + 0.5) / 2**16
    z = math.sqrt(2) * torch.erfinv(2 * p - 1)
    return (z / z.square().mean().sqrt()).to(dtype)


@contextmanager
def seeded(seed: int, *path: str | int, device: torch.device) -> Iterator[None]:
    """Within the block every generator starts from a seed of its own. After it, the generators are as they were before."""
    before = get_state(device)
    torch.manual_seed(derive(seed, *path))
    try:
        yield
    finally:
        set_state(before, device)


def bernoulli(p: Tensor, *, scale: float = 1.0, out: Tensor | None = None) -> Tensor:
    """Independent draws, 1 with probability `scale` * p and else 0, in the shape of p; written to `out` if that is given.

    Floats of the type of p, and float32 for integers.

    torch.bernoulli takes most of a Gibbs sweep on a CPU. There, four draws are made of one random 64-bit number: u of 16 bits is
    compared with 2^16 p - delta, where one delta in (0, 1) serves the whole call. Averaged over delta a draw is 1 with the
    probability p to within 2^-24; that draws share delta correlates them by less than 2^-32.
    """
    if out is None:
        out = torch.empty(p.shape, dtype=p.dtype if p.is_floating_point() else torch.float32, device=p.device)
    if p.device.type != "cpu" or p.dtype == torch.float64:
        return torch.lt(torch.rand(p.shape, dtype=out.dtype, device=p.device), p * scale, out=out)
    n = p.numel()
    bits = torch.empty(n // 4 + 1, dtype=torch.int64).random_(-(2**63), None).numpy()
    delta = ((int(bits[-1]) >> 56 & 127) + 0.5) / 128  # of bits that no draw uses; 2^15 + delta is a float32
    u = bits.view(np.int16)[:n].reshape(p.shape)  # -32768..32767
    if n > ONE_THREAD or p.dtype not in (torch.float32, torch.uint8):
        torch.add(torch.tensor(-(2**15 + delta)), p, alpha=2**16 * scale, out=out)
        return torch.lt(torch.from_numpy(u), out, out=out)
    t = np.multiply(p.detach().numpy(), np.float32(2**16 * scale), out=out.numpy())
    np.subtract(t, np.float32(2**15 + delta), out=t)
    np.less(u.astype(np.float32), t, out=t)
    spend(3 * n / NUMBERS_PER_SECOND)
    return out
