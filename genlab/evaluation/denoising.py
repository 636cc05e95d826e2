"""Denoising: how near to the clean example is a model's reconstruction of a noisy one?

Binary components are flipped, each with probability p. Gaussian noise of standard deviation s is added to others, unclipped, in
the data's own units. The expected squared error of the noisy example itself, the baseline, is D p or D s^2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.evaluation.entries import entry
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.inference.shown_examples import COLUMNS
from genlab.metrics.estimate import Estimate, mean
from genlab.models.abilities import Reconstructs
from genlab.numerics.rng import seeded
from genlab.plots import by_kind

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
    """The noise that suits the data, of the usual level where `level` is None; None for level 0.

    Raises GenlabError for a level above 1/2 of binary data.
    """
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
def denoising(context: EvaluationContext, findings: Findings) -> None:
    """Squared error and, for images in [0, 1], PSNR of restored test examples; rows of clean, noisy and restored ones."""
    model, data, seed = context.model, context.dataset.spec, context.settings.seed
    assert isinstance(model, Reconstructs)
    noise = noise_of(data, context.settings.noise)
    if noise is None:
        return
    findings.facts["denoising"] = {"noise": noise.level, "kind": str(noise)}
    restored_errors: list[Tensor] = []
    noisy_errors: list[Tensor] = []
    shown: list[Tensor] = []
    with seeded(seed, "denoising", device=context.model.device):
        for batch in context.few_batches:
            noisy = noise(batch.x)
            restored = model.reconstruct(noisy)
            restored_errors.append((restored - batch.x).square().flatten(1).sum(1).cpu())
            noisy_errors.append((noisy - batch.x).square().flatten(1).sum(1).cpu())
            if not shown:
                shown = [x[:COLUMNS].cpu() for x in (batch.x, noisy, restored)]
    errors = torch.cat(restored_errors)
    if not bool(errors.isfinite().all()):  # the diagnosis of the reconstructions says so
        return
    of_restored, of_noisy = mean(errors), mean(torch.cat(noisy_errors))
    findings.entries["denoising_mse"] = entry(
        "denoising", of_restored, "squared error/example", "lower", baseline=of_noisy
    )
    if data.is_image and data.support != "real":
        ratios = psnr(of_restored, data.dim), psnr(of_noisy, data.dim)
        findings.entries["denoising_psnr"] = entry("denoising", ratios[0], "dB", "higher", baseline=ratios[1])
    if data.on_grid:
        clean, noisy, found = shown
        findings.pictures["denoising"] = by_kind.restored(clean, noisy, found, data)


def psnr(error: Estimate, dim: int) -> Estimate:
    """-10 log10 of the mean squared error of a component with values in [0, 1], in dB, from that of an example."""
    value = max(error.value, 1e-12)
    return Estimate(-10 * math.log10(value / dim), 10 / math.log(10) * error.stderr / value)
