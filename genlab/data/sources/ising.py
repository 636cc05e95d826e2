"""Spins of the two-dimensional Ising model on a periodic square lattice, from our own Monte Carlo (lattice/monte_carlo.py).

Spins -1 and +1 are stored as 0 and 1: binary pictures (1, L, L). With several temperatures the class of an example is the
index of its temperature, so that a conditional family can model each. Configurations are made once and kept in the folder
`ising` of the data root (of the user's cache, where that cannot be written), one file for each temperature, under a hash of
all settings, with the recipe inside.

p(s) = exp(-E(s)/T)/Z is known for every s and L, since Z is (lattice/exact.py); so is the entropy, ln Z + <E>/T. With several
temperatures, all equally frequent, p(s) is the mean over them.
"""

import hashlib
import json
import logging
import math
import os
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor

from genlab.data.dataset import RawData
from genlab.data.download import data_root, foreign_root, locked
from genlab.data.examples import Examples
from genlab.errors import GenlabError
from genlab.lattice import monte_carlo
from genlab.lattice.exact import MOST_SITES, Enumeration, onsager_energy, onsager_magnetisation, thermodynamics
from genlab.lattice.observables import ALLOWED, energy
from genlab.lattice.statistics import Means, derived, primitives
from genlab.numerics.rng import derive

log = logging.getLogger(__name__)

Temperature = Annotated[float, Field(ge=0.1, le=1000)]


class Ising:
    """What is known of the spins at `temperatures`, each as often as the others. Spins are given as 0 and 1, (n, 1, L, L)."""

    discrete = True
    spins = True
    observables = tuple(ALLOWED)

    def __init__(self, side: int, temperatures: tuple[float, ...]) -> None:
        self.side, self.temperatures = side, temperatures

    def log_prob(self, x: Tensor) -> Tensor:
        E = self.side**2 * energy(2 * x.cpu().double().flatten(0, 1) - 1)
        each = [-E / T - thermodynamics(self.side, T).log_z for T in self.temperatures]
        return torch.stack(each).logsumexp(0) - math.log(len(each))

    def exact(self, name: str, temperature: float | None) -> float | None:
        if temperature is None:
            return None
        if name in ("energy", "specific_heat"):
            found = thermodynamics(self.side, temperature)
            return found.energy if name == "energy" else found.specific_heat
        return self._enumerated(temperature).get(name) if self.side**2 <= MOST_SITES else None

    def _enumerated(self, temperature: float) -> dict[str, float]:
        lattice = enumeration(self.side)
        means = {name: lattice.mean(temperature, values) for name, values in _contributions(self.side).items()}
        return {name: float(value) for name, value in derived(means, self.side**2, temperature).items()}

    def infinite(self, name: str, temperature: float) -> float | None:
        """Of the infinite lattice: energy and magnetisation per site (Onsager 1944; Yang 1952)."""
        known = {"energy": onsager_energy, "magnetisation": onsager_magnetisation}
        return known[name](temperature) if name in known else None

    def entropy(self) -> float | None:
        """-E log p in nats; None for several temperatures, where it is no derivative of ln Z."""
        return thermodynamics(self.side, self.temperatures[0]).entropy if len(self.temperatures) == 1 else None

    def states(self) -> Tensor | None:
        """All configurations (2^N, 1, L, L), where these are few."""
        return (enumeration(self.side).spins.unsqueeze(1) + 1) / 2 if self.side**2 <= MOST_SITES else None


@lru_cache(maxsize=1)
def enumeration(side: int) -> Enumeration:
    return Enumeration(side)


@lru_cache(maxsize=1)
def _contributions(side: int) -> Means:
    return primitives(enumeration(side).spins, tuple(ALLOWED))


def ising(
    *,
    root: str | None,
    size: Annotated[int, Field(ge=4, le=256)],
    temperature: Temperature | Annotated[list[Temperature], Field(min_length=1)],
    examples: Annotated[int, Field(ge=10)],
    seed: Annotated[int, Field(ge=0)],
) -> RawData:
    """`examples` configurations of `size` x `size` spins at each temperature: uint8 (n, 1, size, size) of 0 and 1.

    Raises GenlabError for an odd size, for a temperature that is listed twice, and where nothing can be written.
    """
    if size % 2:
        raise GenlabError(
            f"dataset.size={size}: the two colours of a checkerboard need an even side; set {size - 1} or {size + 1}"
        )
    listed = temperature if isinstance(temperature, list) else [temperature]
    if len(set(listed)) < len(listed):
        raise GenlabError(f"dataset.temperature={listed}: one is listed twice; name each once")
    parts = [_kept(root, size, float(T), examples, seed) for T in listed]
    y = torch.arange(len(listed)).repeat_interleave(examples) if len(listed) > 1 else None
    x = torch.from_numpy(np.concatenate(parts)).unsqueeze(1)
    truth = Ising(size, tuple(float(T) for T in listed))
    names = tuple(f"T={T:g}" for T in listed) if y is not None else None
    classes = None if names is None else len(names)
    return RawData("ising", Examples(x, y), None, levels=2, num_classes=classes, truth=truth, class_names=names)


def _path(root: str | None, name: str) -> Path:
    """The path of a file: under the data root, or in the user's cache where the root cannot be written."""
    folder = data_root(root)
    there = next(path for path in (folder, *folder.parents) if path.exists())
    path = folder / "ising" / name
    writable = os.access(there, os.W_OK) and foreign_root.get() is None
    return path if path.exists() or writable else data_root(None) / "ising" / name


def _kept(root: str | None, size: int, temperature: float, examples: int, seed: int) -> npt.NDArray[np.uint8]:
    """Spins (examples, size, size) of 0 and 1 from their file, which is made if it does not exist."""
    decides = [monte_carlo.RECIPE, size, temperature, examples, seed]
    digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:12]
    path = _path(root, f"{size}x{size}_T{temperature:g}_n{examples}_{digest}.npz")
    if not path.exists():
        with locked(path):
            if not path.exists():
                _make(path, size, temperature, examples, derive(seed, "ising", size, repr(temperature)))
    try:
        with np.load(path, allow_pickle=False) as found:
            bits = np.unpackbits(found["packed"], axis=1, count=size * size)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise GenlabError(
            f"dataset=ising: {path} cannot be read ({reason}); delete it, and it will be made anew"
        ) from error
    return bits.reshape(-1, size, size)


def _make(path: Path, size: int, temperature: float, examples: int, seed: int) -> None:
    log.info(
        f"ising: {examples:,} configurations of {size}x{size} spins at T = {temperature:g}, made once and kept in {path}"
    )
    x, report = monte_carlo.sample(size, temperature, examples, seed)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, packed=np.packbits(x.reshape(len(x), -1), axis=1), recipe=report.text())
        partial.replace(path)
    except OSError as error:
        raise GenlabError(
            f"dataset=ising: {path} cannot be written ({error.strerror or error}); set dataset.root to another folder"
        ) from error
