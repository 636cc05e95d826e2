"""The networks of pictures along one axis: any length, any number of channels, the same names of parameters as before in two."""

from typing import Any

import pytest
import torch

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import GenerativeModel, Model
from genlab.networks.axes import from_channels, to_channels
from genlab.networks.classifiers import CNN, RNN
from tests.helpers.structured import bands, sines
from tests.helpers.support import configure, dataset_of, make_model

CONVOLVING = {
    "ae": ("conv", "resnet"),
    "vae": ("conv", "resnet"),
    "vqvae": ("conv",),
    "gan": ("conv",),
    "wgan": ("conv",),
    "sgan": ("conv",),
    "ebm": ("conv",),
    "diffusion": ("unet", "transformer"),
    "flow_matching": ("unet", "transformer"),
    "classifier": ("cnn", "rnn"),
}
CASES = [(family, network) for family, networks in CONVOLVING.items() for network in networks]


def spec(channels: int, points: int) -> DataSpec:
    return dataset_of(torch.from_numpy(sines(60, channels, points)), y=torch.arange(60) % 3, classes=3).spec


def model_of(family: str, network: str, data: DataSpec, *more: str) -> Model:
    return make_model(configure(f"model={family}", f"model.network={network}", *more), data)


@pytest.mark.parametrize(("channels", "points"), [(1, 100), (3, 101), (5, 8)])
@pytest.mark.parametrize(("family", "network"), CASES)
def test_a_curve_of_any_length_and_any_number_of_channels(
    family: str, network: str, channels: int, points: int
) -> None:
    data = spec(channels, points)
    model = model_of(family, network, data)
    layers = {type(layer).__name__ for layer in model.modules()}
    assert not any("2d" in name for name in layers)
    assert any("Conv1d" in name or name == "GRU" for name in layers) or network == "transformer"
    if isinstance(model, GenerativeModel):
        x = model.eval().sample(3)
        assert x.shape == (3, channels, points)
        assert bool(x.isfinite().all())


@pytest.mark.parametrize(
    ("family", "network"), [case for case in CASES if case[0] not in ("gan", "wgan", "sgan", "ebm")]
)
def test_a_curve_of_seven_points(family: str, network: str) -> None:
    model_of(family, network, spec(1, 7))


@pytest.mark.parametrize("channels", [2, 4, 5])
@pytest.mark.parametrize(("family", "network"), [case for case in CASES if case[1] != "rnn"])
def test_pictures_of_any_number_of_channels(family: str, network: str, channels: int) -> None:
    x = torch.from_numpy(bands(60, channels))
    model = model_of(family, network, dataset_of(x, y=torch.arange(60) % 3, classes=3).spec)
    if isinstance(model, GenerativeModel):
        assert model.eval().sample(2).shape == (2, channels, 12, 12)


@pytest.mark.parametrize(("family", "network"), CASES)
def test_vectors_have_no_neighbours(family: str, network: str) -> None:
    data = dataset_of(torch.randn(60, 9), y=torch.arange(60) % 3, classes=3).spec
    with pytest.raises(
        GenlabError, match=rf"model.network={network}: .* holds vectors of 9 numbers; set model.network=(mlp|ffnn)$"
    ):
        model_of(family, network, data)


def test_the_default_follows_the_length() -> None:
    for family, short, long in (
        ("vae", "MLP", "ConvEncoder"),
        ("flow_matching", "TimeConditionedMLP", "UNet"),
        ("gan", "Linear", "Conv1d"),
    ):
        for points, expected in ((100, short), (2000, long)):
            model: Any = make_model(configure(f"model={family}"), spec(1, points))
            assert expected in {type(layer).__name__ for layer in model.modules()}, (family, points)
            if points == 100:
                assert not any("Conv" in type(layer).__name__ for layer in model.modules())


def test_a_shift_of_a_curve_is_a_shift_of_what_convolutions_see() -> None:
    """Else the axis of a curve would be that of its channels."""
    torch.manual_seed(0)
    network = CNN((2, 32), [4], "relu", 0.0).eval()
    x = torch.zeros(1, 2, 32)
    x[:, :, 10] = 1
    convolution = network.layers[0]
    assert torch.allclose(convolution(x)[..., 4:8], convolution(x.roll(4, 2))[..., 6:10])


def test_a_recurrent_network_reads_point_by_point() -> None:
    network = RNN((3, 50), [8], 0.0).eval()
    assert network.gru.input_size == 3
    x = torch.randn(2, 3, 50)
    assert not torch.allclose(network(x), network(x.flip(2)))


def test_patches_of_points_are_channels_and_points_again() -> None:
    x = torch.arange(12.0).view(1, 2, 6)
    assert to_channels(x, 3).tolist() == [[[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11]]]
    assert torch.equal(from_channels(to_channels(x, 3), 3), x)
    image = torch.randn(2, 3, 4, 6)
    assert torch.equal(to_channels(image, 2), torch.nn.functional.pixel_unshuffle(image, 2))
