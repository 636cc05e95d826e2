"""Independent configurations of the Ising model: many lattices at once, by clusters and by single spins.

A step of every lattice is one cluster update of Swendsen & Wang (1987) and one sweep of Metropolis over the two colours of a
checkerboard, whose sites do not see each other. Clusters make the correlation time at T_c nearly independent of L; single spins
decorrelate what clusters are slow at. A cluster update joins equal neighbours with probability 1 - exp(-2/T) and gives each
connected part a new sign; the parts of all lattices are found in one pass, as those of one sparse graph.

Half of the lattices start cold and half hot. They run, twice as long each time, until (a) the second half of the run is longer
than ten integrated autocorrelation times tau = 1 + 2 sum rho(t) (Sokal 1997), of the energy or of |m|, whichever is longer, and
(b) cold and hot starts agree in both within four standard errors. Then a configuration of each is taken every 3 tau steps.
"""

import json
import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from genlab.metrics.convergence import autocorrelation_time

Spins = npt.NDArray[np.int8]

RECIPE = "swendsen-wang + checkerboard metropolis, 1"  # to be changed with anything that changes the configurations
LATTICES = 256  # at once, at most
FIRST = 32  # steps of the first run
AGREE = 4.0  # standard errors between cold and hot starts
APART = 3.0  # tau between two configurations of one lattice


@dataclass(frozen=True)
class Report:
    """How configurations came to be."""

    recipe: str
    side: int
    temperature: float
    examples: int
    seed: int
    lattices: int
    steps_discarded: int
    autocorrelation_time: float
    """tau in steps, of the slower of energy and |m|."""
    steps_between: int

    def text(self) -> str:
        return json.dumps(asdict(self))


class Lattices:
    """`count` periodic lattices of side x side spins at one temperature; the side is even."""

    def __init__(self, count: int, side: int, temperature: float, seed: int) -> None:
        assert side % 2 == 0, "a checkerboard needs an even side"
        self.random = np.random.Generator(np.random.SFC64(seed))
        self.side, self.temperature = side, temperature
        hot = self.random.integers(0, 2, (count, side, side), dtype=np.int8) * 2 - 1
        cold = np.ones((count, side, side), np.int8)
        self.spins: Spins = np.where((np.arange(count) % 2 == 0)[:, None, None], cold, hot).astype(np.int8)
        site = np.arange(count * side * side, dtype=np.int32).reshape(count, side, side)
        self.neighbours = np.stack([np.roll(site, -1, 2).ravel(), np.roll(site, -1, 1).ravel()], 1)
        i, j = np.indices((side, side))
        self.colours = [(i + j) % 2 == colour for colour in (0, 1)]
        # exp(-dE/T) by s_i times the sum of its neighbours, -4 to 4.
        field = np.arange(-4, 5)
        self.acceptance = np.exp(np.minimum(0, -2 * field / temperature)).astype(np.float32)

    def step(self) -> None:
        self.clusters()
        self.sweep()

    def sweep(self) -> None:
        """Metropolis at every site, one colour after the other."""
        s = self.spins
        for colour in self.colours:
            field = s * (np.roll(s, 1, 1) + np.roll(s, -1, 1) + np.roll(s, 1, 2) + np.roll(s, -1, 2))
            accepted = self.random.random(s.shape, np.float32) < self.acceptance[field + 4]
            np.negative(s, out=s, where=accepted & colour)

    def clusters(self) -> None:
        """A new sign for every cluster of every lattice."""
        flat = self.spins.ravel()
        joined = flat[:, None] == flat[self.neighbours]
        joined &= self.random.random(joined.shape, np.float32) < -math.expm1(-2 / self.temperature)
        ends = np.concatenate([[0], joined.sum(1, dtype=np.int32).cumsum(dtype=np.int32)])
        bonds = self.neighbours[joined]
        graph = csr_matrix((np.ones(len(bonds), np.int8), bonds, ends), shape=(len(flat), len(flat)))
        number, cluster = connected_components(graph, directed=False)
        signs = self.random.integers(0, 2, number, dtype=np.int8) * 2 - 1
        flat *= signs[cluster]

    def observed(self) -> npt.NDArray[np.float64]:
        """Energy and |m| per site of each lattice, (2, count)."""
        s = self.spins
        bonds = s * (np.roll(s, -1, 1) + np.roll(s, -1, 2))
        return np.stack([-bonds.mean((1, 2)), np.abs(s.mean((1, 2)))])

    def run(self, steps: int) -> npt.NDArray[np.float64]:
        """So many steps; energy and |m| after each, (2, count, steps)."""
        found = []
        for _ in range(steps):
            self.step()
            found.append(self.observed())
        return np.stack(found, 2)


def sample(side: int, temperature: float, examples: int, seed: int) -> tuple[npt.NDArray[np.bool_], Report]:
    """`examples` configurations (examples, side, side), true where the spin is up, and how they were made."""
    count = min(LATTICES, max(2, examples))
    lattices = Lattices(count, side, temperature, seed)
    discarded, tau = thermalise(lattices)
    between = math.ceil(APART * tau)
    taken: list[npt.NDArray[np.bool_]] = []
    for _ in range(-(-examples // count)):
        for _ in range(between):
            lattices.step()
        taken.append(lattices.spins > 0)
    report = Report(RECIPE, side, temperature, examples, seed, count, discarded, round(tau, 3), between)
    return np.concatenate(taken)[:examples], report


def thermalise(lattices: Lattices) -> tuple[int, float]:
    """Run until equilibrium; returns the number of steps and tau."""
    steps, total = FIRST, 0
    while True:
        late = lattices.run(steps)[:, :, steps // 2 :]
        total += steps
        tau = max(autocorrelation_time(torch.from_numpy(observable)) for observable in late)
        if steps / 2 >= 10 * tau and _starts_agree(late):
            return total, tau
        steps *= 2


def _starts_agree(late: npt.NDArray[np.float64]) -> bool:
    """Whether lattices that started cold, the even ones, have the energy and |m| of the others, from (2, count, steps)."""
    means = late.mean(2)
    cold, hot = means[:, ::2], means[:, 1::2]
    if hot.shape[1] < 2:
        return True  # two lattices have no scatter to judge by
    error = np.sqrt(cold.var(1, ddof=1) / cold.shape[1] + hot.var(1, ddof=1) / hot.shape[1])
    return bool((np.abs(cold.mean(1) - hot.mean(1)) <= AGREE * error + 1e-12).all())
