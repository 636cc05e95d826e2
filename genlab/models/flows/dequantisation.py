"""Grey levels as real numbers: each level v of 0 ... L - 1 stands for a cell, x' = (v + u)/L with u in [0, 1).

The probability of a picture is the integral of a density p(x') over its cells, of volume L^-D. With any density q(u|v)

    log P(v) >= E_q [log p(x') - D ln L - log q(u|v)],

an equality where q is p(x') within the cell (Theis et al. 2016; Ho et al. 2019). In bits per dimension this bound is
-log p(x')/(D ln 2) + log2 L, so + 8 for 256 levels.

    uniform      u even, log q = 0
    variational  u = sigmoid(m + e^a eps), eps ~ N(0, 1), m and a from a network that sees the picture: q is trained with p. It
                 starts nearly even
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.models.flows.elementwise import Affine
from genlab.numerics.softplus import logsigmoid

Dequantisation = Literal["uniform", "variational"]

EVEN = 1.70  # standard deviation of a normal variable whose sigmoid is most nearly even


class Levels(nn.Module):
    """Of examples x = v/(L - 1). For variational noise `conditioner` gives two numbers for each component, (n, 2, *shape)."""

    def __init__(self, levels: int, conditioner: nn.Module | None) -> None:
        super().__init__()
        self.levels, self.conditioner = levels, conditioner

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x' of examples x (n, *shape), and -D ln L - log q(u|v), (n,)."""
        u, log_q = self.noise(x)
        return (self.level(x) + u) / self.levels, -x[0].numel() * math.log(self.levels) - log_q

    def noise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """u and log q(u|v)."""
        if self.conditioner is None:
            return torch.rand_like(x), x.new_zeros(len(x))
        shift, log_scale = Affine.shift_and_log_scale(self.conditioner(2 * x - 1))
        eps = torch.randn_like(x)
        s = shift + EVEN * log_scale.exp() * eps
        log_eps = -0.5 * (eps.square() + math.log(2 * math.pi))
        log_slope = logsigmoid(s) + logsigmoid(-s) + log_scale + math.log(EVEN)  # of u in eps
        return s.sigmoid(), (log_eps - log_slope).flatten(1).sum(1)

    def level(self, x: Tensor) -> Tensor:
        """v, as floats."""
        return (x * (self.levels - 1)).round()

    def centre(self, x: Tensor) -> Tensor:
        """x' in the middle of the cells of examples x."""
        return (self.level(x) + 0.5) / self.levels

    def inverse(self, x: Tensor) -> Tensor:
        """The levels v/(L - 1) in whose cells numbers x' in [0, 1] lie."""
        return (x * self.levels).floor().clamp(0, self.levels - 1) / (self.levels - 1)
