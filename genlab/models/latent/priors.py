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
from genlab.models.latent.normal import Normal, log_normal

PriorName = Literal["normal", "mixture", "vamp"]
Posterior = Callable[[Tensor], Normal]
"""q(h|x) of examples x."""


class Prior(nn.Module, ABC):
    """A mixture of normal distributions with diagonal covariances; the standard normal one has a single component."""

    @abstractmethod
    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """log pi (K,), means (K, latent_dim), log variances (K, latent_dim)."""

    def log_prob(self, h: Tensor) -> Tensor:
        """log p(h) in nats for h of shape (..., latent_dim)."""
        log_pi, mu, log_var = self.components()
        return torch.logsumexp(log_pi + log_normal(h.unsqueeze(-2), mu, log_var), -1)

    def sample(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        log_pi, mu, log_var = self.components()
        k = torch.multinomial(log_pi.exp(), n, replacement=True)
        return mu[k] + torch.exp(0.5 * log_var[k]) * torch.randn(n, mu.shape[1], device=mu.device)


class StandardNormal(Prior):
    """N(0, I)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(1, latent_dim), persistent=False)

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        zero = self.get_buffer("zero")
        return zero[:, 0], zero, zero


class MixturePrior(Prior):
    """A mixture of learned components. At the start their means are draws from N(0, I), and each has half its width."""

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.mu = nn.Parameter(torch.randn(components, latent_dim))
        self.log_var = nn.Parameter(torch.full((components, latent_dim), -1.4))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.logits.log_softmax(0), self.mu, self.log_var


class VampPrior(Prior):
    """The mean of the approximate posteriors of learned pseudo-examples.

    Pseudo-examples start as draws with the data's mean and standard deviation in each component, within the range of the data.
    """

    def __init__(self, data: DataSpec, posterior: Posterior, components: int) -> None:
        super().__init__()
        self.posterior = posterior
        self.bounded = data.support != "real"
        start = data.mean + data.std * torch.randn(components, *data.shape)
        self.pseudo = nn.Parameter(start.clamp(0.01, 0.99).logit() if self.bounded else start)

    def examples(self) -> Tensor:
        """u, (K, *shape)."""
        return self.pseudo.sigmoid() if self.bounded else self.pseudo

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        mu, log_var = self.posterior(self.examples())
        return mu.new_full((len(mu),), -math.log(len(mu))), mu, log_var


def prior_of(name: PriorName, data: DataSpec, posterior: Posterior, latent_dim: int, components: int) -> Prior:
    """The prior of that name; `posterior` is needed by the VampPrior alone."""
    if name == "mixture":
        return MixturePrior(latent_dim, components)
    return VampPrior(data, posterior, components) if name == "vamp" else StandardNormal(latent_dim)
