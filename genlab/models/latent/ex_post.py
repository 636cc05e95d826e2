"""A density of codes, fitted after training: samples of a family without a prior (Ghosh et al. 2020).

An autoencoder is no model of p(x). Samples can still be made: a density is fitted to the codes of the training data, and draws
from it are decoded. The density is a Gaussian, or a mixture of Gaussians with full covariances fitted by
expectation-maximisation. It is no part of the training, and figures of such samples should say so.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from genlab.models.latent.gaussian_mixture import GaussianMixture, fit_mixture, maximised
from genlab.numerics import shares
from genlab.numerics.work import spend

Density = Literal["gaussian", "mixture"]

CAPACITY = 10_000  # codes that are kept
LEAST_CODES = 10  # for each dimension and for each component; with fewer, a Gaussian is fitted and no mixture
LEAST_VARIANCE = 1e-5  # added along every axis, in units of the mean variance of the codes
EM_ITERATIONS = 10  # after k-means
EM_SECONDS = 2e-7  # nominal ones of the whole fit, for each code, dimension and component


class CodeDensity(nn.Module):
    """Keeps the codes of the last 10,000 examples, and draws new codes from a density that is fitted to them when needed."""

    ring: Tensor
    written: Tensor

    def __init__(self, latent_dim: int, density: Density, components: int) -> None:
        super().__init__()
        self.latent_dim, self.density, self.components = latent_dim, density, components
        self.register_buffer("ring", torch.zeros(CAPACITY, latent_dim))
        self.register_buffer("written", torch.zeros((), dtype=torch.int64))
        self._fitted: tuple[tuple[int, float], GaussianMixture] | None = None

    @torch.no_grad()
    def add(self, h: Tensor) -> None:
        """Write codes (n, latent_dim), and those of all processes, over the oldest ones."""
        h = shares.whole_rows(h.detach())[-CAPACITY:]
        place = (self.written + torch.arange(len(h), device=h.device)) % CAPACITY
        self.ring.index_copy_(0, place, h.to(self.ring.dtype))
        self.written += len(h)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n codes (n, latent_dim); from N(0, I) before any code was added."""
        count = self._count()
        key = (int(self.written), float(self.ring.double().sum()) if self.ring.device.type != "mps" else 0.0)
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = key, _fit(self.ring[:count], self.components if self._is_mixture(count) else 1)
        return self._fitted[1].sample(n)

    def describe(self) -> str:
        """The density that `sample` draws from, in words."""
        count = self._count()
        if count < 2:
            return "standard normal density, for lack of codes"
        shape = f"mixture of {self.components} Gaussians" if self._is_mixture(count) else "Gaussian"
        return f"{shape} fitted to the newest {count:,} codes of the training"

    def _count(self) -> int:
        return min(int(self.written), CAPACITY)

    def _is_mixture(self, count: int) -> bool:
        return (
            self.density == "mixture"
            and self.components > 1
            and count >= LEAST_CODES * max(self.latent_dim, self.components)
        )


def _fit(codes: Tensor, components: int) -> GaussianMixture:
    """A mixture of `components` Gaussians fitted to codes (n, q), without numbers from torch's generators.

    The same codes give the same mixture.
    """
    x = codes.cpu().double()
    x = x[x.isfinite().all(1)]
    q = x.shape[1]
    mean = x.mean(0) if len(x) > 1 else torch.zeros(q, dtype=torch.float64)
    scale = x.var(0, correction=0).mean().sqrt().clamp_min(1e-12) if len(x) > 1 else torch.ones(())
    u = (x - mean) / scale
    if len(x) < 2:
        found = GaussianMixture(torch.ones(1), torch.zeros(1, q), torch.eye(q).unsqueeze(0))
    elif components == 1:
        found = maximised(u, torch.ones(len(u), 1, dtype=u.dtype), LEAST_VARIANCE)
    else:
        found = fit_mixture(u, components, EM_ITERATIONS, LEAST_VARIANCE)
        spend(EM_SECONDS * (CAPACITY - len(x)) * q * components)  # what a fit to all the codes of later ones takes more
    parts = (found.weights, mean + scale * found.means, scale * found.factors)
    return GaussianMixture(*(part.float().to(codes.device) for part in parts))
