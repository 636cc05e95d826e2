"""Learning curves in one picture: a panel for each chart of a family, or for each scalar of a sweep. Records in, picture out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from textwrap import fill
from typing import Any

import numpy as np
import numpy.typing as npt

from genlab.plots.charts import drawn
from genlab.plots.images import Picture

Array = npt.NDArray[np.float64]
Records = Sequence[Mapping[str, float]]

SPLITS = {"train": "training", "eval": "validation", "monitor": "", "optimizer": ""}
FIXED = {"_train": "fixed training examples", "_held_out": "held-out examples"}
"""Ends of the names of a monitor, which looks at the same examples each time."""
COLUMNS = 3
PANEL = (3.9, 3.3)  # inches
LETTERS = 58  # in a line of a caption, which is as wide as its panel at most
WIDE = 5.0  # ratio of the largest value to the smallest from which an axis of positive values is logarithmic
MOST_NAMES = 8  # of a legend
STEEP = 0.05  # share of the training whose steep start would flatten all the rest


@dataclass(frozen=True)
class Chart:
    """Scalars of the log that are looked at together, and what is seen in them."""

    names: Sequence[str]
    """As in metrics.jsonl, such as eval/loss."""
    caption: str
    lines: Mapping[str, float] = field(default_factory=dict)
    """Values that theory names: label -> value."""
    logarithmic: bool = False


@dataclass(frozen=True)
class Curve:
    label: str
    x: Array
    y: Array
    colour: str
    faint: bool = False
    """A thin line in the background, without a place in the legend."""


@dataclass(frozen=True)
class CurvePanel:
    title: str
    caption: str
    curves: list[Curve]
    lines: Mapping[str, float] = field(default_factory=dict)
    logarithmic: bool = False
    axis: str = "examples seen"
    seams: Sequence[float] = ()
    """Where the run was trained on to another length."""


def learning_curves(records: Records, charts: Mapping[str, Chart]) -> Picture | None:
    """The charts of one run, with its loss first where none of them shows it; None where there is nothing to draw."""
    from genlab.plots.style import COLOURS

    shown = {name for chart in charts.values() for name in chart.names}
    loss = [name for name in ("train/loss", "eval/loss") if name not in shown]
    descends = "train/loss" in loss and any("train/loss" in record for record in records)
    first = {"loss": Chart(loss, "What the training descends.")} if descends else {}
    panels = []
    seams = [record["examples"] for record in records if "seam/to" in record]
    for title, chart in {**first, **charts}.items():
        colours = cycle(COLOURS)
        curves = []
        for name in chart.names:
            x, y = series(records, name)
            if len(x) > 1 and not any(np.allclose(y, value) for value in chart.lines.values()):
                curves.append(Curve(words(name), x, y, next(colours)))
        if curves:
            panels.append(CurvePanel(title, chart.caption, curves, chart.lines, chart.logarithmic, seams=seams))
    return draw_panels(panels) if panels else None


def series(records: Records, name: str, axis: str = "examples") -> tuple[Array, Array]:
    """Values of `axis` and of the scalar `name` where both were recorded."""
    pairs = [(record[axis], record[name]) for record in records if name in record and axis in record]
    table = np.array(pairs, dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def words(name: str) -> str:
    """'KL, validation' of eval/kl; the optimizer of optimizer/generator/gradient_norm."""
    split, _, term = name.partition("/")
    if split == "optimizer":
        return term.partition("/")[0]
    beside = SPLITS.get(split, split)
    for end, examples in FIXED.items() if split == "monitor" else ():
        if term.endswith(end):
            term, beside = term.removesuffix(end), examples
    return term.replace("_", " ") + (f", {beside}" if beside else "")


def draw_panels(panels: Sequence[CurvePanel]) -> Picture:
    """All panels in rows of three, each with its caption below."""
    import matplotlib as mpl

    from genlab.plots.style import SETTINGS

    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)

    def paint(figure: Any) -> None:
        for k, panel in enumerate(panels, 1):
            _draw(figure.add_subplot(rows, columns, k), panel)

    with mpl.rc_context({**SETTINGS, "text.parse_math": True}):  # the logarithmic ticks are mathematics
        return drawn(paint, (PANEL[0] * columns, PANEL[1] * rows))


def _draw(axes: Any, panel: CurvePanel) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    from genlab.plots.style import FAINT

    for k, curve in enumerate(panel.curves):
        thin = {"linewidth": 0.6, "alpha": 0.5} if curve.faint else {"label": curve.label}
        hidden = not curve.faint and any(_equal(curve, earlier) for earlier in panel.curves[:k])
        axes.plot(curve.x, curve.y, color=curve.colour, linestyle="--" if hidden else "-", **thin)
    for label, value in panel.lines.items():
        axes.axhline(value, color=FAINT, linestyle="--", linewidth=1, label=label, zorder=0)
    for number, seam in enumerate(panel.seams):
        axes.axvline(seam, color=FAINT, linewidth=0.8, label="" if number else "trained on from here", zorder=0)
    if _logarithmic(panel):
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        if high < 100 * low:  # two decades: powers of ten alone would be too few ticks
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(*_limits(panel))
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    if panel.axis == "examples seen":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _thousands(x)))
    axes.set_title(panel.title, fontsize=9, loc="left")
    low, high = axes.get_ylim()
    cut = any(curve.y.min() < low or curve.y.max() > high for curve in panel.curves)
    caption = panel.caption + " The steep start lies outside." * cut
    axes.set_xlabel(panel.axis + "\n" + fill(caption, LETTERS), fontsize=7)
    labelled = [curve for curve in panel.curves if not curve.faint]
    if len(labelled) <= MOST_NAMES:
        if labelled or panel.lines:
            axes.legend(fontsize=6.5, loc="best")
        return
    for curve in labelled:  # a legend would cover the curves
        axes.annotate(
            curve.label.partition(",")[0].split()[-1],
            (curve.x[-1], curve.y[-1]),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=6.5,
            va="center",
            color=curve.colour,
        )


def _equal(one: Curve, other: Curve) -> bool:
    """Whether one curve would hide the other."""
    return one.y.shape == other.y.shape and np.allclose(one.y, other.y, rtol=1e-3, atol=1e-6)


def _thousands(x: float) -> str:
    return f"{x / 1e6:g}M" if x >= 1e6 else f"{x / 1e3:g}k" if x else "0"


def _late(panel: CurvePanel) -> Array:
    """Values after the steep start, and those that theory names."""
    values = [curve.y[curve.x >= STEEP * curve.x[-1]] for curve in panel.curves]
    return np.concatenate([*values, np.array(list(panel.lines.values()), dtype=float)])


def _logarithmic(panel: CurvePanel) -> bool:
    values = _late(panel)
    return bool(values.min() > 0) and (panel.logarithmic or bool(values.max() > WIDE * values.min()))


def _limits(panel: CurvePanel) -> tuple[float, float]:
    values = _late(panel)
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room
