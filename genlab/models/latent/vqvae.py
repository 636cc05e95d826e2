"""Vector-quantised variational autoencoder (van den Oord, Vinyals & Kavukcuoglu 2017): a code of P symbols out of K.

The encoder gives P vectors z_e(x)_i, one for each place of a coarse grid (convolutions) or P of no place (feed-forward). Each
is replaced by the nearest vector of the codebook, z_i = argmin_k ||z_e(x)_i - e_k||^2, and the decoder sees z_q,i = e_(z_i).
The argmin has no derivative: the gradient of z_q is handed on to z_e as it is (straight through). The loss of an example is

    L = -log p(x|z_q) + beta sum_i ||z_e(x)_i - sg(z_q,i)||^2 - log p(z),        sg: constant for the gradient.

The first two terms train encoder and decoder; the second, with the `commitment` beta, keeps the encoder near the vectors that
it chose. The codebook takes no gradient. It is a running k-means: with n_k choices of k in a batch and a `decay` g,

    N_k <- g N_k + (1 - g) n_k,        m_k <- g m_k + (1 - g) sum_{i: z_i = k} z_e,i,        e_k = m_k / N_k,

N_k smoothed so that it never vanishes (Laplace). It starts with k-means on the first batch, and a vector that is hardly chosen
any more starts anew at what the encoder puts out (Dhariwal et al. 2020). The `perplexity` of a batch is exp H of its choices:
K where all are equally frequent, 1 where one is left.

The last term trains the prior p(z) = prod_i p(z_i|z_<i), a causal transformer (autoregressive.py), and nothing else. With it
the model has a likelihood, and of log p(x) = log sum_z p(z) p(x|z) the one term z = z(x) is a lower bound:

    log p(x) >= log p(x|z(x)) + log p(z(x)),        with -log2 p(z(x)) the length of the code in bits.

The prior learns beside the autoencoder, from codes that still change. One half of the training for each in turn was tried on
MNIST, in the same time, and was worse: the codes settle early, and a prior that starts late sees too few of them. Nothing in
L limits how much a code says, and so P and K do: with too many symbols it repeats the noise of the pixels, which costs the
prior as much as it saves the decoder.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, NonNegative, Share
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import GenerativeModel, Metrics, Quantity
from genlab.models.latent.observation import Likelihood, observation
from genlab.networks.causal_transformer import Autoregressive
from genlab.networks.code_grids import networks_of_positions
from genlab.networks.mlp import Activation
from genlab.optimizers.recipe import Recipe

LLOYD = 10  # steps of k-means at the start
NOISE_RATE = 10  # for log sigma of p(x|z), in units of the networks' rate: with fine codes it has far to go
SMOOTHING = 1e-5  # choices that every vector has for nothing


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
    def follow(self, z: Tensor, indices: Tensor, decay: float | None = None) -> Tensor:
        """Take vectors z (..., dim), which chose `indices` (...), into the running means; returns the choices n_k, (K,)."""
        decay = self.decay if decay is None else decay
        z, indices = z.flatten(0, -2), indices.flatten()
        with torch.autocast(z.device.type, enabled=False):
            # Sums by a matrix product: writes to repeated indices are rounded in no fixed order.
            chosen = F.one_hot(indices, self.size).to(z.dtype)
            n = chosen.sum(0)
            self.counts.lerp_(n, 1 - decay)
            self.sums.lerp_(chosen.T @ z, 1 - decay)
        self._revive(z)
        total = self.counts.sum()
        smooth = (self.counts + SMOOTHING) * (total / (total + self.size * SMOOTHING))
        self.vectors.copy_(self.sums / smooth[:, None])
        return n

    def _revive(self, z: Tensor) -> None:
        """Give each vector that is hardly chosen any more the place of a random one of z (n, dim), and a fair count."""
        fair = self.counts.sum() / self.size
        dead = self.counts < self.revival * fair
        places = z[torch.randint(len(z), (self.size,), device=z.device)]
        self.counts.copy_(torch.where(dead, fair, self.counts))
        self.sums.copy_(torch.where(dead[:, None], fair * places, self.sums))

    @torch.no_grad()
    def seed(self, z: Tensor) -> None:
        """Start at random ones of the vectors z (..., dim), and move them by a few steps of k-means."""
        flat = z.flatten(0, -2)
        order = torch.randperm(len(flat), device=z.device)
        self.vectors.copy_(flat[order[torch.arange(self.size, device=z.device) % len(flat)]])
        for _ in range(LLOYD):
            self.follow(flat, self.nearest(flat), decay=0.0)
        self.seeded.fill_(True)


def perplexity(counts: Tensor) -> Tensor:
    """exp H of the shares that `counts` (K,) have of their sum."""
    p = counts / counts.sum()
    return (-torch.xlogy(p, p).sum()).exp()


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """`quantised`, with the derivative of z."""
    return z + (quantised - z).detach()


class VQVAE(GenerativeModel):
    """Encoder, codebook and decoder, and a prior of the codes, all trained at the same time on the same batches."""

    shift: Tensor
    scale: Tensor

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "elbo": Quantity("nats", "higher", lower_bound=True),
        "bound": Quantity("nats", "higher", lower_bound=True),
        "reconstruction": Quantity("nats"),
        "prior": Quantity("nats"),
    }
    supports = frozenset({"binary", "unit", "real"})

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        codebook: Annotated[int, Field(gt=1)] | None,
        code_dim: Count,
        positions: Count | None,
        hidden: list[Count] | None,
        network: Literal["auto", "mlp", "conv"],
        activation: Activation,
        likelihood: Likelihood,
        commitment: NonNegative,
        decay: Share,
        revival: Share,
        prior_width: Count,
        prior_depth: Annotated[int, Field(ge=0)],
        prior_dropout: Share,
    ) -> None:
        super().__init__(data, optimizer)
        codebook = codebook or (256 if data.is_image else 32)
        self.commitment = commitment
        self.observation = observation(likelihood, data)
        self.discrete = self.observation.discrete
        self.encoder, self.decoder, self.positions = networks_of_positions(
            data,
            network,
            hidden,
            positions,
            dim=code_dim,
            activation=activation,
            start=self.observation.marginal(data),  # the best model that ignores the code
        )
        self.latent_dim = self.positions * code_dim
        self.codebook = Codebook(codebook, code_dim, decay, revival)
        self.prior = Autoregressive(self.positions, codebook, prior_width, prior_depth, prior_dropout)
        self.standardise = data.support == "real"
        self.register_buffer("shift", data.mean)
        self.register_buffer("scale", data.std.clamp_min(1e-6))
        groups: list[dict[str, object]] = [{"params": [*self.encoder.parameters(), *self.decoder.parameters()]}]
        if noise := list(self.observation.parameters()):
            groups.append({"params": noise})
        self.optimizers["vqvae"] = optimizer(groups)
        for group in self.optimizers["vqvae"].param_groups[1:]:
            group["base_lr"] *= NOISE_RATE
        self.optimizers["prior"] = optimizer(self.prior.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        seeded = bool(self.codebook.seeded)
        for batch in batches:
            z_e = self.features(batch.x)
            if not seeded:
                self.codebook.seed(z_e)
                seeded = True
            z = self.codebook.nearest(z_e)
            z_q = self.codebook.lookup(z)
            reconstruction = self.log_likelihood(straight_through(z_e, z_q), batch.x).mean()
            commitment = self.commitment * (z_e - z_q).square().sum((1, 2)).mean()
            self.descend(self.optimizers["vqvae"], commitment - reconstruction)
            used = self.codebook.follow(z_e.detach(), z)

            prior = self.descend(self.optimizers["prior"], -self.prior.log_prob(z).mean())
            reconstruction, commitment = reconstruction.detach(), commitment.detach()
            yield {
                "loss": commitment - reconstruction + prior,
                "bound": reconstruction - prior,
                "reconstruction": reconstruction,
                "prior": prior,
                "commitment": commitment,
                "perplexity": perplexity(used),
            }

    def features(self, x: Tensor) -> Tensor:
        """z_e(x), shape (n, positions, code_dim)."""
        out: Tensor = self.encoder((x - self.shift) / self.scale if self.standardise else x)
        return out.float()

    def log_likelihood(self, z_q: Tensor, x: Tensor) -> Tensor:
        """log p(x|z_q) of vectors z_q (n, positions, code_dim), in nats, shape (n,)."""
        return self.observation.log_prob(self.decoder(z_q).float(), x)

    @torch.no_grad()
    def symbols(self, x: Tensor) -> Tensor:
        """z(x): int64 below the size of the codebook, shape (n, positions)."""
        return self.codebook.nearest(self.features(x))

    @torch.no_grad()
    def log_bound(self, x: Tensor) -> Tensor:
        """log p(x|z(x)) + log p(z(x)) <= log p(x)."""
        z = self.symbols(x)
        return self.log_likelihood(self.codebook.lookup(z), x) + self.prior.log_prob(z)

    @torch.no_grad()
    def rate_bits(self, x: Tensor) -> Tensor:
        """-log2 p(z(x)), shape (n,): bits that the code of x takes, with the prior as the model of an arithmetic coder."""
        return -self.prior.log_prob(self.symbols(x)) / math.log(2)

    def code_bits(self) -> float:
        """P log2 K: bits of a code whose symbols are stored as they are."""
        return self.positions * math.log2(self.codebook.size)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        z_e = self.features(batch.x)
        z = self.codebook.nearest(z_e)
        z_q = self.codebook.lookup(z)
        out = self.decoder(z_q).float()
        reconstruction, prior = self.observation.log_prob(out, batch.x), -self.prior.log_prob(z)
        return {
            "loss": prior - reconstruction,
            "commitment": self.commitment * (z_e - z_q).square().sum((1, 2)),
            "bound": reconstruction - prior,
            "reconstruction": reconstruction,
            "prior": prior,
            "mse": (batch.x - self.observation.mean(out)).square().flatten(1).sum(1),
        }

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """How the codebook is used by examples of each split: perplexity, and the share of vectors that anything chooses."""
        found: Metrics = {}
        for name, x in (("train", train), ("held_out", held_out)):
            if x is not None:
                n = torch.bincount(self.symbols(x).flatten(), minlength=self.codebook.size).float()
                found |= {f"perplexity_{name}": perplexity(n), f"codes_used_{name}": (n > 0).float().mean()}
        return found

    @torch.no_grad()
    def sample_loop(self, n: int, mean: bool | None = None) -> Iterator[Tensor]:
        """z ~ p(z), one symbol after the other, then E[x|z] for `mean` (as pictures are shown) or x ~ p(x|z) (for vectors)."""
        out = self.decoder(self.codebook.lookup(self.prior.sample(n))).float()
        show_mean = self.data.is_image if mean is None else mean
        yield self.observation.mean(out) if show_mean else self.observation.sample(out)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z(x)]."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """z_q(x) in one row, (n, positions * code_dim)."""
        return self.codebook.lookup(self.symbols(x)).flatten(1)

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        """E[x|h]; h need not lie in the codebook, so that one can interpolate."""
        return self.observation.mean(self.decoder(h.unflatten(1, (self.positions, -1))).float())
