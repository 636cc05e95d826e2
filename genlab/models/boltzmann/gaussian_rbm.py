"""Gaussian-binary restricted Boltzmann machine (Welling et al. 2005; Cho et al. 2011), as the lecture writes it:

    E(x, h) = sum_i (x_i - a_i)^2 / 2 sigma_i^2 - b.h - sum_ij x_i W_ij h_j / sigma_i^2,    x real, h_j in {0, 1}.

Then p(x|h) = N(a + W h, sigma^2) and p(h_j = 1|x) = 1/(1 + exp(-(b + (x/sigma^2) W)_j)), so that p(x) is a mixture of 2^N
Gaussians with the means a + W h, and with the hidden units summed over

    F(x) = sum_i (x_i - a_i)^2 / 2 sigma_i^2 - sum_j log(1 + exp(b_j + (x/sigma^2 W)_j)).

With u_i = x_i / sigma_i^2 the gradient of log p is a positive phase over the data minus a negative phase over the model, which
Gibbs chains estimate (negative_phase.py):

    d log p/dW = <u h>_data - <u h>_model,    d log p/da = <u>_data - <u>_model,    d log p/db = <h>_data - <h>_model,
    d log p/d log sigma_i^2 = <((x_i - a_i)^2/2 - x_i (W h)_i) / sigma_i^2>_data - <the same>_model.

Here x is the data in units of their standard deviations about their means, with one unit for all pixels of an image; likelihoods
are stated in the units of the data. `sigma` is where sigma_i starts. With `learn_sigma` log sigma_i^2 is learned, and sigma_i
stays above `least_sigma`. Held-out data are evaluated without Z by score matching (Hyvarinen 2005),

    J = sum_i [ (d_i log p)^2 / 2 + d_i^2 log p ],

half the Fisher divergence E |grad log p - grad log p_data|^2 up to a constant of the data. What this machine shares with the
binary one, the centred gradient among it, is in machine.py.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Unpack

import torch
from torch import Tensor, nn

from genlab.config.types import Positive
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import Metrics
from genlab.models.boltzmann.class_units import class_units, draw_classes
from genlab.models.boltzmann.gradients import Statistics
from genlab.models.boltzmann.machine import BoltzmannMachine
from genlab.models.boltzmann.machine_arguments import MachineArguments
from genlab.models.scaling import Scaling, common_std
from genlab.optimizers.product_gradient import gradient_of
from genlab.optimizers.recipe import Recipe


class GaussianRBM(BoltzmannMachine):
    base_var: Tensor

    supports = frozenset({"unit", "real"})
    discrete = False
    sees_units = False

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        sigma: Positive,
        learn_sigma: bool,
        least_sigma: Positive,
        **shared: Unpack[MachineArguments],
    ) -> None:
        self.sigma, self.learn_sigma, self.least_sigma = sigma, learn_sigma, least_sigma
        super().__init__(data, optimizer, **shared)

    @torch.no_grad()
    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        (optimizer,) = self.optimizers.values()
        full_precision = torch.autocast(self.device.type, enabled=False)  # bf16 would round differences of means away
        for batch in batches:
            with full_precision:
                # Positive phase: u and p(h|x) of the data.
                v = self.visible(batch.x, batch.y)
                phases = self.phases(len(v))
                self.hidden_input(self.inputs(v, out=phases.u_data), out=phases.h_data).sigmoid_()

                # Negative phase: u and p(h|x) after k Gibbs sweeps of the chains.
                v_model = self.negative(self, phases.h_data, phases.u_model, phases.h_model)

                # dW = <u h>_data - <u h>_model, da = <u>_data - <u>_model, db = <h>_data - <h>_model, and sigma.
                statistics = self.write_gradients(phases)
                if self.learn_sigma:
                    self.write_variance_gradient(statistics, v, v_model)
                    self.update(optimizer)
                    self.limit_sigma()
                else:
                    self.update(optimizer, statistics.weights)
                self.move_offset(statistics.h_data)
                self.averages.update(batch.progress)
            yield statistics.metrics | self.negative.metrics

    def write_variance_gradient(self, statistics: Statistics, v: Tensor, v_model: Tensor) -> None:
        """Of -log p by log sigma_i^2. sum_j W_ij <u_i h_j> follows from the gradient of W, which is written, too."""
        assert isinstance(self.log_var, nn.Parameter)
        joint = (statistics.weights.write() * self.W).sum(1).neg_()  # of data minus model, centred
        if self.centred:
            joint += self.mu * (self.W @ statistics.dh) + statistics.du * (self.W @ self.lam)
        squares = (v - self.a).square().mean(0) - (v_model - self.a).square().mean(0)
        gradient = joint - squares / (2 * self.variance)
        gradient_of(self.log_var).copy_(gradient[: self.data.dim])

    def limit_sigma(self) -> None:
        """No sigma_i falls below `least_sigma`: pixels that never vary would make an infinite density."""
        self.log_var.clamp_(min=2 * math.log(self.least_sigma))

    def make_visible_layer(self) -> None:
        d, std = self.data.dim, self.data.std
        if self.data.on_grid:  # places that never vary have no scale of their own
            std = common_std(self.data)
        self.scaling = Scaling(self.data, self.data.mean.flatten(), std.flatten().clamp_min(1e-6))
        log_var = torch.full((d,), 2 * math.log(self.sigma))
        if self.learn_sigma:
            self.log_var = nn.Parameter(log_var)
        else:
            self.register_buffer("log_var", log_var)
        self.register_buffer("base_var", (self.data.std.flatten() / self.scaling.scale).square().clamp_min(1e-4))
        self.mu[d:] = 1 / max(1, self.num_classes)  # the data have the mean 0, and so has u(x)

    @property
    def variance(self) -> Tensor:
        """sigma_i^2 of the components of x, and 1 for each class: (visible,)."""
        name = "log_var" if self.training or not (self.average and self.learn_sigma) else "average_log_var"
        found: Tensor = getattr(self, name).exp()
        return found if not self.num_classes else torch.cat([found, found.new_ones(self.num_classes)])

    @property
    def log_volume(self) -> float:
        return float(self.scaling.scale.cpu().double().log().sum())

    def visible(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = self.scaling.inner(x.flatten(1))
        return x if not self.num_classes else torch.cat([x, class_units(x, y, self.num_classes)], 1)

    def restore(self, v: Tensor) -> Tensor:
        return self.scaling.restore(v[:, : self.data.dim]).reshape(-1, *self.data.shape)

    def inputs(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.div(v, self.variance, out=out)

    def visible_energy(self, v: Tensor) -> Tensor:
        d, a = self.data.dim, self.theta("a")
        energy = ((v[:, :d] - a[:d]).square() / (2 * self.variance[:d])).sum(1)
        return energy - v[:, d:] @ a[d:] if self.num_classes else energy

    def base_energy(self, v: Tensor) -> Tensor:
        """N(0, the variance of the data) for each component, classes with equal probabilities."""
        return (v[:, : self.data.dim].square() / (2 * self.base_var)).sum(1)

    @property
    def base_log_z(self) -> float:
        return float(0.5 * (2 * math.pi * self.base_var.cpu().double()).log().sum()) + math.log(
            max(1, self.num_classes)
        )

    def draw_visible(self, y: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        d = self.data.dim
        if self.num_classes:
            draw_classes(y[:, d:], beta)
        x, variance = y[:, :d], self.variance[:d]
        if isinstance(beta, Tensor) or beta != 1:  # products of Gaussians: precisions add
            precision = (1 - beta) / self.base_var + beta / variance
            x.mul_(beta / variance).div_(precision)
            variance = 1 / precision
        x.add_(torch.randn_like(x) * variance.sqrt())
        return y

    def mean_visible(self, y: Tensor) -> Tensor:
        return torch.cat([y[:, : self.data.dim], torch.softmax(y[:, self.data.dim :], 1)], 1)

    def log_sum_visible(self, y: Tensor) -> Tensor:
        d, a, variance = self.data.dim, self.theta("a"), self.variance
        squares = ((y[:, :d].square() - a[:d].square()) / (2 * variance[:d])).sum(1)
        found = squares + 0.5 * (2 * math.pi * variance[:d]).log().sum()
        return found + torch.logsumexp(y[:, d:], 1) if self.num_classes else found

    def held_out_loss(self, v: Tensor, effort: float = 1.0) -> Metrics:
        """J of score matching, for x in its units of training."""
        d, variance = self.data.dim, self.variance
        h = torch.sigmoid(self.hidden_input(self.inputs(v)))
        w = self.theta("W")[:d] / variance[:d, None]
        score = (self.theta("a")[:d] - v[:, :d]) / variance[:d] + h @ w.t()
        laplacian = (h * (1 - h)) @ w.square().t() - 1 / variance[:d]
        j = (0.5 * score.square() + laplacian).sum(1)
        return {"loss": j, "score_matching": j}
