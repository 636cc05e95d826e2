"""The codebook of a vector-quantised autoencoder: K vectors e_k, a running k-means of what the encoder puts out.

With n_k choices of vector k in a batch and a `decay` g (van den Oord et al. 2017, appendix A.1),

    N_k <- g N_k + (1 - g) n_k,        m_k <- g m_k + (1 - g) sum_{i: z_i = k} z_e,i,        e_k = m_k / N_k,

with N_k smoothed so that it never vanishes (Laplace). The vectors start from k-means on the first batch. A vector that is hardly
chosen any more restarts at a random output of the encoder (Dhariwal et al. 2020).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlab.numerics import shares

KMEANS_STEPS = 10  # at the start
SMOOTHING = 1e-5  # choices that are added to those of every vector


class Codebook(nn.Module):
    """K vectors of dimension `dim`, each at the running mean of the vectors that were nearest to it."""

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    seeded: Tensor

    def __init__(self, size: int, dim: int, decay: float, revival: float) -> None:
        super().__init__()
        self.size, self.decay, self.revival = size, decay, revival
        self.register_buffer("vectors", torch.randn(size, dim))
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("seeded", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def nearest(self, z: Tensor) -> Tensor:
        """argmin_k ||z - e_k||^2 for z (..., dim): int64 (...)."""
        with torch.autocast(z.device.type, enabled=False):
            # ||z - e||^2 = ||z||^2 - 2 (z.e - ||e||^2/2), of which the first does not depend on k
            half = 0.5 * self.vectors.square().sum(1)
            scores = torch.addmm(-half, z.flatten(0, -2), self.vectors.T)
        return scores.argmax(1).view(z.shape[:-1])

    def lookup(self, indices: Tensor) -> Tensor:
        """e_z for indices z (...): (..., dim)."""
        return F.embedding(indices, self.vectors)

    @torch.no_grad()
    def update(self, z: Tensor, indices: Tensor, decay: float | None = None) -> Tensor:
        """Take vectors z (..., dim), which chose `indices` (...), into the running means; returns the choices n_k, (K,)."""
        decay = self.decay if decay is None else decay
        flat, indices = z.flatten(0, -2), indices.flatten()
        with torch.autocast(z.device.type, enabled=False):
            # Sums by a matrix product: writes to repeated indices are rounded in no fixed order.
            chosen = F.one_hot(indices, self.size).to(z.dtype)
            n = shares.whole_sum(chosen.sum(0))
            self.counts.lerp_(n, 1 - decay)
            self.sums.lerp_(shares.whole_sum(chosen.T @ flat), 1 - decay)
        self._revive(z)
        total = self.counts.sum()
        smooth = (self.counts + SMOOTHING) * (total / (total + self.size * SMOOTHING))
        self.vectors.copy_(self.sums / smooth[:, None])
        return n

    def _revive(self, z: Tensor) -> None:
        """Each vector that is hardly chosen any more takes the place of a random one of z (..., dim), and the mean count."""
        mean_count = self.counts.sum() / self.size
        dead = self.counts < self.revival * mean_count
        flat = z.flatten(0, -2)
        some = torch.randint(shares.processes() * len(flat), (self.size,), device=z.device)
        places = shares.picked(flat, some, z[0, ..., 0].numel())
        self.counts.copy_(torch.where(dead, mean_count, self.counts))
        self.sums.copy_(torch.where(dead[:, None], mean_count * places, self.sums))

    @torch.no_grad()
    def seed(self, z: Tensor) -> None:
        """Start from random ones of the vectors z (..., dim), moved by a few steps of k-means."""
        flat = z.flatten(0, -2)
        order = torch.randperm(shares.processes() * len(flat), device=z.device)
        some = order[torch.arange(self.size, device=z.device) % len(order)]
        self.vectors.copy_(shares.picked(flat, some, z[0, ..., 0].numel()))
        for _ in range(KMEANS_STEPS):
            self.update(z, self.nearest(z), decay=0.0)
        self.seeded.fill_(True)


def perplexity(counts: Tensor) -> Tensor:
    """exp H of the shares that `counts` (K,) have of their sum."""
    p = counts / counts.sum()
    return (-torch.xlogy(p, p).sum()).exp()


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """`quantised`, with the derivative of z."""
    return z + (quantised - z).detach()
