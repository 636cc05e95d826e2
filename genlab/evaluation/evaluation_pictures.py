"""What an evaluation shows beside its numbers."""

from typing import Literal

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.errors import GenlabError
from genlab.evaluation.generated import Judgement
from genlab.evaluation.held_out import HeldOut
from genlab.inference.ability_pictures import classification_charts, principal_axes, reconstructions
from genlab.inference.latent_pictures import (
    axes_of,
    interpolation,
    interpolation_of_draws,
    predicted_classes,
    traversal,
)
from genlab.inference.shown_examples import COLUMNS, held_out
from genlab.models.abilities import Decodes, DrawsCodes, Encodes, HasSpectrum, Reconstructs
from genlab.models.base import Model
from genlab.plots.charts import class_bars
from genlab.plots.images import Picture, grid, latent_scatter, pairs, scatter

Map = Literal["pca", "tsne", "umap"]

MOST_IN_TSNE = 2_000


def classification(found: HeldOut) -> dict[str, Picture]:
    """Confusion matrix and reliability diagram of a classifier on the test split."""
    if found.log_p is None or found.classes is None:
        return {}
    return classification_charts(found.log_p, found.classes)


def generated(judgement: Judgement, samples: Tensor, dataset: Dataset, reference: Tensor) -> dict[str, Picture]:
    """Samples; samples above their nearest training examples; classes of what was generated."""
    data, shown = dataset.spec, {}
    if data.is_image:
        shown["samples"] = grid(samples[: COLUMNS**2], COLUMNS, data)
        few = min(3 * COLUMNS, len(judgement.neighbours))
        if few:
            shown["neighbours"] = pairs(samples[:few], judgement.neighbours[:few], COLUMNS, data)
    else:
        few = min(2000, len(samples), len(reference))
        shown["samples"] = scatter({"data": reference[:few], "samples": samples[:few]}, data)
    if judgement.shares is not None and judgement.real_shares is not None:
        shown["classes"] = class_bars(judgement.shares, judgement.real_shares, len(samples))
    return shown


@torch.no_grad()
def latent_geometry(model: Model, dataset: Dataset, found: HeldOut, kind: Map, seed: int) -> dict[str, Picture]:
    """Reconstructions, and for a model with codes their plane, lines between them and walks along their axes."""
    shown = {}
    if isinstance(model, Reconstructs):
        shown["reconstructions"] = reconstructions(model, dataset, seed)
    if isinstance(model, HasSpectrum):
        shown |= principal_axes(model, dataset, seed)
    if isinstance(model, DrawsCodes) and dataset.spec.is_image:
        shown["interpolation"] = grid(interpolation_of_draws(model, seed), COLUMNS, dataset.spec)
    if found.codes is None or not isinstance(model, Encodes):
        return shown
    plane, axes, note = project(found.codes, kind, seed)
    labels = None if found.labels is None else found.labels[: len(plane)]
    shown["latent"] = latent_scatter(plane, labels, axes, note)
    if isinstance(model, Decodes) and dataset.spec.is_image:
        x = held_out(dataset, 500, seed, model.device).x
        codes = model.encode(x)
        rows = min(8, len(codes) // 2)
        y = predicted_classes(model, x[:rows])
        lines = interpolation(model, codes[:rows], codes[rows : 2 * rows], COLUMNS, y)
        dimensions = axes_of(model, codes)
        walks = traversal(model, codes[0], codes, dimensions, y=None if y is None else y[:1])
        shown["interpolation"] = grid(lines, COLUMNS, dataset.spec)
        shown["traversal"] = grid(walks, len(walks) // len(dimensions), dataset.spec)
    return shown


def project(codes: Tensor, kind: Map, seed: int) -> tuple[Tensor, tuple[str, str], str]:
    """Codes (n, d) in a plane: (m, 2) with m <= n, the names of its axes, and a remark on what was left out.

    Raises GenlabError for umap where umap-learn is not installed.
    """
    if codes.shape[1] == 2:
        return codes, ("$h_1$", "$h_2$"), ""
    centred = (codes - codes.mean(0)).double()
    if codes.shape[1] == 1:
        return torch.cat([codes, torch.zeros_like(codes)], 1), ("$h_1$", ""), ""
    if kind == "pca":
        _, s, v = torch.linalg.svd(centred, full_matrices=False)
        shares = s.square() / s.square().sum().clamp_min(1e-300)
        names = [f"principal component {i + 1} ({100 * float(shares[i]):.0f} % of the variance)" for i in range(2)]
        return centred @ v[:2].T, (names[0], names[1]), ""
    if kind == "tsne":
        from sklearn.manifold import TSNE

        few = centred[:MOST_IN_TSNE]
        perplexity = min(30.0, (len(few) - 1) / 3)
        plane = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(few.numpy())
        return (
            torch.from_numpy(plane),
            ("t-SNE 1", "t-SNE 2"),
            f"perplexity {perplexity:.0f}; distances far apart mean nothing",
        )
    try:
        from umap import UMAP
    except ImportError:
        raise GenlabError(
            "latent=umap needs umap-learn; install it with pip install 'genlab[umap]', or set latent=tsne"
        ) from None
    plane = UMAP(random_state=seed, n_jobs=1).fit_transform(centred.numpy())
    return torch.from_numpy(plane), ("UMAP 1", "UMAP 2"), "distances far apart mean little"
