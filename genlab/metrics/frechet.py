"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017): the FID in a feature space.

FID = |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^1/2). Between finite sets from the same distribution it is positive, and
larger for fewer examples. Compare only at equal numbers, and with the value of real against real.
"""

from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

from genlab.metrics.estimate import Estimate, bootstrap


class _Given(nn.Module):
    """Stands in for the feature network: it passes features through."""

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


def fid(real: Tensor, generated: Tensor, replicates: int = 100) -> Estimate:
    """FID with its bootstrap standard error over both sets."""
    return bootstrap(frechet_distance, real.cpu(), generated.cpu(), replicates=replicates)[0]
