"""Mixtures of Gaussians with full covariances, p(x) = sum_k w_k N(x|m_k, S_k), fitted by expectation-maximisation.

Each iteration raises the likelihood (Dempster et al. 1977), or leaves it:

    E   r_nk = w_k N(x_n|m_k, S_k) / sum_j w_j N(x_n|m_j, S_j)
    M   w_k = sum_n r_nk / N,   m_k = <x>_k,   S_k = <(x - m_k)(x - m_k)^T>_k,   with <f>_k = sum_n r_nk f(x_n) / sum_n r_nk

The first responsibilities r are those of k-means (Lloyd 1982) from centres that lie far apart (Arthur & Vassilvitskii 2007).
scikit-learn fits the same model; to import it takes longer than to fit.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LLOYD = 100  # most iterations of k-means


@dataclass(frozen=True)
class GaussianMixture:
    """sum_k weights_k N(means_k, factors_k factors_k^T): (K,), (K, q), (K, q, q)."""

    weights: Tensor
    means: Tensor
    factors: Tensor

    def sample(self, n: int) -> Tensor:
        """(n, q), from torch's default generator on its device."""
        which = torch.multinomial(self.weights, n, replacement=True)
        eps = torch.randn(n, self.means.shape[1], 1, device=self.means.device)
        return self.means[which] + (self.factors[which] @ eps).squeeze(2)

    def log_parts(self, x: Tensor) -> Tensor:
        """log w_k N(x_n|m_k, S_k) in nats for x (n, q): (n, K)."""
        whitening = torch.linalg.inv(self.factors)
        squares = [
            ((x - mean) @ matrix.t()).square().sum(1) for mean, matrix in zip(self.means, whitening, strict=True)
        ]
        log_det = self.factors.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = self.weights.log() - log_det - x.shape[1] / 2 * math.log(2 * math.pi)
        return constant - 0.5 * torch.stack(squares, 1)


def fit_mixture(x: Tensor, components: int, iterations: int, least_variance: float) -> GaussianMixture:
    """To x (n, q); `least_variance` is added along every axis. The same x gives the same mixture."""
    nearest = _k_means(x, _far_apart(x, components))
    r = torch.nn.functional.one_hot(nearest, components).to(x.dtype)
    mixture = maximised(x, r, least_variance)
    for _ in range(iterations):
        mixture = maximised(x, mixture.log_parts(x).softmax(1), least_variance)
    return mixture


def maximised(x: Tensor, r: Tensor, least_variance: float) -> GaussianMixture:
    """The M step: for x (n, q) and responsibilities r (n, K)."""
    tiny = 10 * torch.finfo(x.dtype).eps  # of a component that no example belongs to
    total = r.sum(0) + tiny
    means = r.t() @ x / total.unsqueeze(1)
    covariances = []
    for k, mean in enumerate(means):
        apart = x - mean
        covariances.append((r[:, k : k + 1] * apart).t() @ apart / total[k])
    least = least_variance * torch.eye(x.shape[1], dtype=torch.float64)
    factors = torch.linalg.cholesky(torch.stack(covariances).double() + least).to(x.dtype)
    return GaussianMixture(total / total.sum(), means, factors)


def _far_apart(x: Tensor, components: int) -> Tensor:
    """Examples as first centres (K, q): each the best of a few, drawn in proportion to its squared distance from the others."""
    generator = torch.Generator().manual_seed(0)
    trials = 2 + int(math.log(components))
    first = int(torch.randint(len(x), (), generator=generator))
    centres, squares = [x[first]], (x - x[first]).square().sum(1)
    while len(centres) < components:
        odds = squares if float(squares.sum()) > 0 else torch.ones_like(squares)  # fewer distinct examples than centres
        tried = torch.multinomial(odds, trials, replacement=True, generator=generator)
        candidates = torch.stack([torch.minimum(squares, (x - x[i]).square().sum(1)) for i in tried])
        best = int(candidates.sum(1).argmin())
        centres.append(x[tried[best]])
        squares = candidates[best]
    return torch.stack(centres)


def _k_means(x: Tensor, centres: Tensor) -> Tensor:
    """The number of the nearest centre of each example, (n,), once the centres are the means of theirs."""
    nearest = torch.full((len(x),), -1)
    for _ in range(LLOYD):
        before, nearest = nearest, (centres.square().sum(1) - 2 * x @ centres.t()).argmin(1)
        if torch.equal(before, nearest):
            break
        size = torch.bincount(nearest, minlength=len(centres)).unsqueeze(1)
        total = torch.zeros_like(centres).index_add_(0, nearest, x)
        centres = torch.where(size > 0, total / size.clamp_min(1), centres)
    return nearest
