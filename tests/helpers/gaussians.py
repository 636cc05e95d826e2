"""Models whose network is the exact answer for Gaussian data, so that all else can be held to closed forms."""

from typing import Any

import torch
from torch import Tensor, nn

from genlab.models.diffusion.diffusion import Diffusion
from genlab.models.diffusion.flow_matching import FlowMatching
from genlab.models.diffusion.prediction import GAMMAS
from genlab.models.diffusion.schedules import level
from tests.helpers.support import configure, make_model, spec_of

COVARIANCE = torch.tensor([[1.5, 0.6], [0.6, 0.5]])


class ExactDenoiser(nn.Module):
    """What the network should say of x_t for x_0 ~ N(0, covariance)."""

    def __init__(self, covariance: Tensor, prediction: str) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))  # a model is where its parameters are
        self.covariance, self.prediction = covariance, prediction

    def forward(self, x: Tensor, u: Tensor, y: Tensor | None = None) -> Tensor:
        low, high = GAMMAS
        at = level(low + u * (high - low), x)
        identity = torch.eye(len(self.covariance))
        spread = at.alpha.square()[..., None] * self.covariance + at.sigma.square()[..., None] * identity
        gain = at.alpha[..., None] * torch.linalg.solve(spread, self.covariance.expand_as(spread), left=False)
        x_hat = (gain @ x[..., None])[..., 0]
        eps_hat = (x - at.alpha * x_hat) / at.sigma
        answers: dict[str, Tensor] = {"x0": x_hat, "eps": eps_hat, "v": at.alpha * eps_hat - at.sigma * x_hat}
        return answers[self.prediction]


class ExactVelocity(nn.Module):
    """E[x - z|x_t] for x ~ N(0, diag s^2)."""

    def __init__(self, s: Tensor) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.s = s

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        t, s2 = t[:, None], self.s.square()
        return (t * s2 - (1 - t)) / (t.square() * s2 + (1 - t).square()) * x


def _in_own_units(model: Any, network: nn.Module) -> None:
    model.network, model.ema = network, None
    model.scaling.shift.zero_()
    model.scaling.scale.fill_(1.0)


def exact_diffusion(covariance: Tensor, *overrides: str) -> Diffusion:
    """A diffusion model of N(0, covariance), in the data's own units, that has nothing left to learn."""
    config = configure("model=diffusion", "model.average=0.0", *overrides)
    model = make_model(config, spec_of(torch.randn(200, len(covariance))))
    assert isinstance(model, Diffusion)
    _in_own_units(model, ExactDenoiser(covariance, model.prediction))
    return model.eval()


def exact_flow(s: Tensor) -> FlowMatching:
    model = make_model(configure("model=flow_matching", "model.average=0.0"), spec_of(torch.randn(200, len(s))))
    assert isinstance(model, FlowMatching)
    _in_own_units(model, ExactVelocity(s))
    return model.eval()


def log_gaussian(x: Tensor, covariance: Tensor) -> Tensor:
    """log N(x; 0, covariance), (n,)."""
    found: Tensor = torch.distributions.MultivariateNormal(torch.zeros(len(covariance)), covariance).log_prob(x)
    return found
