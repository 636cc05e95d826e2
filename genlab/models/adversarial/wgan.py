"""Wasserstein GAN (Arjovsky, Chintala & Bottou 2017), with weight clipping or a gradient penalty (Gulrajani et al. 2017).

The Wasserstein distance W(p_r, p_g) = inf E||x - x'|| over couplings is, by the Kantorovich-Rubinstein duality, the largest
difference of means

    W(p_r, p_g) = sup_{|f|_L <= 1} E_{x ~ p_r} f(x) - E_{h ~ p(h)} f(G(h))

over functions f with Lipschitz constant 1. A critic f ascends it in `critic_steps` steps, then G descends it in one step. Unlike
the Jensen-Shannon divergence it has a gradient where p_r and p_g do not overlap, and the critic may be trained to convergence.

    penalty=gradient   lambda E (||grad f(x^)|| - 1)^2 in the critic's loss, x^ = u x + (1 - u) G(h), u ~ U(0, 1)
    penalty=clipping   every weight of f is clipped to [-c, c] after each step: f has some Lipschitz constant K(c), and the log
                       shows K W

With the penalty |grad f| may exceed 1: for a shift by W the best slope is s = 1 + W/2 lambda, and the difference of means is s W.
So the distance is estimated as that difference over the mean of |grad f| between data and samples, which is exact where |grad f|
is the same everywhere. Distances are in the inner units of the critic: pictures in [-1, 1], vectors in standard deviations.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal, Unpack

import torch
from torch import Tensor

from genlab.config.types import Count, Positive, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.adversarial.implicit_model import GeneratorOptions, ImplicitModel, frozen_parameters
from genlab.models.base import Charts, Metrics, Quantity
from genlab.models.candidates import Candidate, choose, higher
from genlab.networks.discriminators import Conditioning, discriminator
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart


class WGAN(ImplicitModel):
    """The critic f has the architecture of a discriminator and no sigmoid at its end."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "wasserstein": Quantity("distance"),
    }
    charts: ClassVar[Charts] = {
        "Wasserstein estimate": Chart(
            ["train/wasserstein", "eval/wasserstein", "monitor/wasserstein_train"],
            "Mean of f over data minus that over samples, with the penalty over the mean slope of f: the critic's estimate of "
            "the distance. It falls as samples improve.",
        ),
        "slope of the critic": Chart(
            ["train/slope"],
            "Mean of |grad f| between data and samples. A critic with Lipschitz constant 1 is at the dashed line.",
            {"1": 1.0},
        ),
        "gradient norms": Chart(
            ["optimizer/critic/gradient_norm", "optimizer/generator/gradient_norm"],
            "Norm of the gradient of each player. That of the generator stays of one size, however good the critic is.",
            logarithmic=True,
        ),
    }

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = dict.fromkeys(
        ("mode collapse", "low coverage", "missing classes"),
        (choose("model.penalty", "gradient"), higher("model.critic_steps", 2)),
    )

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        critic_hidden: Widths | None,
        critic_steps: Count,
        penalty: Literal["gradient", "clipping"],
        penalty_weight: Positive,
        weight_clip: Positive,
        conditional: bool,
        conditioning: Conditioning,
        **options: Unpack[GeneratorOptions],
    ) -> None:
        super().__init__(data, optimizer, conditional=conditional, **options)
        self.critic_steps, self.clips_weights = critic_steps, penalty == "clipping"
        self.penalty_weight, self.weight_clip = penalty_weight, weight_clip
        self.critic = discriminator(
            data, options["network"], critic_hidden, num_classes=self.num_classes, conditioning=conditioning
        )
        self.critic.needs_second_derivatives = not self.clips_weights
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
            penalty, slope = (torch.zeros(()), None) if self.clips_weights else self.gradient_penalty(x, x_g, y)
            self.descend(self.optimizers["critic"], self.penalty_weight * penalty - wasserstein)
            if self.clips_weights:
                self.clip_weights()
            if step % self.critic_steps:
                continue

            # G descends it.
            with frozen_parameters(self.critic):
                loss = -self.f(self.generate(self.noise(len(x)), y), y).mean()
                self.descend(self.optimizers["generator"], loss)
            self.update_ema()
            metrics = {"wasserstein": at_slope_1(wasserstein.detach(), slope), "generator_loss": loss.detach()}
            yield metrics if slope is None else metrics | {"penalty": penalty.detach(), "slope": slope}

    def gradient_penalty(self, x: Tensor, x_g: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """E (||grad f(x^)|| - 1)^2 on lines between examples and samples, and the mean of ||grad f(x^)||; scalars."""
        u = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
        between = torch.lerp(x_g, x, u).requires_grad_()
        (gradient,) = torch.autograd.grad(self.f(between, y).sum(), between, create_graph=True)
        norm = gradient.flatten(1).norm(dim=1)
        return (norm - 1).square().mean(), norm.detach().mean()

    @torch.no_grad()
    def clip_weights(self) -> None:
        for parameter in self.critic.parameters():
            parameter.clamp_(-self.weight_clip, self.weight_clip)

    def f(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """f(x) of x in inner units, (n,), with one-hot classes y of a conditional model."""
        out: Tensor = self.critic(x, y).float()
        return out.squeeze(1)

    def slope(self, x: Tensor, x_g: Tensor, y: Tensor | None = None) -> Tensor | None:
        """Mean of |grad f| between examples and samples; None for clipped weights, of which only K W is known."""
        if self.clips_weights:
            return None
        with torch.enable_grad():
            return self.gradient_penalty(x, x_g, y)[1]

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """f of each example minus f of one sample. The mean is the critic's estimate of the distance on held-out data."""
        x, y = self.scaling.inner(batch.x), self.one_hot(batch.y)
        x_g = self.generate(self.noise(len(x)), y)
        return {"wasserstein": at_slope_1(self.f(x, y) - self.f(x_g, y), self.slope(x, x_g, y))}

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """The estimate on training and on held-out examples, which differ where f overfits; and the diversity of samples.

        f of a conditional model is left out, because it needs the classes.
        """
        metrics = {"diversity": self.diversity(train)}
        if not self.num_classes:
            x_g = self.generate(self.noise(len(train)))
            slope, fake = self.slope(self.scaling.inner(train), x_g), self.f(x_g).mean()
            for name, x in (("wasserstein_train", train), ("wasserstein_held_out", held_out)):
                if x is not None:
                    metrics[name] = at_slope_1(self.score(x).mean() - fake, slope)
        return metrics

    @torch.no_grad()
    def score(self, x: Tensor) -> Tensor:
        """f(x), (n,); a conditional model cycles through the classes."""
        return self.f(self.scaling.inner(x), self.cycled_classes(len(x)))


def at_slope_1(difference: Tensor, slope: Tensor | None) -> Tensor:
    """The same difference of f/slope, whose slope is 1."""
    return difference if slope is None else difference / slope.clamp_min(1e-12)
