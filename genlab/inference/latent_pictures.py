"""Pictures of a latent space: decoded codes along lines, along axes, and over a plane. Codes are (n, latent_dim)."""

from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.inference.shown_examples import COLUMNS
from genlab.models.abilities import (
    Classifies,
    Decodes,
    DecodesByClass,
    DrawsCodes,
    HasSpectrum,
)
from genlab.models.base import Model
from genlab.numerics import rng

BETWEEN, DEVIATIONS = ("first", "last"), ("-3 σ", "+3 σ")
"""What stands at the ends of lines between codes, and of walks along an axis."""


def titles_of_pairs(rows: int) -> list[str]:
    """Of lines between two codes each."""
    return [f"from code {2 * k + 1} to code {2 * k + 2}" for k in range(rows)]


def titles_of_axes(dimensions: list[int]) -> list[str]:
    return [f"latent axis {j + 1}" for j in dimensions]


@torch.no_grad()
def interpolation(model: Decodes, start: Tensor, end: Tensor, steps: int = 10, y: Tensor | None = None) -> Tensor:
    """Decoded points on the lines between the codes `start` and `end`, (rows, latent_dim) each: (rows * steps, *shape).

    The lines are straight, unless the family has its own interpolation (a sphere for Gaussian codes). A conditional model
    decodes each row in its class: y is one-hot, (rows, num_classes).
    """
    way = model.interpolate if isinstance(model, DrawsCodes) else torch.lerp
    codes = torch.stack([way(start, end, w) for w in torch.linspace(0, 1, steps).tolist()], dim=1)
    return decoded(model, codes.flatten(0, 1), None if y is None else y.repeat_interleave(steps, 0))


def decoded(model: Decodes, codes: Tensor, y: Tensor | None) -> Tensor:
    """Codes (n, latent_dim) decoded, by a conditional model in the classes y, one-hot, (n, num_classes): (n, *shape)."""
    return model.decode(codes, y) if isinstance(model, DecodesByClass) and y is not None else model.decode(codes)


def predicted_classes(model: Model, x: Tensor) -> Tensor | None:
    """The classes that a conditional model predicts for examples x, one-hot, (n, num_classes); None for other models."""
    if not isinstance(model, DecodesByClass) or not isinstance(model, Classifies) or not model.num_classes:
        return None
    return F.one_hot(model.classify(x).argmax(1), model.num_classes).float()


@torch.no_grad()
def interpolation_of_draws(model: DrawsCodes, seed: int, rows: int = 8) -> Tensor:
    """`interpolation` between codes drawn from p(h), which `seed` fixes: (rows * COLUMNS, *shape)."""
    assert isinstance(model, Model)
    with rng.seeded(seed, "codes", device=model.device):
        codes = model.draw_codes(2 * rows)
    num_classes = model.num_classes if isinstance(model, DecodesByClass) else 0
    y = F.one_hot(torch.arange(rows) % num_classes, num_classes).float().to(codes) if num_classes else None
    return interpolation(model, codes[:rows], codes[rows:], COLUMNS, y)


def axes_of(model: Model, codes: Tensor) -> list[int]:
    """The latent axes that `traversal` shows: principal axes in their order, others by the spread of `codes` (n, latent_dim)."""
    order = torch.arange(codes.shape[1]) if isinstance(model, HasSpectrum) else codes.std(0).argsort(descending=True)
    return [int(j) for j in order[:COLUMNS]]


@torch.no_grad()
def traversal(
    model: Decodes, code: Tensor, codes: Tensor, dimensions: list[int], steps: int = 11, y: Tensor | None = None
) -> Tensor:
    """Decoded codes that differ from `code` (latent_dim,) in one dimension: (len(dimensions) * steps, *shape), one row each.

    That dimension runs from -3 to 3 standard deviations of `codes` (n, latent_dim) about their mean. A conditional model decodes
    in the class y, one-hot, (1, num_classes).
    """
    mean, std = codes.mean(0), codes.std(0)
    moved = code.repeat(len(dimensions), steps, 1)
    for row, j in enumerate(dimensions):
        moved[row, :, j] = mean[j] + std[j] * torch.linspace(-3, 3, steps, device=code.device)
    flat = moved.flatten(0, 1)
    return decoded(model, flat, None if y is None else y.expand(len(flat), -1))


@torch.no_grad()
def manifold(model: Decodes, side: int, device: torch.device, codes: Tensor | None = None) -> Tensor:
    """A decoded grid of a two-dimensional latent space, equally spaced in probability under N(0, I): (side^2, *shape).

    `codes` (n, 2) of data are for any other prior: their normal distribution, with independent components, replaces N(0, I).
    """
    quantiles = [NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)]
    axis = torch.tensor(quantiles, device=device)
    h2, h1 = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    points = torch.stack([h1, h2], dim=-1).flatten(0, 1)
    return model.decode(points if codes is None else codes.mean(0) + codes.std(0) * points)
