"""Observation models p(x|h): the distribution of x whose parameters a decoder puts out.

Each turns decoder outputs of shape (n, outputs*C, ...) into log p(x|h) in nats per example, summed over all components,
into the mean of x and into draws of x. `discrete` says whether p(x|h) is a probability or a density.
"""

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec, Support
from genlab.errors import GenlabError
from genlab.models.scaling import Scaling, common_std
from genlab.networks.choices import note
from genlab.numerics.softplus import bernoulli_log_prob, logsigmoid, softplus

Likelihood = Literal["auto", "bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic"]


class ObservationModel(nn.Module, ABC):
    """p(x|h) as a function of the decoder's outputs."""

    outputs: ClassVar[int] = 1
    """Number of decoder outputs for each component of x."""
    discrete: ClassVar[bool]
    """Whether log_prob is the log-probability of discrete data, or else a log-density."""

    @abstractmethod
    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        """log p(x|h) in nats, shape (n,)."""

    @abstractmethod
    def mean(self, out: Tensor) -> Tensor:
        """E[x|h], shape (n, *shape), within the data's support or its convex hull."""

    @abstractmethod
    def sample(self, out: Tensor) -> Tensor:
        """x ~ p(x|h), shape (n, *shape)."""

    @abstractmethod
    def marginal(self, data: DataSpec) -> Tensor:
        """Decoder outputs of the best model that ignores h, (outputs*C, ...): training starts from them."""


def _logit_of_mean(data: DataSpec) -> Tensor:
    return data.mean.clamp(0.005, 0.995).logit()


class Bernoulli(ObservationModel):
    """p(x|h) = prod_i m_i^x_i (1 - m_i)^(1 - x_i), m = sigmoid(out), for x in {0, 1}."""

    discrete = True

    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        return bernoulli_log_prob(out, x)

    def mean(self, out: Tensor) -> Tensor:
        return out.sigmoid()

    def sample(self, out: Tensor) -> Tensor:
        return torch.bernoulli(out.sigmoid())

    def marginal(self, data: DataSpec) -> Tensor:
        return _logit_of_mean(data)


class ContinuousBernoulli(ObservationModel):
    """A density over [0, 1], p(x|h) = C(l) exp(l x)/(1 + exp(l)) with l = out (Loaiza-Ganem & Cunningham 2019).

    The cross-entropy of grey values lacks the constant C(l) = l/tanh(l/2), and is no likelihood without it.
    """

    discrete = False

    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        log_p = x * out - softplus(out) + self.log_constant(out)
        return log_p.flatten(1).sum(1)

    @staticmethod
    def log_constant(logits: Tensor) -> Tensor:
        """log C(l); near 0, where l/tanh(l/2) divides 0 by 0, by its series (the next term is below 1e-9)."""
        small = logits.abs() < 0.05
        safe = torch.where(small, torch.ones_like(logits), logits).abs()
        exact = safe.log() - torch.tanh(safe / 2).log()
        return torch.where(small, math.log(2) + logits**2 / 12 - 7 * logits**4 / 1440, exact)

    def mean(self, out: Tensor) -> Tensor:
        small = out.abs() < 0.05
        safe = torch.where(small, torch.ones_like(out), out)
        return torch.where(small, 0.5 + out / 12, -1 / torch.expm1(-safe) - 1 / safe)

    def sample(self, out: Tensor) -> Tensor:
        u, size = torch.rand_like(out), out.abs().clamp_min(1e-4)
        upper = 1 + torch.log(u + (1 - u) * torch.exp(-size)) / size  # inverse of the distribution function for l > 0
        return torch.where(out > 0, upper, 1 - upper).clamp(0, 1)

    def marginal(self, data: DataSpec) -> Tensor:
        return _logit_of_mean(data)


class Gaussian(ObservationModel):
    """p(x|h) = N(x; mu, sigma^2 I) with one learned sigma (Rybkin et al. 2021).

    In [0, 1] mu = sigmoid(out). Real components (of curves: channels) are measured in units of their standard deviation over the
    training data, x = shift + scale * u with u ~ N(out, sigma^2), and log p(x|h) carries the Jacobian -sum_i log scale_i.
    """

    discrete = False

    def __init__(self, data: DataSpec) -> None:
        super().__init__()
        self.bounded = data.support == "unit"
        self.log_sigma = nn.Parameter(torch.tensor(-1.0 if self.bounded else 0.0))
        zero, one = torch.zeros_like(data.mean), torch.ones_like(data.std)
        self.scaling = (
            Scaling(data, zero, one, identity=True)
            if self.bounded
            else Scaling(
                data, data.mean, common_std(data) if data.is_curve else torch.where(data.std > 0, data.std, one)
            )
        )

    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        mu = out.sigmoid() if self.bounded else out
        u = self.scaling.inner(x)
        log_p = -0.5 * ((u - mu) * torch.exp(-self.log_sigma)) ** 2 - self.log_sigma - 0.5 * math.log(2 * math.pi)
        return log_p.flatten(1).sum(1) - self.scaling.scale.log().sum()

    def mean(self, out: Tensor) -> Tensor:
        return out.sigmoid() if self.bounded else self.scaling.outer(out)

    def sample(self, out: Tensor) -> Tensor:
        return self.mean(out) + self.scaling.scale * self.log_sigma.exp() * torch.randn_like(out)

    def marginal(self, data: DataSpec) -> Tensor:
        return _logit_of_mean(data) if self.bounded else torch.zeros_like(data.mean)


