"""Small Boltzmann machines with random parameters, their distributions by enumeration, and their gradients.

The energies are those of the headers of models/boltzmann/machine.py and models/boltzmann/gibbs.py, without a call of the models.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genlab.data.spec import DataSpec
from genlab.models.boltzmann.gaussian_rbm import GaussianRBM
from genlab.models.boltzmann.gradients import Phases
from genlab.models.boltzmann.machine import BoltzmannMachine
from genlab.models.boltzmann.rbm import RBM
from tests.helpers.draws import states
from tests.helpers.support import adam_recipe

KEYS: dict[str, Any] = {
    "negative": "cd",
    "k": 1,
    "chains": 100,
    "temperatures": 4,
    "mean_field": False,
    "centred": False,
    "average": 0.0,
    "sparsity": 0.0,
    "sparsity_target": 0.1,
}


def randomise(machine: BoltzmannMachine, strength: float, seed: int) -> None:
    """Random weights of size `strength` and biases that keep the units from being nearly constant."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        machine.W.copy_(strength * torch.randn(machine.W.shape, generator=generator))
        machine.a.copy_(0.5 * torch.randn(machine.a.shape, generator=generator) - machine.W.sum(1) / 2)
        machine.b.copy_(0.5 * torch.randn(machine.b.shape, generator=generator) - machine.W.sum(0) / 2)
        machine.lam.copy_(0.2 + 0.6 * torch.rand(machine.lam.shape, generator=generator))


def rbm(visible: int, hidden: int, classes: int = 0, *, strength: float = 1.0, seed: int = 0, **keys: object) -> RBM:
    mean = torch.linspace(0.3, 0.8, visible)
    std = (mean * (1 - mean)).sqrt()
    data = DataSpec("test", (visible,), "binary", None, classes or None, 0.0, 1.0, mean, std)
    torch.manual_seed(seed)
    machine = RBM(data, adam_recipe(), hidden=hidden, conditional=classes > 0, **(KEYS | keys)).double()
    randomise(machine, strength, seed)
    return machine


def gaussian(
    visible: int, hidden: int, classes: int = 0, *, strength: float = 0.5, seed: int = 0, **keys: object
) -> GaussianRBM:
    """Components of different means and scales, and of different sigma."""
    mean, std = torch.linspace(-1, 3, visible), torch.linspace(0.5, 2.5, visible)
    data = DataSpec("test", (visible,), "real", None, classes or None, -9.0, 9.0, mean, std)
    torch.manual_seed(seed)
    options = KEYS | {"sigma": 0.7, "learn_sigma": True, "least_sigma": 0.01} | keys
    machine = GaussianRBM(data, adam_recipe(), hidden=hidden, conditional=classes > 0, **options).double()
    randomise(machine, strength, seed)
    with torch.no_grad():
        machine.log_var.copy_(torch.linspace(-1.0, 0.3, visible))
        # At a + W h with every h_j = 1/2, both states of each h_j are to be about equally probable.
        at_half = machine.a + machine.W.sum(1) / 2
        machine.b.add_(machine.W.sum(0) / 2 - machine.W.T @ (at_half / machine.variance))
    return machine


def visible_states(machine: RBM) -> Tensor:
    """All configurations of x, each with every class; (2^D or 2^D classes, visible)."""
    x, k = states(machine.data.dim), machine.num_classes
    return torch.cat([x.repeat_interleave(k, 0), torch.eye(k).double().repeat(len(x), 1)], 1) if k else x


def log_joint(machine: RBM, v: Tensor, h: Tensor, beta: float = 1.0) -> Tensor:
    """-E_beta(v, h) of every v with every h: (len(v), len(h)); V_0(v) = -base_bias.v, logits of the data's means."""
    with torch.no_grad():
        energy = -(v @ machine.a)[:, None] - h @ machine.b - v @ machine.W @ h.T
        base = -(v[:, : machine.data.dim] @ torch.logit(machine.data.mean).double())
        return -(1 - beta) * base[:, None] - beta * energy


def log_weights(machine: GaussianRBM, h: Tensor, beta: float = 1.0) -> Tensor:
    """log of exp(-E_beta(v, h)) integrated over x and summed over classes, (len(h),), with V_0 = sum_i x_i^2/2 B_i.

    One component: a Gaussian of precision P = (1-beta)/B + beta/s, for whose integral the square is completed.
    """
    with torch.no_grad():
        d = machine.data.dim
        s, a, y = machine.log_var.exp(), machine.a, machine.a + h @ machine.W.T
        B = (machine.data.std.double() / machine.scaling.scale).square()
        P = (1 - beta) / B + beta / s
        parts = (
            (beta * y[:, :d] / s).square() / (2 * P) - beta * a[:d].square() / (2 * s) + 0.5 * (2 * math.pi / P).log()
        )
        classes = (beta * y[:, d:]).logsumexp(1) if machine.num_classes else 0.0
        return beta * h @ machine.b + parts.sum(1) + classes


def log_p_visible(machine: RBM) -> Tensor:
    """log p(v) of all visible states."""
    return log_joint(machine, visible_states(machine), states(machine.hidden)).logsumexp(1).log_softmax(0)


def written_gradients(
    machine: BoltzmannMachine, v: Tensor, v_model: Tensor, h_model: Tensor | None = None
) -> dict[str, Tensor]:
    """The gradients that a training loop makes; `h_model` stands in for p(h|v_model)."""
    n, m = len(v), len(v_model)
    phases = Phases(n, m, machine.W)
    for rows in (phases.u, phases.h):
        rows.fill_(7.0)
    with torch.no_grad():
        phases.u_data.copy_(machine.inputs(v))
        phases.u_model.copy_(machine.inputs(v_model))
        phases.h[: n + m] = torch.sigmoid(machine.b + phases.u[: n + m] @ machine.W)
        if h_model is not None:
            phases.h_model.copy_(h_model)
        statistics = machine.write_gradients(phases)
        statistics.weights.write()
        if isinstance(machine, GaussianRBM) and machine.learn_sigma:
            machine.write_variance_gradient(statistics, v, v_model)
    return {name: p.grad.clone() for name, p in machine.named_parameters() if p.grad is not None}


def autograd_gradients(machine: BoltzmannMachine, loss: Tensor) -> dict[str, Tensor]:
    """The gradients of `loss` by autograd."""
    names, parameters = zip(*machine.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def centred_gradients(machine: BoltzmannMachine, gradient: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient by W, a' = a + W lam and b' = b + W^T mu, as steps of W, a and b: with a = a' - W lam, b = b' - W^T mu,

    dW = g_W - g_a lam^T - mu g_b^T by the chain rule, and a step of a' and W moves a by da' - dW lam, b by db' - dW^T mu.
    """
    dW = gradient["W"] - torch.outer(gradient["a"], machine.lam) - torch.outer(machine.mu, gradient["b"])
    return gradient | {"W": dW, "a": gradient["a"] - dW @ machine.lam, "b": gradient["b"] - dW.T @ machine.mu}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], atol: float = 1e-10) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=atol, rtol=0, msg=partial("{}: {}".format, name))
