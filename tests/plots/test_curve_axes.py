"""Axes of curves hold all that is drawn, up to outliers, of which the figure speaks; lines stay whole and in their panels."""

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.plots import by_kind
from genlab.plots.curve_overviews import mean_and_spread, walks
from genlab.plots.curve_panels import Series, compared, paint_panels, panels
from genlab.plots.curve_scales import Scales
from tests.helpers.support import spec_of


def spectra(n: int = 40, channels: int = 1) -> tuple[Tensor, DataSpec]:
    """A flat ground with one sharp peak of 1 to 5 at a place of its own: far beyond three standard deviations."""
    generator = torch.Generator().manual_seed(0)
    height = 1 + 4 * torch.rand(n, channels, 1, generator=generator)
    place = 100 * torch.rand(n, channels, 1, generator=generator)
    x = 0.2 + height * torch.exp(-0.5 * ((torch.arange(100) - place) / 1.5) ** 2)
    return x, spec_of(x)


def ink(picture: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where lines in the blue of the first channel are."""
    values = picture.astype(int)
    return np.nonzero(values[..., 2] - values[..., 0] > 60)


@pytest.mark.parametrize("channels", [1, 2])
def test_every_value_of_data_and_model_lies_on_the_axis(channels: int) -> None:
    x, data = spectra(channels=channels)
    model = 1.3 * x.flip(0) - 0.5
    scales = Scales.of(data, x, model)
    for drawn in (x, model):
        assert scales.heights(drawn).min() > 0
        assert scales.heights(drawn).max() < 1
    assert scales.note == ""


def test_the_axis_of_each_channel_holds_its_values() -> None:
    x, _ = spectra(channels=2)
    x = x * torch.tensor([1.0, 1000.0])[:, None]
    scales = Scales.of(spec_of(x), x)
    assert not scales.common
    assert scales.high[0] < 10
    assert 0 < scales.heights(x).min() < scales.heights(x).max() < 1


def test_the_band_of_the_spread_lies_on_the_axis() -> None:
    """The mean less the standard deviation is below all values where peaks are rare."""
    x, data = spectra()
    band = mean_and_spread(x)
    assert band[0].min() < x.min()
    assert Scales.of(data, x, band).heights(band).min() > 0


def test_a_figure_says_what_lies_beyond_its_frames() -> None:
    x, data = spectra()
    wild = x.clone()
    wild[3], wild[4, 0, 7] = 500.0, torch.inf
    scales = Scales.of(data, wild)
    assert scales.high[0] < 3 * float(x.max())
    assert scales.note == "2 of 40 curves go on beyond the frame (from 500 to 500)"
    figure = Figure()
    paint_panels(figure.add_subplot(), [Series("", wild)], 10, scales)
    assert scales.note in figure.axes[0].get_xlabel().replace("\n", " ")
    assert not (panels([Series("", wild)], 10, data) == panels([Series("", x)], 10, data)).all()


def test_lines_are_whole() -> None:
    x, data = spectra()
    figure = Figure()
    axes = figure.add_subplot()
    paint_panels(axes, [Series("", 3 * x)], 10, Scales.of(data, x))
    *_, lines = (one for one in axes.collections if isinstance(one, LineCollection))
    assert [len(path) for path in lines.get_segments()] == [100] * 40
    assert all(np.isfinite(path).all() for path in lines.get_segments())
    assert lines.get_clip_path() is not None


def test_a_curve_beyond_its_panel_is_drawn_neither_over_nor_along_the_frame() -> None:
    _, data = spectra()
    assert len(ink(panels([Series("", torch.full((1, 1, 100), 1e9))], 1, data))[0]) == 0
    picture = panels([Series("", torch.where(torch.arange(100) < 50, 0.2, 1e9).expand(1, 1, 100))], 1, data)
    rows, columns = ink(picture)
    assert len(rows) > 50
    dark = (picture[:, columns.min() :].astype(int).min(2) < 250).sum(1)
    top = int(dark.nonzero()[0][0])
    assert dark[top] > 1.5 * (columns.max() - columns.min()), "the highest that is drawn is the frame"


def test_a_walk_beyond_the_data_is_seen_whole() -> None:
    x, data = spectra()
    scales = Scales.of(data, 1.6 * x)
    assert 0 < scales.heights(1.6 * x).min() < scales.heights(1.6 * x).max() < 1
    pictures = [walks(k * x[:20].unflatten(0, (2, 10)), data, ["a", "b"], ("0", "1")) for k in (1.0, 1.6, 1e6)]
    assert len({picture.shape for picture in pictures}) == 1


def test_data_and_reconstruction_of_two_channels_differ_in_colour_and_width() -> None:
    x, data = spectra(10, 2)
    behind, over = Series("data", x, pale=True, width=2.6), Series("reconstruction", x, width=0.9)
    for channel in range(2):
        assert min(behind.colour_of(channel)) > min(over.colour_of(channel)) + 0.3
    same, moved = (compared(x, y, 5, data, ("data", "reconstruction")) for y in (x, x.roll(20, 2)))
    assert (same != moved).any()


def test_filters_are_seen_whole() -> None:
    x, data = spectra()
    heights = Scales.symmetric(x - 0.2, data).heights(x - 0.2)
    assert 0.5 <= heights.min() < heights.max() < 1


def test_the_frames_of_a_film_have_one_axis() -> None:
    """The same curves are the same picture, whatever the other frames show, and the ends are those of all frames."""
    x, data = spectra(8)
    first, _, last = by_kind.frames([x, 2 * x, x], 4, data)
    assert (first == last).all()
    alone = by_kind.frames([x], 4, data)[0]
    assert first.shape == alone.shape
    assert (first != alone).any()


def test_missing_values_are_gaps_and_not_beyond_the_frame() -> None:
    x, data = spectra()
    missing = x.clone()
    missing[:, :, 50:] = torch.nan
    assert Scales.of(data, missing, x) == Scales.of(data, x)
