"""64 samples of 28x28 binary pixels from a gated PixelCNN, float32 on the CPU, with and without what is known of earlier pixels.

The networks are those of experiment=pixelcnn_mnist and the same with a place for each pixel; their parameters are random. With
the same random numbers the samples have to be equal, as otherwise the loops would not do the same work.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.models.autoregressive.autoregressive import Autoregressive
from tests.benchmarks.contest import Contest, Options, Seconds
from tests.helpers.support import configure, make_model

SAMPLES, SIDE = 64, 28

ABOUT = {
    "genlab": "rows and places that are known are kept, so that a sample costs about one pass",
    "whole passes": "textbook: one pass of the network for each pixel, of which one pixel is used",
    "genlab, pixels": "the same as genlab with a place for each pixel in the place of 4x4 pixels",
    "whole passes, pixels": "the same as whole passes with a place for each pixel",
}


def contest(options: Options) -> Contest:
    torch.manual_seed(0)
    mean = torch.full((1, SIDE, SIDE), 0.2)
    data = DataSpec("mnist", (1, SIDE, SIDE), "binary", None, None, 0.0, 1.0, mean, mean)
    loops: dict[str, Callable[[int], Seconds]] = {}
    for patch, suffix in ((4, ""), (1, ", pixels")):
        model = make_model(configure("experiment=pixelcnn_mnist", f"model.patch={patch}"), data).eval()
        assert isinstance(model, Autoregressive)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        check(model)
        loops[f"genlab{suffix}"] = partial(with_caches, f"genlab{suffix}", model)
        loops[f"whole passes{suffix}"] = partial(whole_passes, f"whole passes{suffix}", model)
    return Contest(
        title=f"{SAMPLES} samples of {SIDE}x{SIDE} pixels from a gated PixelCNN",
        unit="pixels",
        images=SIDE**2,
        loops=loops,
        about=ABOUT,
    )


def pixels_with_caches(model: Autoregressive) -> Iterator[Tensor]:
    """The samples so far, after each place of the picture."""
    noise = torch.Generator().manual_seed(0)
    bias = model.bias.t()

    def draw(parameters: Tensor, i: int) -> Tensor:
        at = torch.rand(len(parameters), 2, generator=noise)
        return model.distribution.draw(parameters + bias[i], at) - model.centre[i]

    for u in model.network.walk(SAMPLES, draw, None):
        yield u + model.centre


def pixels_by_whole_passes(model: Autoregressive) -> Iterator[Tensor]:
    """The samples so far, after each pixel."""
    noise = torch.Generator().manual_seed(0)
    u = torch.zeros(SAMPLES, SIDE**2)
    for i in model.network.order.tolist():
        parameters = model.factors(u, None)[:, :, i]
        u[:, i] = model.distribution.draw(parameters, torch.rand(SAMPLES, 2, generator=noise))
        yield u


@torch.no_grad()
def with_caches(name: str, model: Autoregressive, pixels: int) -> Seconds:
    """The time of the share `pixels` of a whole walk."""
    start = time.perf_counter()
    for _ in pixels_with_caches(model):
        pass
    return {name: (time.perf_counter() - start) * pixels / SIDE**2}


@torch.no_grad()
def whole_passes(name: str, model: Autoregressive, pixels: int) -> Seconds:
    start = time.perf_counter()
    for _, _ in zip(range(pixels), pixels_by_whole_passes(model), strict=False):
        pass
    return {name: time.perf_counter() - start}


@torch.no_grad()
def check(model: Autoregressive) -> None:
    """The first pixels of both loops are equal."""
    places = model.network.order[: 2 * SIDE]
    for whole, _ in zip(pixels_by_whole_passes(model), places, strict=False):  # noqa: B007
        pass
    for kept in pixels_with_caches(model):
        if bool((kept[:, places].abs() == 1).all()):
            break
    assert torch.allclose(whole[:, places], kept[:, places]), "the loops draw different samples"
