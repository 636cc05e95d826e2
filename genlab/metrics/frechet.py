"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017): the FID in a feature space.

FID = |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^1/2). Between finite sets from the same distribution it is positive, the
more so the fewer examples there are: compare only at equal numbers, and with the value of real against real.
"""

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from genlab.metrics.measure import Measure, bootstrap


class _Given(nn.Module):
    """In the place of the feature network: features come in."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """FID between features (n, d) and (m, d), n, m >= 2."""
    metric = FrechetInceptionDistance(feature=_Given(real.shape[1]))
    centre = real.double().mean(0)  # the distance does not change, and large means cost no digits
    metric.update(real.double() - centre, real=True)
    metric.update(generated.double() - centre, real=False)
    return max(0.0, float(metric.compute()))


def fid(real: Tensor, generated: Tensor, replicates: int = 100) -> Measure:
    """FID with its bootstrap standard error over both sets."""
    return bootstrap(frechet_distance, real.cpu(), generated.cpu(), replicates=replicates)[0]


def gaussian_frechet_distance(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    """The same distance from means (d,) and covariances (d, d), by the symmetric form tr (S_1^1/2 S_2 S_1^1/2)^1/2."""
    values, vectors = torch.linalg.eigh(cov1.double())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov2.double() @ root).clamp_min(0).sqrt().sum()
    return float((mu1 - mu2).double().square().sum() + cov1.double().trace() + cov2.double().trace() - 2 * cross)
