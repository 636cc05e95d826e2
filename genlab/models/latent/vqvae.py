"""Vector-quantised variational autoencoder (van den Oord, Vinyals & Kavukcuoglu 2017): a code of P symbols out of K.

The encoder gives P vectors z_e(x)_i, one for each place of a coarse grid (convolutions) or P of no place (feed-forward). Each
is replaced by the nearest vector of the codebook, z_i = argmin_k ||z_e(x)_i - e_k||^2, and the decoder sees z_q,i = e_(z_i).
The argmin has no derivative: z_e takes the gradient of z_q unchanged (straight through). The loss of an example is

    L = -log p(x|z_q) + beta sum_i ||z_e(x)_i - sg(z_q,i)||^2 - log p(z),        sg: constant for the gradient.

The first two terms train encoder and decoder. The second, with the `commitment` beta, keeps the encoder near the vectors that
it chose. The codebook takes no gradient: it is a running k-means (codebook.py). The `perplexity` of a batch is exp H of
its choices: K where all vectors are equally frequent, 1 where only one is chosen.

The last term trains the prior p(z) = prod_i p(z_i|z_<i), a causal transformer (networks/causal_transformer.py), and nothing
else. With it the model has a likelihood. In log p(x) = log sum_z p(z) p(x|z) the single term z = z(x) is a lower bound:

    log p(x) >= log p(x|z(x)) + log p(z(x)),        with -log2 p(z(x)) the length of the code in bits.

The prior learns at the same time as the autoencoder, from codes that still change. Training the autoencoder in the first half
and the prior in the second was worse on MNIST, in the same time: the codes settle early, and a prior that starts late sees too
few of them. Nothing in L limits the information in a code; P and K do. With too many symbols the code repeats the noise of the
pixels, which costs the prior as much as it saves the decoder.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from genlab.config.types import Count, NonNegative, Share
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.candidates import Candidate, higher
from genlab.models.latent.codebook import Codebook, perplexity, straight_through
from genlab.models.latent.observation import Likelihood, observation_model
from genlab.models.scaling import Scaling
from genlab.networks.causal_transformer import CausalTransformer
from genlab.networks.code_grids import code_networks
from genlab.networks.mlp import Activation
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart

NOISE_RATE = (
    10  # for log sigma of p(x|z), in units of the networks' learning rate: with fine codes sigma changes by much
)


class VQVAE(GenerativeModel):
    """Encoder, codebook and decoder, and a prior of the codes, all trained at the same time on the same batches."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "elbo": Quantity("nats", "higher", lower_bound=True),
        "bound": Quantity("nats", "higher", lower_bound=True),
        "reconstruction": Quantity("nats"),
        "prior": Quantity("nats"),
    }
    charts: ClassVar[Charts] = {
        "the bound and its two terms": Chart(
            ["eval/bound", "eval/reconstruction", "eval/prior"],
            "Validation examples, in nats. Bound = reconstruction term - length of the code under the prior.",
        ),
        "codes in use": Chart(
            ["monitor/perplexity_train", "monitor/perplexity_held_out"],
            "Perplexity of the symbols: the number of vectors of the codebook that are used as if equally often.",
        ),
    }
    supports = frozenset({"binary", "unit", "real"})

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = dict.fromkeys(
        ("mode collapse", "low coverage", "missing classes", "dead code units"),
        (higher("model.revival", to=0.02), higher("model.codebook", 2), higher("model.prior_width", 2)),
    )

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
        codebook = codebook or (256 if data.on_grid else 32)
        self.commitment = commitment
        self.observation = observation_model(likelihood, data)
        self.discrete = self.observation.discrete
        self.encoder, self.decoder, self.positions = code_networks(
            data,
            network,
            hidden,
            positions,
            dim=code_dim,
            activation=activation,
            initial_output=self.observation.marginal(data),  # the best model that ignores the code
        )
        self.latent_dim = self.positions * code_dim
        self.codebook = Codebook(codebook, code_dim, decay, revival)
        self.prior = CausalTransformer(self.positions, codebook, prior_width, prior_depth, prior_dropout)
        self.scaling = Scaling.standard(data)
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
            used = self.codebook.update(z_e.detach(), z)

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
        out: Tensor = self.encoder(self.scaling.inner(x))
        return out.float()

    def log_likelihood(self, z_q: Tensor, x: Tensor) -> Tensor:
        """log p(x|z_q) of vectors z_q (n, positions, code_dim), in nats, shape (n,)."""
        return self.observation.log_prob(self.decoder(z_q).float(), x)

    @torch.no_grad()
    def symbols(self, x: Tensor) -> Tensor:
        """z(x), indices into the codebook: int64, shape (n, positions)."""
        return self.codebook.nearest(self.features(x))

    @torch.no_grad()
    def log_bound(self, x: Tensor) -> Tensor:
        """log p(x|z(x)) + log p(z(x)) <= log p(x)."""
        z = self.symbols(x)
        return self.log_likelihood(self.codebook.lookup(z), x) + self.prior.log_prob(z)

    @torch.no_grad()
    def rate_bits(self, x: Tensor) -> Tensor:
        """-log2 p(z(x)), shape (n,): bits of the code of x in arithmetic coding with the prior as the model."""
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
        """Use of the codebook by examples of each split: perplexity, and the share of vectors that are chosen at all."""
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
        show_mean = self.data.on_grid if mean is None else mean
        yield self.observation.mean(out) if show_mean else self.observation.sample(out)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z(x)]."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """z_q(x), flattened: (n, positions * code_dim)."""
        return self.codebook.lookup(self.symbols(x)).flatten(1)

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        """E[x|h] of h (n, positions * code_dim), whose vectors may lie between those of the codebook."""
        return self.observation.mean(self.decoder(h.unflatten(1, (self.positions, -1))).float())
