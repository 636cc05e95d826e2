"""Likelihoods of a small machine that is enumerated, and of latent-variable bounds: mean, log Z and what follows from both."""

import math
from functools import cache, partial

import torch
from torch import Tensor

from genlab.data.representation import Representation
from genlab.inference.likelihood import LogLikelihood, _with_log_z, bits_per_dimension
from genlab.inference.partition import Annealing, ais, exact_log_z, reverse_ais
from genlab.metrics.estimate import Estimate, mean
from genlab.models.boltzmann.rbm import AFFORDABLE, RBM
from tests.error_bars.study import Case, Measured
from tests.helpers.boltzmann_machines import log_joint, rbm
from tests.helpers.draws import states

VISIBLE, HIDDEN = 8, 6
ANNEALING = Annealing(chains=100, temperatures=50, schedule="even", sweeps=0)


@cache
def machine() -> tuple[RBM, Tensor, Tensor]:
    """The machine, log p of its visible and of its hidden configurations."""
    model = rbm(VISIBLE, HIDDEN, strength=1.2).eval()
    joint = log_joint(model, states(VISIBLE), states(HIDDEN))
    return model, joint.logsumexp(1).log_softmax(0), joint.logsumexp(0).log_softmax(0)


@torch.no_grad()
def annealed(n: int, _: int) -> Measured:
    """log p of n examples of the machine's own distribution, with log Z from both sides; reverse chains from exact draws."""
    model, log_p, log_h = machine()
    x = states(VISIBLE)[log_p.exp().multinomial(n, replacement=True)]
    h = states(HIDDEN)[log_h.exp().multinomial(ANNEALING.chains, replacement=True)]
    energies = model.free_energy(x)
    forward = ais(model, ANNEALING.betas, ANNEALING.chains)
    reverse = reverse_ais(model, ANNEALING.betas, model.draw_visible(model.visible_input(h)))
    found: dict[str, Estimate] = {}
    for name, log_z in (("ais", forward), ("reverse_ais", reverse)):
        likelihood = _with_log_z(name, "", energies, log_z)
        found[f"log_likelihood_{name}"] = likelihood.mean
        found[f"bits_per_dim_{name}"] = bits_per_dimension(likelihood.mean, model.data, PLAIN)
        found[f"log Z, {name}"] = Estimate(log_z.value, log_z.stderr)
        excess = mean(log_p[index_of(x)] - likelihood.values)
        found[f"kl_divergence_{name}"] = Estimate(excess.value, math.hypot(excess.stderr, likelihood.common_stderr))
    exact = LogLikelihood("exact", "exact", "", log_p[index_of(x)])
    return found | {"log_likelihood_exact": exact.mean, "pseudo_log_likelihood": pseudo(model, x)}


PLAIN = Representation(None, "none", False)


def index_of(x: Tensor) -> Tensor:
    return (x * 2 ** torch.arange(VISIBLE - 1, -1, -1)).sum(1).long()


def pseudo(model: RBM, x: Tensor) -> Estimate:
    """From a quarter of the components, as of large data."""
    effort = VISIBLE // 4 * HIDDEN / AFFORDABLE
    return mean(model.held_out_loss(x, effort)["pseudo_log_likelihood"])


@torch.no_grad()
def truth() -> dict[str, float]:
    model, log_p, _ = machine()
    p, log_z = log_p.exp(), exact_log_z(model)
    assert log_z is not None
    log_likelihood = float(p @ log_p)
    known = {"log_likelihood_exact": log_likelihood, "pseudo_log_likelihood": float(p @ true_pseudo(log_p))}
    for name in ("ais", "reverse_ais"):
        known[f"log_likelihood_{name}"] = log_likelihood
        known[f"bits_per_dim_{name}"] = -log_likelihood / VISIBLE / math.log(2)
        known[f"log Z, {name}"] = log_z
        known[f"kl_divergence_{name}"] = 0.0
    return known


def true_pseudo(log_p: Tensor) -> Tensor:
    """sum_i log p(x_i | others) of every configuration."""
    x = states(VISIBLE)
    found = torch.zeros(len(x), dtype=torch.float64)
    for i in range(VISIBLE):
        flipped = x.clone()
        flipped[:, i] = 1 - flipped[:, i]
        found += log_p - torch.logaddexp(log_p, log_p[index_of(flipped)])
    return found


CASES = [Case("500 examples, 100 chains", partial(annealed, 500), truth)]
