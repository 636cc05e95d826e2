"""Charts of a classification and of the classes of what was generated. Arrays in, pictures out."""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from genlab.tracking.figures import Picture


def drawn(paint: Callable[[Any], None], size: tuple[float, float], dpi: int = 110) -> Picture:
    """The figure of `size` (width, height in inches) that `paint` draws, as pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    paint(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def confusion(matrix: Tensor) -> Picture:
    """Counts (classes, classes), true class down and predicted class across, with the accuracy of each class at its side."""
    counts = matrix.numpy()
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    k = len(counts)

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        # Mistakes are rare: on a linear scale nothing but the diagonal would be seen.
        axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
        if k <= 20:
            for i in range(k):
                for j in range(k):
                    if counts[i, j]:
                        colour = "white" if shares[i, j] > 0.4 else "black"
                        axes.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color=colour)
            right = axes.secondary_yaxis("right")
            right.set_yticks(range(k), [f"{100 * shares[i, i]:.1f} %" for i in range(k)], fontsize=8)
            right.set_ylabel("accuracy of the class")
            axes.set_xticks(range(k))
            axes.set_yticks(range(k))
        total = 100 * np.trace(counts) / max(1, counts.sum())
        axes.set_title(f"{total:.2f} % of {counts.sum():,} right", fontsize=10)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")

    return drawn(paint, (6.6, 5.6) if k <= 20 else (8, 7.4))


def reliability_diagram(confidence: Tensor, accuracy: Tensor, count: Tensor, error: float) -> Picture:
    """Accuracy against confidence in bins (bins,), with the number of predictions in each."""
    bins = len(count)
    conf, hits, number = confidence.numpy(), accuracy.numpy(), count.numpy()

    def paint(figure: Any) -> None:
        top, bottom = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
        top.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="calibrated")
        filled = number > 0
        share = (hits * number + 0.5)[filled] / (number[filled] + 1)  # so that 0 of 2 has an error bar too
        spread = np.sqrt(share * (1 - share) / (number[filled] + 1))
        top.errorbar(conf[filled], hits[filled], yerr=spread, fmt="o", markersize=4, capsize=2)
        top.set_ylabel("accuracy")
        top.set_title(f"expected calibration error {error:.4f}", fontsize=10)
        top.legend(loc="upper left")
        bottom.bar((np.arange(bins) + 0.5) / bins, number, width=0.9 / bins, color="0.5")
        bottom.set_yscale("log")
        bottom.set_xlabel("probability of the predicted class")
        bottom.set_ylabel("count")
        bottom.set_xlim(0, 1)

    return drawn(paint, (5, 5.2))


def class_bars(generated: Tensor, real: Tensor, n: int) -> Picture:
    """Share of each class among n samples, beside its share in the data."""
    k = len(generated)
    ours, theirs = generated.numpy(), real.numpy()

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        place = np.arange(k)
        spread = np.sqrt(ours * (1 - ours) / n)
        axes.bar(place - 0.2, theirs, 0.4, label="test split", color="0.6")
        axes.bar(place + 0.2, ours, 0.4, yerr=spread, capsize=2, label="generated", color="C0")
        if k <= 20:
            axes.set_xticks(place)
        axes.set_xlabel("class, as the feature network sees it")
        axes.set_ylabel("share")
        axes.legend()

    return drawn(paint, (6.5, 3.6))
