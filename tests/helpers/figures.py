"""Looks into the figures that a module of pictures draws."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from genlab.plots.charts import drawn


@contextmanager
def texts_inside(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> Iterator[list[Figure]]:
    """The figures that `module` draws meanwhile; all that is written in them has to lie inside of them."""
    figures: list[Figure] = []

    def kept(paint: Callable[[Any], None], size: tuple[float, float], dpi: int = 110) -> Any:
        def both(figure: Figure) -> None:
            paint(figure)
            figures.append(figure)

        return drawn(both, size, dpi)

    monkeypatch.setattr(module, "drawn", kept)
    yield figures
    assert figures
    for figure in figures:
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        outside = _beyond_their_axes(figure)
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            if text.get_text().strip() and text.get_visible() and text not in outside:
                box = text.get_window_extent(renderer)
                inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
                assert inside, f"{text.get_text()!r} is cut: {box}"


def _beyond_their_axes(figure: Figure) -> set[Any]:
    """Labels of ticks that matplotlib keeps but does not draw, since they lie beyond the ends of their axis."""
    found = set()
    for axis in figure.findobj(Axis):
        assert isinstance(axis, Axis)
        drawn_ticks = axis._update_ticks()  # type: ignore[attr-defined]
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if tick not in drawn_ticks:
                found |= {tick.label1, tick.label2}
    return found
