"""Points of vectors: data are seen over the samples, as many of each, with the legend outside of the planes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from genlab.plots import vector_planes
from genlab.plots.vector_planes import paint_points, scatter
from tests.helpers.figures import texts_inside
from tests.helpers.support import spec_of


def points(n: int, seed: int = 0) -> np.ndarray:
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)).numpy()


def painted(*given: object) -> list[PathCollection]:
    axes = Figure().add_subplot()
    paint_points(axes, *given)  # type: ignore[arg-type]
    return [one for one in axes.collections if isinstance(one, PathCollection)]


def test_as_many_points_of_each_kind_and_the_data_as_circles_on_top() -> None:
    data, samples = painted({"data": points(40), "samples": points(1000, 1)})
    assert np.shape(data.get_offsets()) == np.shape(samples.get_offsets()) == (40, 2)
    assert data.get_zorder() > samples.get_zorder()
    assert len(data.get_facecolor()) == 0
    assert len(samples.get_facecolor()) > 0


def test_classes_are_colours() -> None:
    y = np.array([0, 1, 1, 2])
    data, samples = painted({"data": points(4), "samples": points(9, 1)}, {"data": y, "samples": np.arange(9) % 3})
    for drawn, classes in ((data.get_edgecolor(), y), (samples.get_facecolor(), [0, 1, 2, 0])):
        assert np.array(drawn)[:, :3] == pytest.approx(np.array([to_rgb(f"C{k}") for k in classes]))


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
def test_all_text_lies_in_the_figure_and_no_legend_over_points(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(50, dim, generator=torch.Generator().manual_seed(0))
    y = torch.arange(50) % 3
    names = ("dwarf", "giant that has a long name indeed", "white dwarf")
    data = replace(
        spec_of(x), num_classes=3, class_names=names, component_names=tuple(f"mass of {k}" for k in range(dim))
    )
    with texts_inside(monkeypatch, vector_planes) as figures:
        scatter({"data": x, "samples": 1e5 * x}, data, {"data": y, "samples": y})
    (legend,) = figures[0].legends
    box = legend.get_window_extent()
    assert all(not box.overlaps(axes.get_window_extent()) for axes in figures[0].axes)


def test_colours_need_classes_of_all_kinds() -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    data, y = spec_of(x), torch.arange(50) % 3
    plain = scatter({"data": x, "samples": x}, data)
    assert (scatter({"data": x, "samples": x}, data, {"data": y, "samples": None}) == plain).all()
    assert scatter({"data": x, "samples": x}, data, {"data": y, "samples": y}).shape == plain.shape
    coloured = scatter({"data": x, "samples": x}, replace(data, num_classes=3), {"data": y, "samples": y})
    assert (coloured != plain).any()
