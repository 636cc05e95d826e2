"""Denoising: how near to the clean example is what a model makes of a noisy one?

Binary components are flipped, each with probability p; to others Gaussian noise of standard deviation s is added, unclipped,
in the data's own units. The expected squared error of the noisy example itself, the baseline, is D p or D s^2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.evaluation.entries import Entries, entry
from genlab.evaluation.held_out import held_out_batches
from genlab.inference.shown_examples import COLUMNS
from genlab.metrics.estimate import Estimate, mean
from genlab.models.abilities import Reconstructs
from genlab.models.base import Model
from genlab.numerics.rng import seeded
from genlab.plots.charts import labelled
from genlab.plots.images import Picture, grid

MOST = 5_000  # test examples
FLIPS, SCATTER = 0.1, 0.5  # the usual level of noise; the second in [0, 1], or in standard deviations of real data


@dataclass(frozen=True)
class Noise:
    level: float
    binary: bool

    def __call__(self, x: Tensor) -> Tensor:
        """x (n, ...) with noise, drawn from the default generator of its device."""
        if self.binary:
            return torch.where(torch.rand_like(x) < self.level, 1 - x, x)
        return x + self.level * torch.randn_like(x)

    def __str__(self) -> str:
        return f"{'flips of probability' if self.binary else 'Gaussian noise of standard deviation'} {self.level:g}"


def noise_of(data: DataSpec, level: float | None) -> Noise | None:
    """The noise that suits the data, of the usual level where `level` is None; None for level 0. Raises GenlabError."""
    binary = data.support == "binary"
    if level is None:
        scale = float(data.std.square().mean().sqrt()) if data.support == "real" else 1.0
        level = FLIPS if binary else SCATTER * scale
    if binary and level > 0.5:
        raise GenlabError(
            f"noise={level:g}: more than half of the binary components flipped is a negative; set 0.5 or less"
        )
    return Noise(level, binary) if level > 0 else None


@torch.no_grad()
def denoise(model: Model, dataset: Dataset, noise: Noise, seed: int) -> tuple[Entries, dict[str, Picture]]:
    """Squared error and, for images in [0, 1], PSNR of restored test examples; rows of clean, noisy and restored ones."""
    assert isinstance(model, Reconstructs)
    data = dataset.spec
    errors: list[Tensor] = []
    noisy_errors: list[Tensor] = []
    shown: list[Tensor] = []
    with seeded(seed, "denoising", device=model.device):
        for batch in held_out_batches(dataset, model, seed, limit=MOST):
            noisy = noise(batch.x)
            restored = model.reconstruct(noisy)
            errors.append((restored - batch.x).square().flatten(1).sum(1).cpu())
            noisy_errors.append((noisy - batch.x).square().flatten(1).sum(1).cpu())
            if not shown:
                shown = [x[:COLUMNS].cpu() for x in (batch.x, noisy, restored)]
    error, noisy_error = torch.cat(errors), torch.cat(noisy_errors)
    if not bool(error.isfinite().all()):  # which the diagnosis of the reconstructions says
        return {}, {}
    ours, theirs = mean(error), mean(noisy_error)
    entries = {"denoising_mse": entry("denoising", ours, "squared error/example", "lower", baseline=theirs)}
    if data.is_image and data.support != "real":
        ratios = psnr(ours, data.dim), psnr(theirs, data.dim)
        entries["denoising_psnr"] = entry("denoising", ratios[0], "dB", "higher", baseline=ratios[1])
    pictures = {}
    if data.is_image:
        rows = grid(torch.cat(shown), len(shown[0]), data)
        pictures["denoising"] = labelled(rows, ["clean", "noisy", "restored"])
    return entries, pictures


def psnr(error: Estimate, dim: int) -> Estimate:
    """-10 log10 of the mean squared error of a component with values in [0, 1], in dB, from that of an example."""
    value = max(error.value, 1e-12)
    return Estimate(-10 * math.log10(value / dim), 10 / math.log(10) * error.stderr / value)
