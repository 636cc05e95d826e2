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


@torch.no_grad()
def interpolation(model: Decodes, start: Tensor, end: Tensor, steps: int = 10, y: Tensor | None = None) -> Tensor:
    """Decoded points on the lines between codes: (rows, latent_dim) twice -> (rows * steps, *shape).

    Straight ones, unless the family knows a way between codes that are drawn. A conditional model keeps the classes y
    (rows, told).
    """
    way = model.interpolate if isinstance(model, DrawsCodes) else torch.lerp
    codes = torch.stack([way(start, end, w) for w in torch.linspace(0, 1, steps).tolist()], dim=1)
    return decoded(model, codes.flatten(0, 1), None if y is None else y.repeat_interleave(steps, 0))


def decoded(model: Decodes, codes: Tensor, y: Tensor | None) -> Tensor:
    return model.decode(codes, y) if isinstance(model, DecodesByClass) and y is not None else model.decode(codes)


def predicted_classes(model: Model, x: Tensor) -> Tensor | None:
    """One-hot classes (n, told) that a conditional model takes examples x for; None for any other."""
    if not isinstance(model, DecodesByClass) or not isinstance(model, Classifies) or not model.num_classes:
        return None
    return F.one_hot(model.classify(x).argmax(1), model.num_classes).float()


@torch.no_grad()
def interpolation_of_draws(model: DrawsCodes, seed: int, rows: int = 8) -> Tensor:
    """`interpolation` between codes drawn from p(h), the same ones for one seed: (rows * COLUMNS, *shape)."""
    assert isinstance(model, Model)
    with rng.seeded(seed, "codes", device=model.device):
        codes = model.draw_codes(2 * rows)
    told = model.num_classes if isinstance(model, DecodesByClass) else 0
    y = F.one_hot(torch.arange(rows) % told, told).float().to(codes) if told else None
    return interpolation(model, codes[:rows], codes[rows:], COLUMNS, y)


def axes_of(model: Model, codes: Tensor) -> list[int]:
    """The latent axes worth a walk: principal ones in their order, others by the spread of the `codes` (n, latent_dim)."""
    order = torch.arange(codes.shape[1]) if isinstance(model, HasSpectrum) else codes.std(0).argsort(descending=True)
    return [int(j) for j in order[:COLUMNS]]


@torch.no_grad()
def traversal(
    model: Decodes, code: Tensor, codes: Tensor, dimensions: list[int], steps: int = 11, y: Tensor | None = None
) -> Tensor:
    """`code` (latent_dim,) with one dimension moved from -3 to 3 standard deviations of `codes` about their mean, decoded.

    One row a dimension: (len(dimensions) * steps, *shape). Of a conditional model, in the class y (1, told).
    """
    mean, std = codes.mean(0), codes.std(0)
    moved = code.repeat(len(dimensions), steps, 1)
    for row, j in enumerate(dimensions):
        moved[row, :, j] = mean[j] + std[j] * torch.linspace(-3, 3, steps, device=code.device)
    flat = moved.flatten(0, 1)
    return decoded(model, flat, None if y is None else y.expand(len(flat), -1))


@torch.no_grad()
def manifold(model: Decodes, side: int, device: torch.device, codes: Tensor | None = None) -> Tensor:
    """Decoded lattice of a two-dimensional latent space, equally spaced in probability under N(0, I): (side^2, *shape).

    For any other prior, under the normal distribution with mean and standard deviations of the `codes` (n, 2) of data.
    """
    quantiles = [NormalDist().inv_cdf((i + 0.5) / side) for i in range(side)]
    axis = torch.tensor(quantiles, device=device)
    h2, h1 = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    lattice = torch.stack([h1, h2], dim=-1).flatten(0, 1)
    return model.decode(lattice if codes is None else codes.mean(0) + codes.std(0) * lattice)
