"""Distributions of one component, whose parameters a causal network puts out: p(u_i | u_1, ..., u_{i-1}).

Parameters have the shape (n, outputs, ...) and values (n, ...), on the family's inner scale.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.data.spec import DataSpec, Support
from genlab.errors import GenlabError
from genlab.models.scaling import Scaling
from genlab.numerics.softplus import logsigmoid

Likelihood = Literal["auto", "bernoulli", "categorical", "logistic_mixture", "gaussian_mixture"]

NOISES = 2  # even numbers in [0, 1] from which one component is drawn
LEAST_LOG_SCALE, MOST_LOG_SCALE = -7.0, 3.0  # of a component of a mixture, in units of the inner scale
FEW_LEVELS = 32  # grey levels up to which `auto` takes a probability of its own for each


class OutputDistribution(ABC):
    name: ClassVar[str]
    """In model.likelihood."""
    outputs: int
    """Parameters of one component."""
    discrete: bool
    """Whether `log_prob` is the log of a probability; else it is that of a density."""

    @abstractmethod
    def log_prob(self, parameters: Tensor, u: Tensor) -> Tensor:
        """log p(u) in nats for each component, of the shape of u."""

    def sample(self, parameters: Tensor) -> Tensor:
        """u ~ p(u), (n, ...)."""
        return self.draw(parameters, torch.rand_like(parameters[:, :1].expand(-1, NOISES, *parameters.shape[2:])))

    @abstractmethod
    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """u ~ p(u), (n, ...), as a function of noise that is even in [0, 1], (n, NOISES, ...)."""

    @abstractmethod
    def mean(self, parameters: Tensor) -> Tensor:
        """E[u], (n, ...)."""

    @abstractmethod
    def marginal(self, data: DataSpec, scaling: Scaling) -> Tensor:
        """Parameters of independent components with the mean and spread of the data, (outputs, D): training starts there."""


class Bernoulli(OutputDistribution):
    """p(1) = sigmoid(a), on the inner scale u = -1 and u = 1 in the place of 0 and 1."""

    name = "bernoulli"

    outputs, discrete = 1, True

    def log_prob(self, parameters: Tensor, u: Tensor) -> Tensor:
        return logsigmoid(parameters[:, 0] * u)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        return torch.where(noise[:, 0] < parameters[:, 0].sigmoid(), 1.0, -1.0).to(parameters.dtype)

    def mean(self, parameters: Tensor) -> Tensor:
        return torch.tanh(parameters[:, 0] / 2)

    def marginal(self, data: DataSpec, scaling: Scaling) -> Tensor:
        return data.mean.clamp(0.001, 0.999).logit().view(1, -1)


class Categorical(OutputDistribution):
    """p(v) = softmax(a)_v of grey levels v = 0, ..., K - 1, on the inner scale u = 2 v/(K - 1) - 1."""

    name = "categorical"

    discrete = True

    def __init__(self, levels: int) -> None:
        self.outputs, self.top = levels, levels - 1

    def log_prob(self, parameters: Tensor, u: Tensor) -> Tensor:
        v = ((u + 1) * (self.top / 2)).round().long()
        return -F.cross_entropy(parameters, v, reduction="none")

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        v = chosen(parameters.log_softmax(1), noise[:, 0])
        return 2.0 * v.to(parameters.dtype) / self.top - 1.0

    def mean(self, parameters: Tensor) -> Tensor:
        v = torch.arange(self.outputs, device=parameters.device).to(parameters.dtype)
        mean: Tensor = 2.0 * torch.tensordot(parameters.softmax(1), v, ([1], [0])) / self.top - 1.0
        return mean

    def marginal(self, data: DataSpec, scaling: Scaling) -> Tensor:
        return torch.zeros(self.outputs, data.dim)


class _Mixture(OutputDistribution):
    """sum_k pi_k f((u - m_k)/s_k)/s_k: parameters log pi_k (up to a constant), m_k and log s_k for each k."""

    def __init__(self, components: int) -> None:
        self.components, self.outputs = components, 3 * components

    def split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log pi, m and log s, each (n, components, ...)."""
        weight, m, log_s = parameters.unflatten(1, (3, self.components)).unbind(1)
        return weight.log_softmax(1), m, log_s.clamp(LEAST_LOG_SCALE, MOST_LOG_SCALE)

    def drawn(self, parameters: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """m and s of a component of the mixture that is drawn by its weight: (n, ...)."""
        log_pi, m, log_s = self.split(parameters)
        k = chosen(log_pi, noise[:, 0]).unsqueeze(1)
        return m.gather(1, k).squeeze(1), log_s.gather(1, k).squeeze(1).exp()

    def mean(self, parameters: Tensor) -> Tensor:
        """Of grey levels without what lies beyond the outermost."""
        log_pi, m, _ = self.split(parameters)
        return (log_pi.exp() * m).sum(1)

    def marginal(self, data: DataSpec, scaling: Scaling) -> Tensor:
        """Components spread evenly over two standard deviations about the mean."""
        mean = scaling.inner(data.mean.unsqueeze(0)).flatten()
        _, scale = scaling.shift_and_scale
        std = (data.std / scale.expand_as(data.std)).flatten().clamp_min(0.02)
        at = torch.linspace(-1, 1, self.components) if self.components > 1 else torch.zeros(1)
        width = math.log(2 / (self.components + 1)) if self.components > 1 else 0.0
        return torch.cat([torch.zeros(self.components, data.dim), mean + at[:, None] * std, self.spread(std, width)])

    def spread(self, std: Tensor, width: float) -> Tensor:
        return (std.log() + width).expand(self.components, -1)


class LogisticMixture(_Mixture):
    """Grey levels v = 0, ..., K - 1 by the mass of their bins under a mixture of logistic densities (Salimans et al. 2017):

    p(v) = sum_k pi_k [sigmoid(a_k) - sigmoid(b_k)],  a, b = (u +- 1/(K - 1) - m)/s,  u = 2 v/(K - 1) - 1,

    where the outermost bins reach to infinity. Computed as sigmoid(a) sigmoid(-b) (1 - e^{b - a}), which loses no digits.
    """

    name = "logistic_mixture"

    discrete = True

    def __init__(self, components: int, levels: int) -> None:
        super().__init__(components)
        self.top = levels - 1

    def log_prob(self, parameters: Tensor, u: Tensor) -> Tensor:
        log_pi, m, log_s = self.split(parameters)
        v, inverse, half = u.unsqueeze(1), torch.exp(-log_s), 1 / self.top
        a, b = (v + half - m) * inverse, (v - half - m) * inverse
        lowest, highest = v < half - 1, v > 1 - half
        log_p = torch.where(highest, 0.0, logsigmoid(a)) + torch.where(lowest, 0.0, logsigmoid(-b))
        inside = torch.log(-torch.expm1(-2 * half * inverse))
        return (log_pi + log_p + torch.where(lowest | highest, 0.0, inside)).logsumexp(1)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        m, s = self.drawn(parameters, noise)
        p = _inside(noise[:, 1])
        v = ((m + s * p.logit() + 1) * (self.top / 2)).round().clamp(0, self.top)
        return 2 * v / self.top - 1

    def spread(self, std: Tensor, width: float) -> Tensor:
        """A logistic density of scale s has the standard deviation pi s/sqrt(3)."""
        return super().spread(std, width + math.log(math.sqrt(3) / math.pi))


class GaussianMixture(_Mixture):
    """A density of real values: sum_k pi_k N(u; m_k, s_k^2). Of values in [0, 1] a little mass lies outside."""

    name = "gaussian_mixture"

    discrete = False

    def log_prob(self, parameters: Tensor, u: Tensor) -> Tensor:
        log_pi, m, log_s = self.split(parameters)
        z = (u.unsqueeze(1) - m) * torch.exp(-log_s)
        return (log_pi - 0.5 * z.square() - log_s).logsumexp(1) - 0.5 * math.log(2 * math.pi)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        m, s = self.drawn(parameters, noise)
        u: Tensor = m + s * torch.special.ndtri(_inside(noise[:, 1]))
        return u


def chosen(log_p: Tensor, noise: Tensor) -> Tensor:
    """The number k that the distribution function of log p (n, K, ...) gives to even noise in [0, 1], int64, (n, ...)."""
    cumulative = log_p.exp().cumsum(1)
    k: Tensor = (cumulative[:, :-1] <= (noise.unsqueeze(1) * cumulative[:, -1:])).sum(1)
    return k


def _inside(noise: Tensor) -> Tensor:
    """Even noise without 0 and 1, whose quantiles are infinite."""
    return noise.clamp(2**-25, 1 - 2**-24)


SUPPORTS: dict[str, tuple[Support, ...]] = {
    "bernoulli": ("binary",),
    "categorical": ("unit",),
    "logistic_mixture": ("unit",),
    "gaussian_mixture": ("unit", "real"),
}


def output_distribution(likelihood: Likelihood, components: int, data: DataSpec) -> OutputDistribution:
    """The distribution of that name, or for `auto` the one that the data call for. Raises GenlabError where it does not fit."""
    if likelihood == "auto":
        if data.support == "binary":
            likelihood = "bernoulli"
        elif data.levels is None:
            likelihood = "gaussian_mixture"
        else:
            likelihood = "categorical" if data.levels <= FEW_LEVELS else "logistic_mixture"
    if data.support not in SUPPORTS[likelihood]:
        fitting = ", ".join(name for name, supports in SUPPORTS.items() if data.support in supports)
        raise GenlabError(
            f"model.likelihood={likelihood} does not fit the {data.support} data of dataset={data.name}; set model.likelihood to "
            f"{fitting}"
        )
    if likelihood == "bernoulli":
        return Bernoulli()
    if likelihood == "gaussian_mixture":
        if data.levels is not None:
            raise GenlabError(
                f"model.likelihood=gaussian_mixture is a density and dataset={data.name} has {data.levels} grey levels; set "
                "dataset.dequantize=true, or model.likelihood=logistic_mixture"
            )
        return GaussianMixture(components)
    if data.levels is None:
        raise GenlabError(
            f"model.likelihood={likelihood} needs integer grey levels and dataset={data.name} has continuous values; set "
            "dataset.dequantize=false, or model.likelihood=gaussian_mixture"
        )
    return Categorical(data.levels) if likelihood == "categorical" else LogisticMixture(components, data.levels)
