"""Probabilistic principal component analysis (Tipping & Bishop 1999): a latent h ~ N(0, I) of q dimensions generates

    x = W h + mu + sigma eps,  eps ~ N(0, I),    so that    p(x) = N(x; mu, C),  C = W W^T + sigma^2 I.

Its maximum of the likelihood is known: mu is the mean of the data, and with the eigenvalues l_1 >= ... >= l_D of their
covariance S and the leading eigenvectors U,

    W = U diag(sqrt(l_i - sigma^2)),    sigma^2 = (l_(q+1) + ... + l_D)/(D - q),

up to a rotation of h, fixed here so that the latent axes are the principal ones in the order of variance. There the average
log p(x) is -1/2 [D log(2 pi) + sum_(i<=q) log l_i + (D - q) log sigma^2 + D]. So no gradient is needed: training adds up moments
(moments.py), and the parameters are solved for at the end, or when they are used before. No D x D matrix is inverted;
with M = W^T W + sigma^2 I,

    log|C| = log|M| + (D - q) log sigma^2,    d^T C^-1 d = (|d|^2 - d^T W M^-1 W^T d)/sigma^2,    E[h|x] = M^-1 W^T (x - mu).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from genlab.config.types import Count
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import GenerativeModel, Metrics
from genlab.models.candidates import Candidate, family, higher
from genlab.models.latent.moments import ExactMoments, Moments, SketchedMoments
from genlab.networks.choices import note
from genlab.networks.trunk import Trunk, affine
from genlab.optimizers.recipe import Recipe

DEFAULT_AXES = 32
WIDE = 4_096  # components above which `auto` takes the randomised method
MOST_EXACT = 16_384  # components whose second moments take 2 GiB


class PCA(GenerativeModel):
    """A Gaussian density, of binary or bounded data too. Reconstructions are orthogonal projections on the principal axes.

    Reconstructions and samples of data in [0, 1] are clipped to it; log p(x) is that of the Gaussian, which is not.
    """

    solved_at: Tensor

    supports = frozenset({"binary", "unit", "real"})
    discrete = False
    deterministic_loss = True
    closed_form = True

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = dict.fromkeys(
        (
            "mode collapse",
            "low coverage",
            "missing classes",
            "samples far from the data",
            "range of the decoder",
            "range of the samples",
        ),
        (higher("model.latent_dim", 2), family("vae")),
    )

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe | None,
        *,
        latent_dim: Count | None,
        method: Literal["auto", "exact", "randomised"],
    ) -> None:
        super().__init__(data, optimizer)
        q = latent_dim or max(1, min(DEFAULT_AXES, data.dim - 1))
        if q > data.dim:
            raise GenlabError(
                f"model.latent_dim={q}: dataset={data.name} has {data.dim} components and no more axes than that; "
                f"set model.latent_dim={max(1, data.dim - 1)} or less"
            )
        if method == "exact" and data.dim > MOST_EXACT:
            raise GenlabError(
                f"model.method=exact: the second moments of {data.dim:,} components take {8 * data.dim**2 / 2**30:.1f} GiB; "
                "set model.method=randomised"
            )
        self.latent_dim = q
        if method == "randomised" or (method == "auto" and data.dim > WIDE):
            self.moments: Moments = SketchedMoments(data.mean, columns=min(data.dim, 8 * q + 100))
            note(self, method="randomised")
        else:
            self.moments = ExactMoments(data.mean, 2 if data.support == "binary" else data.levels)
            note(self, method="exact")
        # Before training: the optimum for independent components, which follows from the data specification.
        variances, order = data.std.flatten().double().square().sort(descending=True)
        unit = one_hot(order[:q], data.dim).float()
        self.mean = _parameter(data.mean)
        self.components = _parameter(unit.unflatten(1, data.shape))
        self.eigenvalues = _parameter(variances[:q].float())
        self.noise_variance = _parameter(self._noise(variances[:q], variances.sum()))
        self.register_buffer("solved_at", torch.zeros((), dtype=torch.int64))

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            self.moments.add(batch.x)
            yield {"total_variance": self.moments.variance()}
        self.solve()

    @torch.no_grad()
    def solve(self) -> None:
        """Set the parameters to the maximum of the likelihood for the examples counted so far, if any are new."""
        count = int(self.moments.count)
        if count == int(self.solved_at):
            return
        axes = self.moments.leading(self.latent_dim)
        self.mean.copy_(axes.mean.view_as(self.mean))
        self.components.copy_(axes.vectors.view_as(self.components))
        self.eigenvalues.copy_(axes.variances)
        self.noise_variance.copy_(self._noise(axes.variances, axes.total))
        self.solved_at.fill_(count)

    def _noise(self, variances: Tensor, total: Tensor) -> Tensor:
        """sigma^2: the mean variance of the discarded axes. Where none is, that of the last axis, so that C = S."""
        rest = self.data.dim - self.latent_dim
        noise = (total - variances.sum()) / rest if rest else variances[-1]
        return noise.clamp_min(self._least_variance(float(variances[0]))).float()

    def _least_variance(self, largest: float) -> float:
        """Variances below this count as 0: rounding of the data, which are float32, and of the eigenvalues."""
        rounding = torch.finfo(torch.float32).eps * max(abs(self.data.low), abs(self.data.high))
        return max(rounding**2, 1e-12 * largest, 1e-30)

    def remarks(self) -> list[str]:
        """One line where the likelihood has no maximum because the data lie in a subspace."""
        self.solve()
        zero = 1.001 * self._least_variance(float(self.eigenvalues[0]))
        if float(self.noise_variance) > zero:
            return []
        span = int((self.eigenvalues > zero).sum())
        remedies = [f"set model.latent_dim={span - 1} or less"] if span > 1 else []
        remedies += ["dataset.dequantize=true"] if self.data.levels else [] if remedies else ["add noise to the data"]
        return [
            f"the training examples span {span} dimensions, of which model.latent_dim={self.latent_dim} leaves none to "
            f"sigma^2: log p(x) is that of noise of variance {float(self.noise_variance):.2g}, put in by hand; "
            + " or ".join(remedies)
        ]

    def factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """W (D, q), sigma^2 and a Cholesky factor of M (q, q), in float64."""
        self.solve()
        precise = torch.float32 if self.device.type == "mps" else torch.float64
        variance = self.noise_variance.to(precise)
        gain = (self.eigenvalues.to(precise) - variance).clamp_min(0)
        W = self.components.flatten(1).to(precise).T * gain.sqrt()
        # From W itself: the components, which are float32, are orthonormal to 7 digits only.
        M = W.T @ W + variance * torch.eye(self.latent_dim, dtype=precise, device=W.device)
        return W, variance, torch.linalg.cholesky(M)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, a density, shape (n,) in float64."""
        W, variance, lower = self.factors()
        d = (x.to(W.dtype) - self.mean).flatten(1)
        z = torch.linalg.solve_triangular(lower, (d @ W).T, upper=False)
        mahalanobis = (d.square().sum(1) - z.square().sum(0)) / variance
        log_det = 2 * lower.diagonal().log().sum() + (self.data.dim - self.latent_dim) * variance.log()
        log_p: Tensor = -0.5 * (self.data.dim * math.log(2 * math.pi) + log_det + mahalanobis)
        return log_p

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """loss = -log p(x) in nats, and the squared error of the projection."""
        mse = (batch.x - self.reconstruct(batch.x)).square().flatten(1).sum(1)
        return {"loss": -self.log_prob(batch.x), "mse": mse}

    @torch.no_grad()
    def sample_loop(self, n: int, mean: bool | None = None) -> Iterator[Tensor]:
        """h ~ N(0, I), then W h + mu for `mean` (as pictures are shown) or x ~ p(x|h) (the default for vectors)."""
        x = self._mean_of(torch.randn(n, self.latent_dim, device=self.device))
        if not (self.data.on_grid if mean is None else mean):
            x = x + self.noise_variance.sqrt() * torch.randn_like(x)
        yield self._clipped(x)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Orthogonal projection on mu + span U, the linear map of least squared error; decode(encode(x)) would shrink x."""
        return self.reconstruct_with(x, self.latent_dim)

    @torch.no_grad()
    def trunk(self) -> Trunk:
        """The principal components of x, a linear layer that a classifier may start from."""
        axes = self.components.flatten(1).T
        return Trunk(affine(axes, axes.new_zeros(axes.shape[1])), self.mean, torch.ones(()), self.data.shape)

    @torch.no_grad()
    def reconstruct_with(self, x: Tensor, components: int) -> Tensor:
        """Projection on the first `components` axes."""
        self.solve()
        axes = self.components[:components].flatten(1)
        projection = (x - self.mean).flatten(1) @ axes.T @ axes
        return self._clipped(self.mean + projection.view_as(x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """E[h|x], shape (n, latent_dim)."""
        W, _, lower = self.factors()
        d = (x.to(W.dtype) - self.mean).flatten(1)
        return torch.cholesky_solve((d @ W).T, lower).T.float()

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        """E[x|h] = W h + mu."""
        return self._clipped(self._mean_of(h))

    def spectrum(self) -> tuple[Tensor, float]:
        self.solve()
        kept = self.eigenvalues.double()
        return kept, float(kept.sum() + (self.data.dim - self.latent_dim) * self.noise_variance.double())

    def filters(self) -> Tensor:
        """The principal axes as examples (latent_dim, *shape), each of length 1."""
        self.solve()
        return self.components

    def _mean_of(self, h: Tensor) -> Tensor:
        """W h + mu, (n, *shape)."""
        W, _, _ = self.factors()
        x: Tensor = self.mean + (h @ W.to(h.dtype).T).unflatten(1, self.data.shape)
        return x

    def _clipped(self, x: Tensor) -> Tensor:
        return x if self.data.support == "real" else x.clamp(0, 1)


def _parameter(value: Tensor) -> nn.Parameter:
    """A parameter without a gradient, which no optimizer changes."""
    return nn.Parameter(value.clone().contiguous(), requires_grad=False)
