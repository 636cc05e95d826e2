"""Implicit generative models: a generator G maps noise h ~ p(h) to x = G(h). The density p_g of x is never written down.

This is the common part of the adversarial families. How each of them learns is in its own file (gan.py, wgan.py, sgan.py).

    latent    p(h): normal, N(0, I), or uniform in the cube [-1, 1]^d (the lecture's choice)
    average   decay of a running average of G's parameters that makes the samples; 0 for none (Yazici et al. 2019)

Pictures are modelled in [-1, 1], by a tanh, and vectors in units of their standard deviations. For binary data (spins) G gives
probabilities, sigmoid(u). The discriminator sees 1[u > 0] with the gradient of the sigmoid (the straight-through estimator),
because any value between 0 and 1 would give a sample away.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypedDict, Unpack

import torch
from torch import Tensor, nn

from genlab.config.types import Count, Positive, Share, Widths
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import GenerativeModel
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot, requested_classes
from genlab.models.ema import EMA
from genlab.models.scaling import Scaling
from genlab.networks.discriminators import Architecture
from genlab.networks.generators import generator
from genlab.optimizers.recipe import Recipe


class GeneratorOptions(TypedDict):
    """Keys of every adversarial family."""

    latent_dim: Count
    latent: Literal["normal", "uniform"]
    network: Architecture
    """Of both players."""
    hidden: Widths | None
    """Widths or channels of the generator."""
    average: Share


class ImplicitModel(GenerativeModel):
    """Generator, its running average, p(h) and samples. Families add a discriminator and `train_loop`."""

    supports = frozenset({"binary", "unit", "real"})
    least_batch = 2  # batch normalisation needs a variance

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        conditional: bool = False,
        activation: Literal["leaky_relu", "softplus"] = "leaky_relu",
        weight_norm: bool = False,
        **options: Unpack[GeneratorOptions],
    ) -> None:
        super().__init__(data, optimizer)
        self.latent_dim, self.latent = options["latent_dim"], options["latent"]
        self.num_classes = num_classes_of(data, conditional)
        inputs = self.latent_dim + self.num_classes
        self.generator = generator(data, options["network"], options["hidden"], inputs, activation, weight_norm)
        self.ema = EMA(self.generator, options["average"]) if options["average"] else None
        self.scaling = Scaling.of(data)
        self.optimizers["generator"] = optimizer(self.generator.parameters())

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        """Classes y (n,) as a conditional model takes them, (n, num_classes); None for any other model."""
        return one_hot(y, self.num_classes)

    def noise(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        if self.latent == "normal":
            return torch.randn(n, self.latent_dim, device=self.device)
        return torch.rand(n, self.latent_dim, device=self.device) * 2 - 1

    def generate(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """G(h), or G(h, y) with one-hot classes y (n, num_classes), as the discriminator sees it: (n, *shape)."""
        u: Tensor = self.generator(h if y is None else torch.cat([h, y], 1)).float()
        if self.data.support == "real":
            return u
        if self.data.support == "unit":
            return u.tanh()
        p = u.sigmoid()
        return 2 * (p + ((u > 0).float() - p).detach()) - 1

    def update_ema(self) -> None:
        if self.ema is not None:
            self.ema.update(self.generator)

    @torch.no_grad()
    def sample_loop(
        self,
        n: int,
        labels: list[int] | int | None = None,
        truncation: Positive | None = None,
        mean: bool | None = None,
    ) -> Iterator[Tensor]:
        """G(h) with h ~ p(h), by the averaged generator. For binary data: its probabilities if `mean`, which is the default
        for pictures, else 1[u > 0], as the discriminator sees samples.

        A conditional model cycles through the classes `labels`, by default all of them. `truncation` is the largest |h_j|:
        less variety for better samples (Brock et al. 2019). Raises GenlabError for classes that do not exist.
        """
        y = classes_to_sample(labels, n, self.num_classes, self.device)
        h = self.noise(n) if truncation is None else self.truncated_noise(n, truncation)
        show_mean = self.data.on_grid if mean is None else mean
        x = self.decode(h, y)
        yield x if show_mean or self.data.support != "binary" else (x > 0.5).float()

    def truncated_noise(self, n: int, truncation: float) -> Tensor:
        """h ~ p(h) given that |h_j| <= truncation, (n, latent_dim)."""
        if not 0 < truncation < math.inf:
            raise GenlabError(f"truncation={truncation}: should be a number above 0; leave it out for all of p(h)")
        if self.latent == "uniform":
            return self.noise(n) * min(truncation, 1.0)
        mass = math.erf(truncation / math.sqrt(2))  # P(|h_j| <= truncation) of the standard normal distribution
        u = torch.rand(n, self.latent_dim, device=self.device) * 2 - 1
        return (math.sqrt(2) * torch.erfinv(u * mass)).clamp(-truncation, truncation)

    @torch.no_grad()
    def decode(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """G(h), or G(h, y), by the averaged generator in the data's units, (n, *shape); for binary data the probabilities.

        `y` are one-hot classes (n, num_classes). A conditional model takes class 0 where there is none.
        """
        if self.num_classes and y is None:
            y = requested_classes(0, len(h), self.num_classes).to(h.device)
        network = self.generator if self.ema is None else self.ema
        u: Tensor = network(h if y is None else torch.cat([h, y], 1)).float()
        if self.data.support == "real":
            return self.scaling.restore(u)
        return (u.tanh() + 1) / 2 if self.data.support == "unit" else u.sigmoid()

    def draw_codes(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        return self.noise(n)

    def interpolate(self, start: Tensor, end: Tensor, weight: float) -> Tensor:
        """The code at the share `weight` of the way from `start` to `end` (n, latent_dim).

        For a normal p(h) the way is along a great circle: nearly all of the mass lies on a shell, which a straight line leaves.
        """
        if self.latent == "uniform":
            return torch.lerp(start, end, weight)
        lengths = [h.norm(dim=1, keepdim=True) for h in (start, end)]
        a, b = start / lengths[0], end / lengths[1]
        angle = (a * b).sum(1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
        direction = (torch.sin((1 - weight) * angle) * a + torch.sin(weight * angle) * b) / angle.sin()
        out: Tensor = direction * torch.lerp(lengths[0], lengths[1], weight)
        return out

    @torch.no_grad()
    def diversity(self, held_out: Tensor) -> Tensor:
        """Mean distance between two samples from fixed noise, relative to that between two of the examples `held_out`; 0 where
        these are all equal.
        """
        generated = self.decode(self.noise(len(held_out)), self.cycled_classes(len(held_out))).flatten(1)
        real = torch.pdist(held_out.flatten(1)).mean()
        return torch.where(real > 0, torch.pdist(generated).mean() / real, torch.zeros_like(real))

    def cycled_classes(self, n: int) -> Tensor | None:
        """One-hot classes 0, 1, ..., 0, 1, ..., (n, num_classes); None for a model that is not conditional."""
        return classes_to_sample(None, n, self.num_classes, self.device)

    @abstractmethod
    def score(self, x: Tensor) -> Tensor:
        """Output of the discriminator for examples x in the data's units, (n,)."""


@contextmanager
def frozen_parameters(network: nn.Module) -> Iterator[None]:
    """Within the block the parameters of `network` need no gradients, which saves half of the other player's backward pass."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
