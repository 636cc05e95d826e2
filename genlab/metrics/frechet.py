"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017): the FID in a feature space.

FID = |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^1/2), and tr (S_1 S_2)^1/2 is the sum of the singular values of
S_1^1/2 S_2^1/2, whose squares are the eigenvalues of S_1 S_2. Between finite sets from the same distribution it is positive, and
larger for fewer examples. Compare only at equal numbers, and with the value of real against real.
"""

import torch
from torch import Tensor

from genlab.metrics.clusters import Chain, LinearTerms, groups, second_order_error
from genlab.metrics.estimate import Estimate


def frechet_distance(real: Tensor, generated: Tensor) -> float:
    """FID between features (n, d) and (m, d), n, m >= 2."""
    x, y = real.double(), generated.double()
    cov_x, cov_y = _covariance(x), _covariance(y)
    cross = torch.linalg.svdvals(_power(cov_x, 0.5) @ _power(cov_y, 0.5)).sum()
    return max(0.0, float((x.mean(0) - y.mean(0)).square().sum() + cov_x.trace() + cov_y.trace() - 2 * cross))


def fid(real: Tensor, generated: Tensor, chain: Chain = None) -> Estimate:
    """FID of features (n, d) and (m, d), n, m >= 4, and its standard error; `chain` (m,) has the clusters of the generated ones.

    The linear terms of FID in the two empirical distributions are, with T the optimal map from the Gaussian of y to that of x,

        phi(y) = 2 (mu_y - mu_x).(y - mu_y) + (y - mu_y).(1 - T)(y - mu_y),

    and the same of x with the map from x to y; the error takes the quadratic ones into account (clusters.py).
    """
    x, y = real.double(), generated.double()
    half_x, half_y = groups(None, len(x), 2), groups(chain, len(y), 2)
    terms = [_linear_terms(x, y, x, y)]
    terms += [_linear_terms(x[half_x == half], y[half_y == half], x, y) for half in range(2)]
    (whole_x, whole_y), (first_x, first_y), (second_x, second_y) = terms
    error = second_order_error(LinearTerms(whole_x, first_x, second_x), LinearTerms(whole_y, first_y, second_y, chain))
    return Estimate(frechet_distance(real.cpu(), generated.cpu()), error)


def _linear_terms(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> tuple[Tensor, Tensor]:
    """phi of the examples `of_x` and `of_y`, by the moments of x and y."""
    mu_x, mu_y, cov_x, cov_y = x.mean(0), y.mean(0), _covariance(x), _covariance(y)
    found = []
    for z, mu, other, T in (
        (of_x, mu_x, mu_y, _optimal_map(cov_x, cov_y)),
        (of_y, mu_y, mu_x, _optimal_map(cov_y, cov_x)),
    ):
        off = z - mu
        found.append(2 * off @ (mu - other) + (off * (off - off @ T)).sum(1))
    return found[0], found[1]


def _covariance(x: Tensor) -> Tensor:
    off = x - x.mean(0)
    return off.T @ off / (len(x) - 1)


def _optimal_map(start: Tensor, end: Tensor) -> Tensor:
    """T with T start T = end: end^1/2 (end^1/2 start end^1/2)^-1/2 end^1/2; 0 along axes in which either does not vary."""
    root = _power(end, 0.5)
    return root @ _power(root @ start @ root, -0.5) @ root


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    varies = values > 1e-10 * values.max()
    scaled = vectors * torch.where(varies, values.clamp_min(1e-300) ** exponent, 0.0)
    found: Tensor = scaled @ vectors.T
    return found
