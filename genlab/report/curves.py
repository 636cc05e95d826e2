"""Learning curves: the mean over seeds and its spread, one panel for each comparable loss.

A loss is comparable within one family on one representation of one data set, so each of these has a panel of its own.
Measures that mean the same for every family (ELBO, log-likelihood, accuracy, squared error) share one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from genlab.plots.style import Drawing, colour, figure, line, save
from genlab.report.read_runs import Run
from genlab.report.rows import Row
from genlab.report.side_by_side import draw_all

Array = npt.NDArray[np.float64]

YARDSTICKS = ("elbo", "log_likelihood", "bits_per_dim", "accuracy", "mse")
UNITS = {
    "elbo": "ELBO (nats)",
    "log_likelihood": "log-likelihood (nats)",
    "bits_per_dim": "bits per dimension",
    "kl": "KL divergence (nats)",
    "reconstruction": "reconstruction term (nats)",
    "mse": "squared error per example",
    "reconstruction_error": "reconstruction error per example",
}
MOST_TERMS = 8  # of one family
MOST_NAMES = 8  # rows in a legend; beyond that the figure legend.pdf has them all


@dataclass(frozen=True)
class Series:
    """Mean over seeds at `examples` seen and `seconds` of training; `spread` is the sample standard deviation."""

    row: Row
    examples: Array
    seconds: Array
    mean: Array
    spread: Array | None
    seeds: int


@dataclass(frozen=True)
class Panel:
    """One term for the rows for which it means the same; `main` panels are shown first."""

    term: str
    split: str
    title: str
    main: bool
    series: list[Series]
    training: list[Series]


@dataclass(frozen=True)
class CurvePair:
    panel: Panel
    by_examples: Drawing
    by_seconds: Drawing | None
    """Of the main panels alone."""


def make_panels(rows: Sequence[Row]) -> list[Panel]:
    """Losses of each family first, then shared yardsticks, then each family's own terms."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        run = row.runs[0]
        groups.setdefault((run.family, run.dataset, run.prepared), []).append(row)
    terms = {key: _terms(members) for key, members in groups.items()}
    owners: dict[tuple[str, str, str], list[tuple[str, str, str]]] = {}
    for key, names in terms.items():
        for term in names:
            if term in YARDSTICKS:
                owners.setdefault((term, *key[1:]), []).append(key)
    shared = {place: keys for place, keys in owners.items() if len(keys) > 1}
    panels: list[Panel | None] = []
    for key, members in groups.items():
        panels += [_panel("loss", members, f"loss of {key[0]}, {key[1]}, {key[2]}", True)]
    for (term, dataset, prepared), keys in shared.items():
        members = [row for key in keys for row in groups[key]]
        panels += [_panel(term, members, f"{term}, all families, {dataset}, {prepared}", True)]
    for key, members in groups.items():
        own = [t for t in terms[key] if t != "loss" and (t, *key[1:]) not in shared and not _repeats_loss(t, members)]
        first = not any("loss" in _names(run) for row in members for run in row.runs)
        panels += [_panel(t, members, f"{t} of {key[0]}, {key[1]}, {key[2]}", first) for t in own[:MOST_TERMS]]
    return [panel for panel in panels if panel is not None]


def draw_curves(panels: Sequence[Panel], folder: Path) -> list[CurvePair]:
    """Each panel against examples seen, and the main ones against seconds too, as files in `folder`."""
    tasks: list[Callable[[], Drawing]] = []
    places: list[tuple[Panel, int, int | None]] = []  # of its figures among the tasks
    taken: set[str] = set()
    for panel in panels:
        base = f"curve_{_slug(panel.title.partition(' (')[0].partition(', ')[0])}"
        name = next(n for n in (base, *(f"{base}_{k}" for k in range(2, len(panels) + 2))) if n not in taken)
        taken.add(name)
        places.append((panel, len(tasks), len(tasks) + 1 if panel.main else None))
        tasks += [partial(_draw, panel, axis, folder, name) for axis in ("examples", "seconds")[: 1 + panel.main]]
    drawn = draw_all(tasks, "learning curves")
    return [CurvePair(panel, drawn[one], None if other is None else drawn[other]) for panel, one, other in places]


