"""Curves are drawn as curves over axes of the data, and pictures of many bands band by band."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.data.units import Units
from genlab.plots import by_kind, images
from genlab.plots.bands import band_ranges, bands
from genlab.plots.charts import labelled
from genlab.plots.curve_panels import Series, panels
from genlab.plots.curve_scales import Scales
from tests.helpers.structured import BAND_MEANS, sines
from tests.helpers.structured import bands as band_pictures
from tests.helpers.support import spec_of


def curves(n: int = 40, channels: int = 1, points: int = 50) -> tuple[Tensor, DataSpec]:
    x = torch.from_numpy(sines(n, channels, points))
    return x, spec_of(x)


def of_bands(n: int = 60, channels: int = 5) -> tuple[Tensor, DataSpec]:
    x = torch.from_numpy(band_pictures(n, channels))
    return x, spec_of(x)


def rows_in_blue(picture: images.Picture) -> np.ndarray:
    """Where lines are, from the top."""
    values = picture.astype(int)
    return np.flatnonzero((values[..., 2] - values[..., 0] > 60).any(1))


def test_the_axis_of_sines_is_that_of_their_values() -> None:
    _, data = curves()
    scales = Scales.of(data)
    assert scales.common
    assert scales.low[0] == pytest.approx(-1.12, abs=0.01)
    assert scales.high[0] == pytest.approx(1.12, abs=0.01)
    assert scales.height_of_zero() == pytest.approx(0.5, abs=0.01)


def test_a_high_curve_is_drawn_above_a_low_one() -> None:
    _, data = curves()
    high, low = (rows_in_blue(panels([Series("", torch.full((1, 1, 50), v))], 1, data)) for v in (0.9, -0.9))
    assert len(high) > 0
    assert high.max() < low.min()


def test_channels_of_unlike_size_have_axes_of_their_own() -> None:
    x = torch.from_numpy(sines(40, 3, 50)) * torch.tensor([1.0, 1.0, 1000.0])[:, None]
    scales = Scales.of(spec_of(x))
    assert not scales.common
    assert scales.names()[2].startswith("channel 3 (-1.12e+03 to 1.12e+03")
    assert float(np.ptp(scales.heights(x)[:, 2])) == pytest.approx(0.9, abs=0.05)
    assert Scales.of(curves(channels=3)[1]).common


def test_axes_are_in_the_units_of_the_user() -> None:
    _, data = curves()
    volts = Units(torch.tensor(10.0).double(), torch.tensor(5.0).double())
    scales = Scales.of(replace(data, units=volts))
    assert scales.low[0] == pytest.approx(10 - 5 * 1.12, abs=0.05)
    assert scales.heights(torch.zeros(1, 1, 50)) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("channels", [1, 2, 10])
def test_all_pictures_of_curves(channels: int) -> None:
    x, data = curves(60, channels)
    first = by_kind.samples(x, 10, data, x)
    assert first.shape == by_kind.samples(x.flip(0), 10, data, x).shape, "frames of one film"
    for picture in (
        by_kind.grid(x[:20], 10, data, ["clean", "noisy"]),
        by_kind.samples(x, 10, data),
        by_kind.pairs(x[:10], x[10:20], 10, data),
        by_kind.neighbours(x[:10], x[10:20], 10, data),
        by_kind.restored(x[:5], x[5:10], x[10:15], data),
        by_kind.paths(x[:20], 10, data, ["a", "b"], ("0", "1")),
        by_kind.filters(x[:10] - 0.5, 10, data),
    ):
        assert picture.ndim == 3
        assert len(np.unique(picture)) > 20


def test_each_band_has_its_own_grey() -> None:
    """Means of 0.5 to 2.5, uniform from 0: the grey of the mean is the middle for every band, and nothing is cut to white."""
    x, data = of_bands()
    low, high = band_ranges(x, data)
    assert low == pytest.approx(0.01 * np.array(BAND_MEANS), rel=0.6)
    assert high == pytest.approx(1.99 * np.array(BAND_MEANS), rel=0.02)
    means = torch.tensor(BAND_MEANS)[:, None, None].expand(5, 12, 12)
    picture = bands(torch.stack([means, 1.5 * means]), 2, data, ranges=(low, high))
    assert abs(levels_of(picture)[0] - 128).max() <= 5
    assert abs(levels_of(picture)[1] - 255 * 0.75).max() <= 6


def test_sources_on_a_dark_ground_are_neither_saturated_nor_on_grey() -> None:
    """A source of 3 x 3 pixels on 12 x 12: a mean and a spread would make the ground grey and the source white all over."""
    x = torch.randn(60, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    profile = torch.tensor([[20.0, 50.0, 20.0], [50.0, 100.0, 50.0], [20.0, 50.0, 20.0]])
    x[..., 4:7, 4:7] += profile * torch.linspace(0.5, 1, 60)[:, None, None, None]
    low, high = band_ranges(x, spec_of(x))
    grey = (x - low[:, None, None]) / (high - low)[:, None, None]
    assert grey[..., 8:, :].mean() < 0.06
    assert (grey > 1).double().mean() < 0.006
    assert (low > -4).all()


def test_samples_and_reconstructions_are_as_dark_as_the_data() -> None:
    x, data = of_bands()
    assert (by_kind.samples(0.5 * x, 10, data, x) != by_kind.samples(x, 10, data, x)).any()
    first, last = by_kind.frames([0.5 * x[:10], x[:10]], 10, data)
    assert (last == by_kind.grid(x[:10], 10, data)).all()
    assert (first != last).any()
    for other in (0.5, 3.0):
        picture = by_kind.pairs(x[:10], other * x[:10], 10, data)
        assert (picture[: len(picture) // 2] == by_kind.pairs(x[:10], x[:10], 10, data)[: len(picture) // 2]).all()


def test_bands_of_one_value_or_of_no_numbers_are_drawn() -> None:
    x, data = of_bands()
    x[:, 0], x[:, 1] = 2.0, torch.nan
    low, high = band_ranges(x, data)
    assert (high > low).all()
    assert by_kind.grid(x[:10], 10, data).ndim == 3


def test_there_is_no_empty_margin_beside_long_names() -> None:
    picture = labelled(np.zeros((200, 50, 3), np.uint8), ["nearest training example, band 1\n0.0123 to 628", "band 2"])
    written = np.flatnonzero((picture < 200).any(2).any(0))
    assert 3 <= written[0] <= 12


def levels_of(picture: images.Picture) -> np.ndarray:
    """Grey of the middle of every band, (columns, bands), of a picture of two examples of five bands of 36 pixels."""
    right = picture[:, -(2 * 38 + 2) :, 0]
    return np.array([[right[band * 38 + 20, column * 38 + 20] for band in range(5)] for column in range(2)], int)


@pytest.mark.parametrize("channels", [2, 4, 5, 12])
def test_all_pictures_of_bands(channels: int) -> None:
    x = torch.from_numpy(sines(60, channels, 64)).unflatten(2, (8, 8))
    data = spec_of(x)
    for picture in (
        by_kind.grid(x[:20], 10, data, ["clean", "noisy"]),
        by_kind.samples(x, 10, data),
        by_kind.pairs(x[:10], x[10:20], 10, data),
        by_kind.restored(x[:5], x[5:10], x[10:15], data),
        by_kind.paths(x[:40], 10, data, ["a", "b", "c", "d"], ("0", "1")),
        by_kind.filters(x[:10] - 0.5, 10, data),
    ):
        assert picture.ndim == 3
        assert len(picture) < 2000
        assert len(np.unique(picture)) > 20


def test_means_and_spreads_of_bands_are_drawn() -> None:
    x, data = of_bands()
    assert by_kind.statistics(x, x, data)["bands"].ndim == 3
    assert by_kind.statistics(x[:, :3], x[:, :3], spec_of(x[:, :3])) == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_pictures_are_drawn_as_before(channels: int) -> None:
    x = torch.rand(20, channels, 8, 8)
    data = spec_of(x)
    assert np.array_equal(by_kind.grid(x, 10, data), images.grid(x, 10, data))
    assert np.array_equal(by_kind.samples(x, 10, data), images.grid(x, 10, data))
    assert np.array_equal(by_kind.pairs(x[:10], x[10:], 10, data), images.pairs(x[:10], x[10:], 10, data))
    assert np.array_equal(by_kind.filters(x, 10, data), images.filters(x, 10, data))
