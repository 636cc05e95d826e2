"""Wasserstein GAN (Arjovsky, Chintala & Bottou 2017), with weight clipping or a gradient penalty (Gulrajani et al. 2017).

The distance W(p_r, p_g) = inf E||x - x'|| over couplings is, by the duality of Kantorovich and Rubinstein, a largest difference
of means

    W(p_r, p_g) = sup_{|f|_L <= 1} E_{x ~ p_r} f(x) - E_{h ~ p(h)} f(G(h))

over functions of slope at most 1. A critic f ascends it, `critic_steps` steps for one in which G descends it. Unlike the
Jensen-Shannon divergence it has a slope where p_r and p_g do not overlap, and the critic may be trained as far as one likes.

    penalty=gradient   lambda E (||grad f(x^)|| - 1)^2 in the critic's loss, x^ = u x + (1 - u) G(h), u ~ U(0, 1)
    penalty=clipping   every weight of f is clipped to [-c, c] after each step: f has some slope K(c), and what is logged is K W

Distances are in the units of the critic: pictures in [-1, 1], vectors in standard deviations.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genlab.config.types import Count, Positive, Share, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.adversarial.generator import ImplicitModel, Latent, frozen
from genlab.models.base import Charts, Metrics, Quantity
from genlab.networks.adversarial import Architecture, Conditioning, discriminator, joined
from genlab.optimizers.recipe import Recipe


class WGAN(ImplicitModel):
    """The critic f has the architecture of a discriminator and no sigmoid at its end."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "wasserstein": Quantity("distance"),
    }
    charts: ClassVar[Charts] = {
        "Wasserstein estimate": ["train/wasserstein", "eval/wasserstein", "monitor/wasserstein_train"],
        "slope of the critic": ["train/slope"],
        "gradient norms": ["optimizer/critic/gradient_norm", "optimizer/generator/gradient_norm"],
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        latent_dim: Count,
        latent: Latent,
        network: Architecture,
        hidden: Widths | None,
        critic_hidden: Widths | None,
        critic_steps: Count,
        penalty: Literal["gradient", "clipping"],
        penalty_weight: Positive,
        weight_clip: Positive,
        average: Share,
        conditional: bool,
        conditioning: Conditioning,
    ) -> None:
        super().__init__(
            data,
            optimizer,
            latent_dim=latent_dim,
            latent=latent,
            network=network,
            hidden=hidden,
            average=average,
            conditional=conditional,
        )
        self.critic_steps, self.penalised = critic_steps, penalty == "gradient"
        self.penalty_weight, self.weight_clip = penalty_weight, weight_clip
        self.joins = conditioning == "concat"
        self.critic = discriminator(
            data,
            network,
            critic_hidden,
            channels=self.num_classes if self.joins else 0,
            num_classes=0 if self.joins else self.num_classes,
        )
        self.critic.needs_second_derivatives = self.penalised
        self.optimizers["critic"] = optimizer(self.critic.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for step, batch in enumerate(batches, 1):
            x, y = self.scaling.inner(batch.x), self.one_hot(batch.y)
            with torch.no_grad():
                x_g = self.generate(self.noise(len(x)), y)

            # The critic ascends E f(x) - E f(G(h)).
            real, fake = self.f(torch.cat([x, x_g]), None if y is None else torch.cat([y, y])).chunk(2)
            wasserstein = real.mean() - fake.mean()
            penalty, slope = self.slope_penalty(x, x_g, y) if self.penalised else (torch.zeros(()), None)
            self.descend(self.optimizers["critic"], self.penalty_weight * penalty - wasserstein)
            if not self.penalised:
                self.clip()
            if step % self.critic_steps:
                continue

            # G descends it.
            with frozen(self.critic):
                loss = -self.f(self.generate(self.noise(len(x)), y), y).mean()
                self.descend(self.optimizers["generator"], loss)
            self.follow()
            found = {"wasserstein": wasserstein.detach(), "generator_loss": loss.detach()}
            yield found if slope is None else found | {"penalty": penalty.detach(), "slope": slope}

    def slope_penalty(self, x: Tensor, x_g: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """E (||grad f(x^)|| - 1)^2 on the lines between examples and samples, and the mean slope; scalars."""
        u = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
        between = torch.lerp(x_g, x, u).requires_grad_()
        (gradient,) = torch.autograd.grad(self.f(between, y).sum(), between, create_graph=True)
        norm = gradient.flatten(1).norm(dim=1)
        return (norm - 1).square().mean(), norm.detach().mean()

    @torch.no_grad()
    def clip(self) -> None:
        for parameter in self.critic.parameters():
            parameter.clamp_(-self.weight_clip, self.weight_clip)

    def f(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """f(x) of x in inner units, (n,)."""
        if y is not None and self.joins:
            x, y = joined(x, y, self.critic), None
        out: Tensor = self.critic(x, y).float()
        return out.squeeze(1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """f of each example less f of one sample: their mean is the critic's estimate of the distance on held-out data."""
        y = self.one_hot(batch.y)
        fake = self.f(self.generate(self.noise(len(batch.x)), y), y)
        return {"wasserstein": self.f(self.scaling.inner(batch.x), y) - fake}

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """The estimate on examples of each split, apart where f knows its training examples by heart; variety of samples.

        Not of a conditional model's f, which asks for classes.
        """
        found = {"diversity": self.diversity(train)}
        if not self.num_classes:
            fake = self.f(self.generate(self.noise(len(train)))).mean()
            for name, x in (("wasserstein_train", train), ("wasserstein_held_out", held_out)):
                if x is not None:
                    found[name] = self.score(x).mean() - fake
        return found

    @torch.no_grad()
    def score(self, x: Tensor) -> Tensor:
        """f(x); of a conditional model, with the classes in turns."""
        return self.f(self.scaling.inner(x), self._turns(len(x)))
