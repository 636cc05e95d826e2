"""Maps of codes into a plane."""

import importlib.util
from typing import Literal

import torch
from torch import Tensor

from genlab.errors import GenlabError

Map = Literal["pca", "tsne", "umap"]

MOST_IN_TSNE = 2_000


def require_installed(kind: Map) -> None:
    """Raises GenlabError for umap where umap-learn is not installed."""
    if kind == "umap" and importlib.util.find_spec("umap") is None:
        raise _absent()


def _absent() -> GenlabError:
    return GenlabError("latent=umap needs umap-learn; install it with pip install umap-learn, or set latent=tsne")


def project(codes: Tensor, kind: Map, seed: int) -> tuple[Tensor, tuple[str, str], str]:
    """Codes (n, d) in a plane: (m, 2) with m <= n, the names of its axes, and a remark on what the map distorts.

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
    except ImportError as e:
        raise _absent() from e

    plane = UMAP(random_state=seed, n_jobs=1).fit_transform(centred.numpy())
    return torch.from_numpy(plane), ("UMAP 1", "UMAP 2"), "distances far apart mean little"
