"""How well scores separate normal from anomalous examples: ROC curves, and histograms of the scores."""

import math
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from torch import Tensor

from genlab.metrics.estimate import Estimate
from genlab.metrics.ranking import Curve, interval
from genlab.plots.charts import drawn
from genlab.plots.images import Picture
from genlab.plots.style import COLOURS, FAINT, SETTINGS

MOST_BINS = 60
OUTSIDE = 0.001  # share of the scores at either end that a histogram leaves out


@dataclass(frozen=True)
class Ranking:
    """One score: its ROC curve and the area below, its values for normal and for anomalous examples, and the baseline's curve."""

    label: str
    curve: Curve
    area: Estimate
    normal: Tensor
    anomalous: Tensor
    baseline_label: str
    baseline: Curve
    baseline_area: Estimate


def rankings(found: list[Ranking], normal: str, anomalous: str) -> Picture:
    """ROC curves of all scores at the left, a histogram of each at the right."""
    rows = len(found)

    def paint(figure: Any) -> None:
        shape = figure.add_gridspec(rows, 2, width_ratios=[1.25, 1])
        axes = figure.add_subplot(shape[:, 0])
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=":")
        for number, one in enumerate(found):
            low, high = interval(one.area)
            digits = _digits(one.area)
            axes.plot(
                one.curve.false_positive_rate,
                one.curve.true_positive_rate,
                color=COLOURS[number % len(COLOURS)],
                label=f"{one.label}: {one.area.value:.{digits}f}  [{low:.{digits}f}, {high:.{digits}f}]",
            )
        bases = {one.baseline_label: one for one in found}
        for (label, one), dashes in zip(bases.items(), ((0, (5, 2)), (0, (1, 1.2))), strict=False):
            axes.plot(
                one.baseline.false_positive_rate,
                one.baseline.true_positive_rate,
                color=FAINT,
                linestyle=dashes,
                linewidth=1,
                label=f"{label}: {one.baseline_area.value:.{_digits(one.baseline_area)}f}",
            )
        axes.set_aspect("equal")
        axes.set_xlim(-0.01, 1.01)
        axes.set_ylim(-0.01, 1.01)
        axes.set_xlabel(f"share of {normal} taken for anomalous")
        axes.set_ylabel(f"share of {anomalous} found")
        figure.legend(
            title="area under the curve  [95 % interval]",
            title_fontsize=8,
            alignment="left",
            loc="outside lower left",
            ncols=2,
            handles=axes.get_lines()[1:],  # all but the diagonal
        )
        for number, one in enumerate(found):
            _histogram(figure.add_subplot(shape[number, 1]), one, number, normal, anomalous)

    with mpl.rc_context(SETTINGS):
        return drawn(paint, (7.4, max(4.4, 1.7 * rows + 0.8)), dpi=130)


def _histogram(axes: Any, one: Ranking, number: int, normal: str, anomalous: str) -> None:
    both = np.concatenate([one.normal.numpy(), one.anomalous.numpy()])
    both = both[np.isfinite(both)]
    low, high = np.quantile(both, [OUTSIDE, 1 - OUTSIDE])
    bins = min(MOST_BINS, max(12, round(min(len(one.normal), len(one.anomalous)) ** 0.5)))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    for values, name, style in (
        (one.normal, normal, {"color": FAINT, "alpha": 0.45}),
        (one.anomalous, anomalous, {"color": COLOURS[number % len(COLOURS)], "alpha": 0.55}),
    ):
        axes.hist(values.numpy(), edges, density=True, label=name, **style)
    axes.set_xlabel(one.label)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.legend(fontsize=7)


def _digits(area: Estimate) -> int:
    """Decimals down to the first digit of the standard error, three at least."""
    return 3 if area.stderr == 0 else max(3, -math.floor(math.log10(area.stderr)))
