"""Pictures of a model's latent space, and of the density that it has learned in the plane."""

import torch

from genlab.evaluation.code_maps import project
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.inference.ability_pictures import principal_axes, reconstructions
from genlab.inference.density_maps import density_and_score_maps
from genlab.inference.latent_pictures import (
    BETWEEN,
    DEVIATIONS,
    axes_of,
    interpolation,
    interpolation_of_draws,
    predicted_classes,
    titles_of_axes,
    titles_of_pairs,
    traversal,
)
from genlab.inference.shown_examples import COLUMNS, POINTS, held_out
from genlab.models.abilities import Decodes, DrawsCodes, Encodes, HasSpectrum, Reconstructs
from genlab.models.base import GenerativeModel
from genlab.plots.by_kind import paths
from genlab.plots.images import latent_scatter


@torch.no_grad()
def latent_geometry(context: EvaluationContext, findings: Findings) -> None:
    """Reconstructions, and for a model with codes their plane, lines between them and walks along their axes."""
    model, dataset, seed, pictures = context.model, context.dataset, context.settings.seed, findings.pictures
    if isinstance(model, Reconstructs):
        pictures["reconstructions"] = reconstructions(model, dataset, seed)
    if isinstance(model, HasSpectrum):
        pictures |= principal_axes(model, dataset, seed)
    if isinstance(model, DrawsCodes) and dataset.spec.on_grid:
        lines = interpolation_of_draws(model, seed)
        titles = titles_of_pairs(len(lines) // COLUMNS)
        pictures["interpolation"] = paths(lines, COLUMNS, dataset.spec, titles, BETWEEN)
    if findings.codes is None or not isinstance(model, Encodes):
        return
    plane, axes, note = project(findings.codes, context.settings.latent, seed)
    labels = None if findings.labels is None else findings.labels[: len(plane)]
    pictures["latent"] = latent_scatter(plane, labels, axes, note, dataset.spec.names)
    if isinstance(model, Decodes) and dataset.spec.on_grid:
        x = held_out(dataset, 500, seed, model.device).x
        codes = model.encode(x)
        rows = min(8, len(codes) // 2)
        y = predicted_classes(model, x[:rows])
        lines = interpolation(model, codes[:rows], codes[rows : 2 * rows], COLUMNS, y)
        dimensions = axes_of(model, codes)
        walks = traversal(model, codes[0], codes, dimensions, y=None if y is None else y[:1])
        pictures["interpolation"] = paths(lines, COLUMNS, dataset.spec, titles_of_pairs(rows), BETWEEN)
        titles = titles_of_axes(dimensions)
        pictures["traversal"] = paths(walks, len(walks) // len(dimensions), dataset.spec, titles, DEVIATIONS)


def density_map(context: EvaluationContext, findings: Findings) -> None:
    """Density and score of a model of the plane, beside the true ones; nothing for other data."""
    model, dataset, seed = context.model, context.dataset, context.settings.seed
    x = held_out(dataset, POINTS, seed, model.device).x
    samples = context.samples.x if isinstance(model, GenerativeModel) else None
    findings.pictures |= density_and_score_maps(
        model, dataset, seed, x, samples, side=160, draws=50, integrate_flow=True
    )
