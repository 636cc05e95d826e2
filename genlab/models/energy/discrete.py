"""Transitions of chains of spins u_i = +-1 that follow the slope of an energy E(u), which is defined between them too.

To first order a flip of u_i lowers the energy by

    d_i = 2 u_i dE/du_i,

which the proposals take for what a flip brings. The Metropolis correction leaves exp(-E)/Z as it is, whatever d is worth.

    SingleFlip   one spin, i ~ softmax(d/2): Gibbs with gradients (Grathwohl et al. 2021)
    ManyFlips    every spin by itself, with probability sigmoid(d_i/2 - 1/s): the discrete Langevin proposal (Zhang, Liu & Liu
                 2022); s follows the acceptance in training, as the step of Mala does
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.models.energy.langevin import Point, Transition, chosen


def gains(here: Point) -> Tensor:
    """d, (n, D)."""
    return 2 * (here.u * here.slope).flatten(1)


class SingleFlip(Transition):
    adapts = False

    def forward(self, here: Point) -> Point:
        forth = torch.log_softmax(gains(here) / 2, 1)
        i = forth.exp().multinomial(1)
        u = here.u.flatten(1)
        there = Point(here.at, u.scatter(1, i, -u.gather(1, i)).view_as(here.u))
        back = torch.log_softmax(gains(there) / 2, 1)
        log_ratio = here.energy - there.energy + (back.gather(1, i) - forth.gather(1, i)).squeeze(1)
        return chosen(self.judge(log_ratio, here), there, here)


class ManyFlips(Transition):
    longest = 1e3  # 1/s is nothing there, and where nearly every proposal is accepted s would grow for ever

    def forward(self, here: Point) -> Point:
        forth = gains(here) / 2 - 1 / self.step
        flipped = torch.rand_like(forth) < forth.sigmoid()
        there = Point(here.at, torch.where(flipped.view_as(here.u), -here.u, here.u))
        back = gains(there) / 2 - 1 / self.step
        # log q sums log sigmoid(z) over the spins that flip and log sigmoid(-z) over the others.
        sign = torch.where(flipped, 1.0, -1.0)
        log_ratio = here.energy - there.energy + (F.logsigmoid(sign * back) - F.logsigmoid(sign * forth)).sum(1)
        return chosen(self.judge(log_ratio, here), there, here)
