"""Implicit generative models: a generator G turns noise h ~ p(h) into x = G(h), and the density p_g of x is never written down.

What adversarial families have in common; how they learn is in the file of each (gan.py, wgan.py, sgan.py).

    latent    p(h): normal, N(0, I), or uniform over the cube [-1, 1]^d (the lecture's choice)
    average   samples come from a running average of G's parameters, of that decay, where it is above 0 (Yazici et al. 2019)

Pictures are modelled in [-1, 1] behind a tanh, vectors in units of their standard deviations. Of binary data (spins) G gives
probabilities, sigmoid(u), and the discriminator sees 1[u > 0] with the gradient of the sigmoid (straight through), since it
would tell anything between 0 and 1 at a glance.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from genlab.config.types import Count, Share, Widths
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import GenerativeModel
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot, requested_classes
from genlab.models.ema import EMA
from genlab.models.scaling import Scaling
from genlab.networks.adversarial import Architecture, generator
from genlab.optimizers.recipe import Recipe

Latent = Literal["normal", "uniform"]


class ImplicitModel(GenerativeModel):
    """Generator, its running average, p(h) and samples. Families add a discriminator and `train_loop`."""

    supports = frozenset({"binary", "unit", "real"})
    least_batch = 2  # of one, batch normalisation knows no variance

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        latent_dim: Count,
        latent: Latent,
        network: Architecture,
        hidden: Widths | None,
        average: Share,
        conditional: bool = False,
        activation: Literal["leaky_relu", "softplus"] = "leaky_relu",
        weight_norm: bool = False,
    ) -> None:
        super().__init__(data, optimizer)
        self.latent_dim, self.latent = latent_dim, latent
        self.num_classes = num_classes_of(data, conditional)
        self.generator = generator(data, network, hidden, latent_dim + self.num_classes, activation, weight_norm)
        self.ema = EMA(self.generator, average) if average else None
        self.scaling = Scaling.of(data)
        self.optimizers["generator"] = optimizer(self.generator.parameters())

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        """Classes as the networks take them, (n, num_classes); None for an unconditional model."""
        return one_hot(y, self.num_classes)

    def noise(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        if self.latent == "normal":
            return torch.randn(n, self.latent_dim, device=self.device)
        return torch.rand(n, self.latent_dim, device=self.device) * 2 - 1

    def generate(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """G(h), or G(h, y) of one-hot classes y (n, told), as the discriminator sees it: (n, *shape)."""
        u: Tensor = self.generator(h if y is None else torch.cat([h, y], 1)).float()
        if self.data.support == "real":
            return u
        if self.data.support == "unit":
            return u.tanh()
        p = u.sigmoid()
        return 2 * (p + ((u > 0).float() - p).detach()) - 1

    def follow(self) -> None:
        """Take the generator's new parameters and statistics into its average."""
        if self.ema is not None:
            self.ema.follow(self.generator)

    @torch.no_grad()
    def sample_loop(
        self, n: int, labels: list[int] | int | None = None, truncation: float | None = None, mean: bool | None = None
    ) -> Iterator[Tensor]:
        """G(h) with h ~ p(h), by the averaged generator; of binary data 1[u > 0], as the discriminator saw them, where `mean` is
        false, which for vectors it is.

        A conditional model draws the classes `labels` in turns, or else all of them. `truncation` keeps every component of h
        within that distance of 0: less variety for better samples (Brock et al. 2019). Raises GenlabError for what is not there.
        """
        y = classes_to_sample(labels, n, self.num_classes, self.device)
        h = self.noise(n) if truncation is None else self.truncated(n, truncation)
        show_mean = self.data.is_image if mean is None else mean
        x = self.render(h, y)
        yield x if show_mean or self.data.support != "binary" else (x > 0.5).float()

    def truncated(self, n: int, truncation: float) -> Tensor:
        """h ~ p(h) given that |h_j| <= truncation, (n, latent_dim)."""
        if not 0 < truncation < math.inf:
            raise GenlabError(f"truncation={truncation}: should be a number above 0; leave it out for all of p(h)")
        if self.latent == "uniform":
            return self.noise(n) * min(truncation, 1.0)
        reach = math.erf(truncation / math.sqrt(2))  # of the standard normal, P(|h| <= truncation)
        u = torch.rand(n, self.latent_dim, device=self.device) * 2 - 1
        return (math.sqrt(2) * torch.erfinv(u * reach)).clamp(-truncation, truncation)

    def render(self, h: Tensor, y: Tensor | None) -> Tensor:
        """What samples are made of: G(h) in the data's units; of binary data the probabilities sigmoid(u)."""
        network = self.generator if self.ema is None else self.ema
        u: Tensor = network(h if y is None else torch.cat([h, y], 1)).float()
        if self.data.support == "real":
            return self.scaling.restore(u)
        return (u.tanh() + 1) / 2 if self.data.support == "unit" else u.sigmoid()

    @torch.no_grad()
    def decode(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """G(h), or G(h, y), in the data's units, (n, *shape); of a conditional model without `y`, G(h, y = 0)."""
        if self.num_classes and y is None:
            y = requested_classes(0, len(h), self.num_classes).to(h.device)
        return self.render(h, y)

    def draw_codes(self, n: int) -> Tensor:
        """h ~ p(h), (n, latent_dim)."""
        return self.noise(n)

    def interpolate(self, start: Tensor, end: Tensor, weight: float) -> Tensor:
        """The code that lies `weight` of the way from `start` to `end` (n, latent_dim).

        Along a great circle for a normal p(h), nearly all of whose mass lies on a shell that a straight line would leave.
        """
        if self.latent == "uniform":
            return torch.lerp(start, end, weight)
        lengths = [h.norm(dim=1, keepdim=True) for h in (start, end)]
        a, b = start / lengths[0], end / lengths[1]
        angle = (a * b).sum(1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
        turned = (torch.sin((1 - weight) * angle) * a + torch.sin(weight * angle) * b) / angle.sin()
        out: Tensor = turned * torch.lerp(lengths[0], lengths[1], weight)
        return out

    @torch.no_grad()
    def diversity(self, held_out: Tensor) -> Tensor:
        """Mean distance between two samples from fixed noise, in units of that between two of the examples `held_out`; 0 where
        these do not differ.
        """
        ours = self.render(self.noise(len(held_out)), self._turns(len(held_out))).flatten(1)
        real = torch.pdist(held_out.flatten(1)).mean()
        return torch.where(real > 0, torch.pdist(ours).mean() / real, torch.zeros_like(real))

    def _turns(self, n: int) -> Tensor | None:
        return classes_to_sample(None, n, self.num_classes, self.device)

    @abstractmethod
    def score(self, x: Tensor) -> Tensor:
        """What the discriminator puts out for examples x in the data's units: (n,)."""


class frozen:  # noqa: N801  # a context manager, spelt like one
    """Within the block the parameters of a network take no gradients: half of the backward pass of the other player."""

    def __init__(self, network: nn.Module) -> None:
        self.parameters = [p for p in network.parameters() if p.requires_grad]

    def __enter__(self) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        for parameter in self.parameters:
            parameter.requires_grad_(True)