class DiscretizedLogistic(ObservationModel):
    """Probability of a grey level v = 0..K-1, x = v/(K-1), as that of its bin under a logistic density (Kingma et al. 2016):

    p(v|h) = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), a, b = (x -+ 1/2(K-1) - m)/s, the outermost
    bins reaching to infinity. The product form loses no digits anywhere. The decoder puts out m and log s.
    """

    discrete = True
    outputs = 2

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.top = levels - 1

    def _location_and_scale(self, out: Tensor) -> tuple[Tensor, Tensor]:
        m, log_s = out.chunk(2, dim=1)
        return m, log_s.clamp(-7.0, 3.0)

    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        m, log_s = self._location_and_scale(out)
        inverse_s = torch.exp(-log_s)
        a, b = (x + 0.5 / self.top - m) * inverse_s, (x - 0.5 / self.top - m) * inverse_s
        lowest, highest = x < 0.5 / self.top, x > 1 - 0.5 / self.top
        log_p = torch.where(highest, 0.0, logsigmoid(a)) + torch.where(lowest, 0.0, logsigmoid(-b))
        inside = torch.log(-torch.expm1(-inverse_s / self.top))
        return (log_p + torch.where(lowest | highest, 0.0, inside)).flatten(1).sum(1)

    def mean(self, out: Tensor) -> Tensor:
        """E[min(max(x, 0), 1)] of the logistic density: within half a grey level of the exact mean."""
        m, log_s = self._location_and_scale(out)
        s = log_s.exp()
        return (s * (softplus(m / s) - softplus((m - 1) / s))).clamp(0, 1)

    def sample(self, out: Tensor) -> Tensor:
        m, log_s = self._location_and_scale(out)
        u = torch.rand_like(m).clamp(1e-6, 1 - 1e-6)
        return ((m + log_s.exp() * u.logit()) * self.top).round().clamp(0, self.top) / self.top

    def marginal(self, data: DataSpec) -> Tensor:
        return torch.cat([data.mean, data.std.clamp_min(0.02).log()])


SUPPORTS: dict[str, tuple[Support, ...]] = {
    "bernoulli": ("binary",),
    "continuous_bernoulli": ("unit",),
    "gaussian": ("unit", "real"),
    "discretized_logistic": ("unit",),
}


def observation_model(likelihood: Likelihood, data: DataSpec) -> ObservationModel:
    """The observation model of that name, or for `auto` the one that is a likelihood of these data.

    Raises GenlabError where the named one does not fit the support of the data.
    """
    if likelihood == "auto":
        if data.support == "unit":
            likelihood = "continuous_bernoulli" if data.levels is None else "discretized_logistic"
        else:
            likelihood = "bernoulli" if data.support == "binary" else "gaussian"
    if data.support not in SUPPORTS[likelihood]:
        fitting = ", ".join(name for name, supports in SUPPORTS.items() if data.support in supports)
        why = " (the cross-entropy of grey values is not a likelihood)" if likelihood == "bernoulli" else ""
        remedy = " or dataset.binarize=dynamic" if likelihood == "bernoulli" and data.support == "unit" else ""
        raise GenlabError(
            f"model.likelihood={likelihood} does not fit the {data.support} data of dataset={data.name}{why}; "
            f"set model.likelihood to {fitting}{remedy}"
        )
    if likelihood == "bernoulli":
        return note(Bernoulli(), likelihood=likelihood)
    if likelihood == "continuous_bernoulli":
        return note(ContinuousBernoulli(), likelihood=likelihood)
    if likelihood == "gaussian":
        return note(Gaussian(data), likelihood=likelihood)
    if data.levels is None:
        raise GenlabError(
            f"model.likelihood=discretized_logistic needs integer grey levels and dataset={data.name} has continuous values; "
            "set dataset.dequantize=false, or model.likelihood=continuous_bernoulli"
        )
    return note(DiscretizedLogistic(data.levels), likelihood=likelihood)
