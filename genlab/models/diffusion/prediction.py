"""What the network of a diffusion model predicts, and what follows from it.

    eps    the noise;    x0    the example;    v = alpha eps - sigma x_0    (Salimans & Ho 2022)

All three are linear in each other, given x_t.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from genlab.models.diffusion.schedules import Level, level

Prediction = Literal["eps", "x0", "v"]
Estimate = Callable[[Tensor, Tensor], Tensor]
"""(x_t of shape (n, *shape), its gamma (n,)) -> x_hat, of the shape of x_t."""

GAMMAS = (-15.0, 15.0)  # the gammas that the network sees as 0 and 1


def target(prediction: Prediction, x_0: Tensor, eps: Tensor, at: Level) -> Tensor:
    """What the network should put out, of the shape of x_0."""
    return {"eps": eps, "x0": x_0, "v": at.alpha * eps - at.sigma * x_0}[prediction]


def noise_error(prediction: Prediction, error: Tensor, gamma: Tensor) -> Tensor:
    """||eps - eps_hat||^2 where the predicted quantity has the squared error `error`, (n,)."""
    if prediction == "eps":
        return error
    return error * (torch.sigmoid(-gamma) if prediction == "v" else torch.exp(-gamma))


def estimate(prediction: Prediction, x_t: Tensor, gamma: Tensor, out: Tensor) -> Tensor:
    """x_hat, from x_t (n, *shape), its gamma (n,) and the output of the network."""
    at = level(gamma, x_t)
    if prediction == "x0":
        return out
    return (x_t - at.sigma * out) / at.alpha if prediction == "eps" else at.alpha * x_t - at.sigma * out


def network_time(gamma: Tensor) -> Tensor:
    """The input by which the network knows the level of noise."""
    low, high = GAMMAS
    return (gamma - low) / (high - low)