def _draw(panel: Panel, axis: str, folder: Path, name: str) -> Drawing:
    legend = len(panel.series) if len(panel.series) <= MOST_NAMES else 0
    columns = 2 if max((len(s.row.label) for s in panel.series), default=0) <= 20 else 1
    with figure(2.35 + 0.17 * -(-legend // columns)) as drawn:
        axes = drawn.add_subplot()
        for series in panel.training:
            x = getattr(series, axis)
            axes.plot(x, series.mean, color=colour(series.row.number), linewidth=0.5, alpha=0.55)
        for series in panel.series:
            x, hue = getattr(series, axis), colour(series.row.number)
            axes.plot(x, series.mean, color=hue, linestyle=line(series.row.number), label=series.row.label)
            if series.spread is not None:
                low, high = series.mean - series.spread, series.mean + series.spread
                axes.fill_between(x, low, high, color=hue, alpha=0.2, linewidth=0)
        axes.set_ylim(*_limits(panel))
        axes.set_xlabel("examples seen" if axis == "examples" else "training time (s)")
        axes.set_ylabel(f"{UNITS.get(panel.term, panel.term.replace('_', ' '))}")
        axes.margins(x=0.02)
        _ticks(axes, axis)
        if legend:
            drawn.legend(loc="outside lower center", ncols=columns)
        what = "seconds of training" if axis == "seconds" else "examples seen"
        suffix = "_seconds" if axis == "seconds" else ""
        return save(drawn, folder, name + suffix, f"{panel.title}: {panel.split} split against {what}")


def _ticks(axes: Axes, axis: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if axis == "examples":
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: f"{x / 1e6:g}M" if x >= 1e6 else f"{x / 1e3:g}k" if x else "0")
        )


def _limits(panel: Panel) -> tuple[float, float]:
    """Range of the values after the first twentieth of the training, whose steep start would flatten all the rest."""
    late, everything = [], []
    for series in panel.series:
        spread = np.zeros_like(series.mean) if series.spread is None else series.spread
        both = np.concatenate([series.mean - spread, series.mean + spread])
        start = np.tile(series.examples >= 0.05 * series.examples[-1], 2)
        late.append(both[start])
        everything.append(both)
    low, high = float(np.min(np.concatenate(late))), float(np.max(np.concatenate(late)))
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _panel(term: str, rows: Sequence[Row], title: str, main: bool) -> Panel | None:
    held_out = [s for row in rows if (s := _series(row, f"eval/{term}")) is not None]
    training = [s for row in rows if (s := _series(row, f"train/{term}")) is not None]
    if held_out:
        return Panel(term, "validation", title, main, held_out, training)
    return Panel(term, "training", title, main, training, []) if training else None


def _series(row: Row, name: str) -> Series | None:
    """Mean and spread over the seeds at the numbers of examples that they share, or else interpolated to the first's."""
    curves = [
        {record["examples"]: (record[name], record.get("seconds", np.nan)) for record in run.records if name in record}
        for run in row.runs
    ]
    curves = [curve for curve in curves if len(curve) > 1]
    if not curves:
        return None
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    if len(shared) < 2:
        end = min(max(curve) for curve in curves)
        shared = [x for x in sorted(curves[0]) if x <= end]
    if len(shared) < 2:
        return None
    x = np.array(shared)
    values = np.stack([_interpolate(x, curve) for curve in curves])
    spread = values[:, 0].std(axis=0, ddof=1) if len(curves) > 1 else None
    return Series(row, x, values[:, 1].mean(axis=0), values[:, 0].mean(axis=0), spread, len(curves))


def _interpolate(x: Array, curve: dict[float, tuple[float, float]]) -> Array:
    """Values and seconds (2, len(x)) of a curve at `x`."""
    known = np.array(sorted(curve))
    points = np.array([curve[at] for at in known.tolist()])
    return np.stack([np.interp(x, known, points[:, 0]), np.interp(x, known, points[:, 1])])


def _terms(rows: Sequence[Row]) -> list[str]:
    found = (name for row in rows for run in row.runs for name in _names(run))
    return list(dict.fromkeys(found))


def _names(run: Run) -> Iterator[str]:
    """Terms of a run, those of the validation split first."""
    names = _all_names(run)
    for split in ("eval/", "train/"):
        yield from (name.removeprefix(split) for name in names if name.startswith(split))


def _all_names(run: Run) -> list[str]:
    return list(dict.fromkeys(name for record in run.records for name in record))


def _repeats_loss(term: str, rows: Sequence[Row]) -> bool:
    """Whether the term equals the loss up to its sign."""
    pairs = [
        (abs(record[f"eval/{term}"]), abs(record["eval/loss"]))
        for row in rows
        for run in row.runs
        for record in run.records
        if f"eval/{term}" in record and "eval/loss" in record
    ]
    return bool(pairs) and all(np.isclose(a, b, rtol=1e-5) for a, b in pairs)


def _slug(text: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return "_".join(words)
