"""Draws of a normal distribution N(0, S) of any dimension, whose covariance has a chosen spectrum.

S = Q diag(l_1, ..., l_D) Q^T with a rotation Q drawn at random, so that the principal axes are not those of the components.
log p(x) = -1/2 [sum_i ln(2 pi l_i) + z_i^2 / l_i] with z = Q^T x, and the entropy is 1/2 sum_i ln(2 pi e l_i).
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from genlab.config.types import NonNegative, Positive
from genlab.data.dataset import RawData
from genlab.data.examples import Examples
from genlab.errors import GenlabError
from genlab.numerics.rng import derive


class Normal:
    """N(0, Q diag(variances) Q^T), with variances (D,) and a rotation Q (D, D) whose columns are the principal axes."""

    discrete = False

    def __init__(self, variances: Tensor, axes: Tensor) -> None:
        self.variances, self.axes = variances, axes

    def log_prob(self, x: Tensor) -> Tensor:
        z = x.cpu().double() @ self.axes
        return -0.5 * ((z.square() / self.variances).sum(1) + torch.log(2 * math.pi * self.variances).sum())

    def entropy(self) -> float:
        return 0.5 * float(torch.log(2 * math.pi * math.e * self.variances).sum())

    def box(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Of a plane: intervals of both components that hold all but 1e-9."""
        a, b = (6.5 * (self.axes.square() @ self.variances).sqrt()).tolist()
        return (-a, a), (-b, b)


def gaussian(
    *,
    dim: Annotated[int, Field(ge=1)],
    size: Annotated[int, Field(ge=10)],
    spectrum: Annotated[list[Positive], Field(min_length=1)] | None,
    decay: NonNegative,
    seed: Annotated[int, Field(ge=0)],
) -> RawData:
    """`size` draws (size, dim) with the variances `spectrum` along the principal axes; None for l_i = i^-decay.

    Raises GenlabError where the spectrum has another length than `dim`.
    """
    if spectrum is not None and len(spectrum) != dim:
        raise GenlabError(
            f"dataset.spectrum={spectrum}: {len(spectrum)} variances for dataset.dim={dim} components; give {dim} of them"
        )
    given = torch.arange(1, dim + 1).double().pow(-decay) if spectrum is None else torch.tensor(spectrum).double()
    generator = torch.Generator().manual_seed(derive(seed, "gaussian", dim))
    q, r = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    truth = Normal(given, q * r.diagonal().sign())
    z = torch.randn(size, dim, generator=generator, dtype=torch.float64) * given.sqrt()
    return RawData(
        "gaussian", Examples((z @ truth.axes.T).float(), None), None, levels=None, num_classes=None, truth=truth
    )
