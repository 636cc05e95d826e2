"""How the chains of a model mix: some start from training examples, others from noise; do they meet, and how fast?"""

import torch
from torch import Tensor

from genlab.data.dataset import Dataset
from genlab.data.subsets import batch_of
from genlab.metrics.convergence import autocorrelation_time, r_hat
from genlab.metrics.estimate import Estimate
from genlab.models.abilities import HasMarkovChain
from genlab.models.base import Model, evaluation_mode
from genlab.numerics import rng
from genlab.numerics.work import sparingly
from genlab.tracking.progress import tracked

CHAINS = 10  # of each kind
STEPS = 100  # the first half of them is thrown away


@torch.no_grad()
def mixing(model: HasMarkovChain, dataset: Dataset, seed: int) -> dict[str, Estimate]:
    """`r_hat` between the chains and `autocorrelation_time` in steps, of the slower of two observables.

    These are the free energy F(x) and the mean component of x (magnetisation, ink).
    """
    assert isinstance(model, Model)
    with evaluation_mode(model), rng.seeded(seed, "mixing", device=model.device):
        x = batch_of(dataset.train, CHAINS, dataset.represent, model.device, each_class=True).x
        chains = [_observed(model, start) for start in (x, len(x))]
    both = torch.cat(chains, dim=1)[:, :, STEPS // 2 :]
    rows = range(len(both))
    return {
        "r_hat": Estimate(max(r_hat(both[i]) for i in rows), float("nan")),
        "autocorrelation_time": Estimate(max(autocorrelation_time(both[i]) for i in rows), float("nan")),
    }


def _observed(model: HasMarkovChain, start: Tensor | int) -> Tensor:
    """(2, chains, STEPS)"""
    walk = tracked(model.walk(start, STEPS), "mixing of the chains", STEPS)
    observables = (torch.stack([model.free_energy(x), x.flatten(1).mean(1)]) for x in walk)
    return torch.stack(list(sparingly(observables)), dim=2).cpu()
