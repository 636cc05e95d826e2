"""Priors p(h) of a latent-variable model.

normal     N(h; 0, I)
mixture    sum_k pi_k N(h; m_k, diag s_k^2), all learned
vamp       1/K sum_k q(h|u_k): the approximate posteriors of K learned examples u_k (Tomczak & Welling 2018)
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec

PriorName = Literal["normal", "mixture", "vamp"]
Posterior = Callable[[Tensor], tuple[Tensor, Tensor]]


def log_normal(h: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    """log N(h; mu, diag exp(log_var)) in nats, summed over the last dimension."""
    return -0.5 * ((h - mu).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi)).sum(-1)


class Prior(nn.Module, ABC):
    """A mixture of normal distributions with diagonal covariances; the standard normal one has a single component."""

    @abstractmethod
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """log pi (K,), means (K, latent_dim), log variances (K, latent_dim)."""

    def log_prob(self, h: Tensor) -> Tensor:
        """log p(h) in nats for h of shape (..., latent_dim)."""
        log_pi, mu, log_var = self.parts()
        return torch.logsumexp(log_pi + log_normal(h.unsqueeze(-2), mu, log_var), -1)

    def sample(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        log_pi, mu, log_var = self.parts()
        k = torch.multinomial(log_pi.exp(), n, replacement=True)
        return mu[k] + torch.exp(0.5 * log_var[k]) * torch.randn(n, mu.shape[1], device=mu.device)


class StandardNormal(Prior):
    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(1, latent_dim), persistent=False)

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        zero = self.get_buffer("zero")
        return zero[:, 0], zero, zero


class Mixture(Prior):
    """Starts from components scattered like draws of N(0, I), each of half its width."""

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.mu = nn.Parameter(torch.randn(components, latent_dim))
        self.log_var = nn.Parameter(torch.full((components, latent_dim), -1.4))

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.logits.log_softmax(0), self.mu, self.log_var


class Vamp(Prior):
    """Pseudo-examples start as draws of independent components with the data's marginals, within the data's range."""

    def __init__(self, data: DataSpec, posterior: Posterior, components: int) -> None:
        super().__init__()
        self.posterior = posterior
        self.bounded = data.support != "real"
        start = data.mean + data.std * torch.randn(components, *data.shape)
        self.pseudo = nn.Parameter(start.clamp(0.01, 0.99).logit() if self.bounded else start)

    def examples(self) -> Tensor:
        """u, (K, *shape)."""
        return self.pseudo.sigmoid() if self.bounded else self.pseudo

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        mu, log_var = self.posterior(self.examples())
        return mu.new_full((len(mu),), -math.log(len(mu))), mu, log_var


def prior_of(name: PriorName, data: DataSpec, posterior: Posterior, latent_dim: int, components: int) -> Prior:
    if name == "mixture":
        return Mixture(latent_dim, components)
    return Vamp(data, posterior, components) if name == "vamp" else StandardNormal(latent_dim)
