"""Panels of the plane side by side: densities as colour, their contours, points over them, vector fields as arrows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from genlab.plots.charts import drawn
from genlab.plots.images import Picture

INSIDE = (0.9, 0.5)  # shares of the probability within the contours
BLUE, ORANGE, INK = "#0072b2", "#d55e00", "#1a1a1b"  # as in plots/style.py; matplotlib ships it


@dataclass(frozen=True)
class Panel:
    """What one panel shows, over the box that all panels share; None for what it does not show."""

    title: str
    density: Tensor | None = None
    """(rows, columns), from the lower left corner."""
    contours: Tensor | None = None
    """A density of the same layout, of which the contours are drawn."""
    points: Tensor | None = None
    """(n, 2)."""
    arrows: tuple[Tensor, Tensor] | None = None
    """Places (n, 2) and vectors (n, 2). Long ones are drawn shorter than they are, so that short ones can be seen."""


def panels(found: Sequence[Panel], box: tuple[tuple[float, float], tuple[float, float]], top: float) -> Picture:
    """The panels in a row. Colours run from 0 to `top`; a density above it is as dark as that."""
    import matplotlib as mpl

    from genlab.plots.style import SETTINGS

    (left, right), (low, high) = box
    shape = min(1.6, max(0.5, (high - low) / (right - left)))

    def paint(figure: Any) -> None:
        image = None
        for k, panel in enumerate(found):
            axes = figure.add_subplot(1, len(found), k + 1)
            if panel.density is not None:
                image = axes.imshow(
                    panel.density.numpy(),
                    origin="lower",
                    extent=(left, right, low, high),
                    cmap="Blues",
                    interpolation="bilinear",
                    vmin=0,
                    vmax=top,
                )
            if panel.contours is not None:
                _contours(axes, panel.contours.numpy(), box)
            if panel.points is not None:
                points = panel.points.numpy()
                size = 1.5 if len(points) > 1500 else 3
                axes.scatter(points[:, 0], points[:, 1], s=size, color=ORANGE, alpha=0.6, linewidths=0)
            if panel.arrows is not None:
                _arrows(axes, *panel.arrows)
            axes.set_title(panel.title, fontsize=8.5)
            axes.set_xlim(left, right)
            axes.set_ylim(low, high)
            axes.set_aspect("equal")
            axes.grid(visible=False)
            axes.set_xlabel("$x_1$")
            axes.set_ylabel("$x_2$" if k == 0 else "")
        if image is not None:
            bar = figure.colorbar(image, ax=figure.axes, shrink=0.75, pad=0.01, aspect=30)
            bar.set_label("density")
            bar.outline.set_linewidth(0.4)

    with mpl.rc_context({**SETTINGS, "text.parse_math": True}):
        return drawn(paint, (3.0 * len(found) + 0.6, 3.0 * shape + 0.5), dpi=130)


def _contours(axes: Any, density: np.ndarray[Any, Any], box: tuple[tuple[float, float], tuple[float, float]]) -> None:
    """Contours of the smallest regions that hold the shares INSIDE of the probability."""
    ordered = np.sort(density.ravel())[::-1]
    mass = ordered.cumsum() / ordered.sum()
    levels = [float(ordered[np.searchsorted(mass, share)]) for share in INSIDE]
    levels = [level for level in dict.fromkeys(levels) if 0 < level < ordered[0]] or [0.5 * float(ordered[0])]
    (left, right), (low, high) = box
    rows, columns = density.shape
    x1 = left + (np.arange(columns) + 0.5) * (right - left) / columns
    x2 = low + (np.arange(rows) + 0.5) * (high - low) / rows
    axes.contour(x1, x2, density, levels=sorted(levels), colors=INK, linewidths=0.6)


def _arrows(axes: Any, places: Tensor, vectors: Tensor) -> None:
    length = vectors.norm(dim=1, keepdim=True)
    usual = float(length.median()) or 1.0
    shown = (vectors / (length + usual)).numpy()
    axes.quiver(*places.numpy().T, *shown.T, angles="xy", pivot="mid", width=0.004, scale=18, headwidth=4, color=BLUE)
