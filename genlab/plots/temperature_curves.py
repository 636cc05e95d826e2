"""Figures of lattices: distributions of observables and correlations beside Monte Carlo, and observables against temperature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from genlab.metrics.estimate import Estimate
from genlab.plots.charts import drawn
from genlab.plots.images import Picture

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8a8b"  # as in plots/style.py; matplotlib ships it
LABELS = {
    "energy": "energy per site  e",
    "magnetisation": "|magnetisation|  ⟨|m|⟩",
    "specific_heat": "specific heat  c",
    "susceptibility": "susceptibility  χ",
    "binder": "Binder cumulant  U",
}
MOST_BINS = 40
FIRST = ("energy", "specific_heat", "magnetisation", "susceptibility")


@dataclass(frozen=True)
class Distribution:
    """One observable of each configuration: of samples (n,), and of Monte Carlo (m,)."""

    name: str
    ours: Tensor
    theirs: Tensor


@dataclass(frozen=True)
class AgainstTemperature:
    """A quantity at one temperature: of samples, of Monte Carlo, and exactly where that is known."""

    temperature: float
    ours: Estimate
    theirs: Estimate
    exact: float | None


@runtime_checkable
class _KnowsExact(Protocol):
    def exact(self, name: str, temperature: float | None) -> float | None: ...


@runtime_checkable
class _KnowsInfinite(Protocol):
    def infinite(self, name: str, temperature: float) -> float | None: ...


def distributions(
    shown: Sequence[Distribution], correlations: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]] | None
) -> Picture:
    """A histogram for each observable, and G(r) with its errors, of samples and of Monte Carlo."""
    import matplotlib as mpl

    from genlab.plots.style import SETTINGS

    count = len(shown) + (correlations is not None)

    def paint(figure: Any) -> None:
        every = list(np.atleast_1d(figure.subplots(1, count)))
        for axes, one in zip(every, shown, strict=False):
            both = np.concatenate([one.ours.numpy(), one.theirs.numpy()])
            edges = _edges(both)
            axes.hist(one.theirs.numpy(), edges, density=True, color=GREY, alpha=0.45, label="Monte Carlo")
            axes.hist(one.ours.numpy(), edges, density=True, histtype="step", color=BLUE, linewidth=1.4, label="model")
            axes.set_xlabel("energy per site  e" if one.name == "energy" else "magnetisation  m")
            axes.set_ylabel("probability density")
        if correlations is not None:
            axes = every[-1]
            r = np.arange(1, len(correlations[0][0]) + 1)
            for (values, errors), colour, marker, name in zip(
                correlations, (BLUE, GREY), ("o", "s"), ("model", "Monte Carlo"), strict=True
            ):
                style = {"fmt": marker, "markersize": 4, "capsize": 2, "linewidth": 0.9}
                axes.errorbar(r, values.numpy(), yerr=errors.numpy(), color=colour, label=name, **style)
            axes.set_xlabel("distance r along the axes")
            axes.set_ylabel("correlation  ⟨s(x) s(x+r)⟩")
            axes.xaxis.get_major_locator().set_params(integer=True)
        every[0].legend(loc="best")

    with mpl.rc_context(SETTINGS):
        return drawn(paint, (3.0 * count, 2.7), dpi=130)


def _edges(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """At most MOST_BINS bins. Discrete values, as those of spins are, are shared out evenly among the bins."""
    levels = np.unique(values.round(9))
    low, high = float(levels[0]), float(levels[-1])
    step = float(np.diff(levels).min()) if len(levels) > 1 else 1.0
    rungs = (high - low) / step + 1
    if rungs > 10_000:
        width = (high - low) / MOST_BINS
    else:
        width = step * np.ceil(rungs / MOST_BINS)
        low = low - step / 2
    edges: np.ndarray[Any, Any] = low + width * np.arange(np.ceil((high - low) / width) + 1)
    return edges


def against_temperature(curves: Mapping[str, Sequence[AgainstTemperature]], truth: object) -> Picture:
    """Energy, specific heat, |m| and susceptibility against T: exact curves, Monte Carlo, samples, all with their errors."""
    import matplotlib as mpl

    from genlab.plots.style import SETTINGS

    names = [name for name in FIRST if name in curves]

    def paint(figure: Any) -> None:
        rows = -(-len(names) // 2)
        for k, name in enumerate(names):
            axes = figure.add_subplot(rows, 2, k + 1)
            points = sorted(curves[name], key=lambda point: point.temperature)
            T = np.array([point.temperature for point in points])
            line = np.linspace(T[0], T[-1], 120)
            if isinstance(truth, _KnowsExact) and points[0].exact is not None:
                axes.plot(line, [truth.exact(name, t) for t in line.tolist()], color="black", lw=1, label="exact")
            if isinstance(truth, _KnowsInfinite) and truth.infinite(name, float(T[0])) is not None:
                infinite = [truth.infinite(name, t) for t in line.tolist()]
                axes.plot(line, infinite, color=GREY, lw=0.9, ls=":", label="infinite lattice")
            for series, colour, marker, label in (
                ([p.theirs for p in points], GREY, "s", "Monte Carlo"),
                ([p.ours for p in points], ORANGE, "o", "model"),
            ):
                values, errors = [m.value for m in series], [m.stderr for m in series]
                style = {"fmt": marker, "markersize": 4, "capsize": 2, "linewidth": 0.9}
                axes.errorbar(T, values, yerr=errors, color=colour, label=label, **style)
            axes.set_xlabel("temperature T")
            axes.set_ylabel(LABELS[name])
            if k == 0:
                axes.legend(loc="best")

    with mpl.rc_context(SETTINGS):
        return drawn(paint, (7.0, 2.7 * -(-len(names) // 2)), dpi=130)
