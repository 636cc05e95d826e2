"""Randomness that a run owns: seeds derived by name, and scopes that leave the training stream untouched."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
    """Put back what `get_state` returned. A state of a device that is not in use now is left aside."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"].cpu())


@contextmanager
def seeded(seed: int, *path: str | int, device: torch.device) -> Iterator[None]:
    """Inside, every generator starts from a seed of its own; outside, it is as if nothing had been drawn."""
    before = get_state(device)
    torch.manual_seed(derive(seed, *path))
    try:
        yield
    finally:
        set_state(before, device)
