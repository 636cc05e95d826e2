"""Variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014).

A latent h with prior p(h) = N(0, I) generates x through a decoder, p(x|h); an encoder gives the approximate posterior
q(h|x) = N(h; mu(x), sigma^2(x) I). Training maximises the evidence lower bound, in nats per example and summed over pixels,

    log p(x) >= ELBO = E_q(h|x)[log p(x|h)] - KL(q(h|x) || p(h)),

with the first (reconstruction) term estimated by L draws h = mu + sigma * eps, eps ~ N(0, I), and the second (prior
matching) term in closed form, KL = 1/2 sum_j (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1).
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import GenerativeModel, Metrics
from genlab.models.observation import Likelihood, observation
from genlab.networks.autoencoding import Network, encoder_and_decoder, start_at
from genlab.networks.mlp import Activation
from genlab.optimizers import Recipe


def gaussian_kl(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, diag exp(log_var)) || N(0, I)) in nats, summed over the last dimension."""
    return 0.5 * (mu.square() + log_var.exp() - log_var - 1).sum(-1)


class VAE(GenerativeModel):
    """Maximises reconstruction - beta * KL, with beta rising from 0 over the first `kl_warmup` share of the training."""

    shift: Tensor
    scale: Tensor

    supports = frozenset({"binary", "unit", "real"})

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        latent_dim: Annotated[int, Field(gt=0)],
        hidden: list[Annotated[int, Field(gt=0)]] | None,
        network: Network,
        activation: Activation,
        likelihood: Likelihood,
        mc_samples: Annotated[int, Field(gt=0)],
        beta: Annotated[float, Field(ge=0)],
        kl_warmup: Annotated[float, Field(ge=0, lt=1)],
    ) -> None:
        super().__init__(data, optimizer)
        self.latent_dim, self.mc_samples, self.beta, self.kl_warmup = latent_dim, mc_samples, beta, kl_warmup
        self.observation = observation(likelihood, data)
        self.discrete = self.observation.discrete
        self.encoder, self.decoder = encoder_and_decoder(
            data,
            network,
            hidden,
            default_hidden=[400],
            code=2 * latent_dim,
            latent_dim=latent_dim,
            outputs=self.observation.outputs,
            activation=activation,
        )
        start_at(self.decoder, self.observation.marginal(data))  # the best model that ignores h
        self.standardise = data.support == "real"
        self.register_buffer("shift", data.mean)
        self.register_buffer("scale", data.std.clamp_min(1e-6))
        self.optimizers["vae"] = optimizer(self.parameters())

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["vae"]
        for batch in batches:
            reconstruction, kl = self.elbo_terms(batch.x, self.mc_samples)
            beta = self.beta * min(1.0, batch.progress / self.kl_warmup if self.kl_warmup else 1.0)
            loss = (beta * kl - reconstruction).mean()
            self.descend(optimizer, loss)
            reconstruction, kl = reconstruction.detach().mean(), kl.detach().mean()
            yield {"loss": loss.detach(), "elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(h|x), each of shape (n, latent_dim)."""
        seen = (x - self.shift) / self.scale if self.standardise else x
        mu, log_var = self.encoder(seen).float().chunk(2, dim=1)
        return mu, log_var

    def elbo_terms(self, x: Tensor, mc_samples: int) -> tuple[Tensor, Tensor]:
        """(1/L) sum_l log p(x|h_l) with h_l ~ q(h|x), and KL(q(h|x) || p(h)); each of shape (n,), in nats."""
        mu, log_var = self.posterior(x)
        eps = torch.randn(mc_samples, *mu.shape, device=mu.device)
        h = mu + torch.exp(0.5 * log_var) * eps
        xs = x if mc_samples == 1 else x.repeat(mc_samples, *[1] * (x.ndim - 1))
        log_p = self.observation.log_prob(self.decoder(h.flatten(0, 1)).float(), xs)
        return log_p.unflatten(0, (mc_samples, -1)).mean(0), gaussian_kl(mu, log_var)

    @torch.no_grad()
    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x|h) + log p(h) - log q(h|x) for k draws h ~ q(h|x), shape (k, n), in nats."""
        mu, log_var = self.posterior(x)
        eps = torch.randn(k, *mu.shape, device=mu.device)
        h = mu + torch.exp(0.5 * log_var) * eps
        xs = x.repeat(k, *[1] * (x.ndim - 1))
        log_p: Tensor = self.observation.log_prob(self.decoder(h.flatten(0, 1)).float(), xs)
        # The constants of the two normal densities cancel.
        return log_p.reshape(k, len(x)) + 0.5 * (eps.square() - h.square() + log_var).sum(-1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        reconstruction, kl = self.elbo_terms(batch.x, self.mc_samples)
        elbo = reconstruction - kl
        mse = (batch.x - self.reconstruct(batch.x)).square().flatten(1).sum(1)
        return {"loss": -elbo, "elbo": elbo, "reconstruction": reconstruction, "kl": kl, "mse": mse}

    @torch.no_grad()
    def sample_loop(self, n: int, mean: bool | None = None) -> Iterator[Tensor]:
        """h ~ p(h), then E[x|h] for `mean` (as pictures are shown) or x ~ p(x|h) (the default for vectors)."""
        out = self.decoder(torch.randn(n, self.latent_dim, device=self.device)).float()
        show_mean = self.data.is_image if mean is None else mean
        yield self.observation.mean(out) if show_mean else self.observation.sample(out)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|h] at the mean h of q(h|x)."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x)[0]

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        """E[x|h]."""
        return self.observation.mean(self.decoder(h).float())
