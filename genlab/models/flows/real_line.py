"""The way of data to the whole real line, on which a flow lives, with the volume that it takes.

real data     s in standard deviations from the mean. log p(x) = log p(s) - sum_i ln std_i
data in [0, 1]  s = ln a/(1 - a) with a = alpha + (1 - 2 alpha) x, the logit of x drawn in a little from the ends
              (Dinh et al. 2017). With the logistic function sigma,
              log p(x) = log p(s) + D ln(1 - 2 alpha) - sum_i ln sigma(s_i)(1 - sigma(s_i))
grey levels   the same of x = (v + u)/L, see dequantisation.py
"""

import math

import torch
from torch import Tensor, nn

from genlab.data.spec import DataSpec
from genlab.models.flows.dequantisation import Levels
from genlab.models.scaling import Scaling


class RealLine(nn.Module):
    """`noise` is the network of variational dequantisation, None where u is even."""

    def __init__(self, data: DataSpec, alpha: float, noise: nn.Module | None) -> None:
        super().__init__()
        self.alpha = alpha
        self.scaling = (Scaling.of if data.on_grid else Scaling.standard)(data) if data.support == "real" else None
        self.levels = None if data.levels is None else Levels(data.levels, noise)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s of examples x (n, *shape), and what to add to log p(s) for log p(x), or for grey levels a bound on log P(v), (n,)."""
        log_volume = x.new_zeros(len(x))
        if self.levels is not None:
            x, log_volume = self.levels(x)
        s, log_slope = self.to_line(x)
        return s, log_volume + log_slope.flatten(1).sum(1)

    def to_line(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s and ln ds/dx of real numbers x, each of the shape of x."""
        if self.scaling is not None:
            return self.scaling.inner(x), -self.scaling.scale.log().to(x.dtype).expand_as(x)
        shrink = 1 - 2 * self.alpha
        log_a, log_b = (self.alpha + shrink * x).log(), (self.alpha + shrink * (1 - x)).log()
        return log_a - log_b, math.log(shrink) - log_a - log_b

    def middle(self, x: Tensor) -> Tensor:
        """s without noise: of the middle of the cells."""
        return self.to_line(x if self.levels is None else self.levels.centre(x))[0]

    def inverse(self, s: Tensor) -> Tensor:
        """Examples in the support of the data, (n, *shape)."""
        if self.scaling is not None:
            return self.scaling.outer(s)
        x = ((torch.sigmoid(s) - self.alpha) / (1 - 2 * self.alpha)).clamp(0, 1)
        return x if self.levels is None else self.levels.inverse(x)
