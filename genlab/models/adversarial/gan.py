"""Generative adversarial network (Goodfellow et al. 2014; the lecture's minimax game).

A discriminator D(x), the probability that x is data, and a generator x = G(h), h ~ p(h), play for

    min_G max_D L(D, G) = E_{x ~ p_r}[log D(x)] + E_{h ~ p(h)}[log(1 - D(G(h)))].

For a fixed G the best discriminator is D*(x) = p_r(x)/(p_r(x) + p_g(x)). Its logit is log p_r(x)/p_g(x), and

    L(D*, G) = 2 D_JS(p_r || p_g) - 2 log 2.

So (log 4 + L)/2 estimates the Jensen-Shannon divergence, from below because D is never quite D*. The equilibrium is p_g = p_r,
D = 1/2, L = -2 log 2. With the logit a, log D = -softplus(-a) and log(1 - D) = -softplus(a).

    game              minimax: G descends E log(1 - D(G(h))), whose gradient vanishes where D is sure; nonsaturating:
                      G descends -E log D(G(h))
    critic_steps      steps of D for each step of G
    label_smoothing   s: the target of D for data is 1 - s (Salimans et al. 2016)
    instance_noise    sigma_0 (1 - progress) on all inputs of D, so that p_r and p_g overlap (Sonderby et al. 2017)
    r1                gamma/2 E_{p_r} ||grad_x a(x)||^2 in the loss of D: with it the game converges (Mescheder et al. 2018)
    spectral_norm     every layer of D on x has the largest singular value 1 (Miyato et al. 2018)
    conditional       G and D depend on the class; `conditioning` of D: by a projection (Miyato & Koyama 2018), or as further
                      components of its input
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Unpack

import torch
from pydantic import Field
from torch import Tensor

from genlab.config.types import Count, NonNegative, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.adversarial.implicit_model import GeneratorOptions, ImplicitModel, frozen_parameters
from genlab.models.base import Charts, Metrics, Quantity
from genlab.models.candidates import Candidate, choose, family, higher, lower
from genlab.networks.discriminators import Conditioning, discriminator
from genlab.numerics.softplus import logsigmoid, softplus
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart

EQUILIBRIUM = -2 * math.log(2)


class GAN(ImplicitModel):
    """D sees as many samples as examples. D and G take turns."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "value": Quantity("nats"),
        "js": Quantity("nats"),
        "d_real": Quantity("probability"),
        "d_fake": Quantity("probability"),
    }
    charts: ClassVar[Charts] = {
        "L(D, G) and its equilibrium": Chart(
            ["train/value", "eval/value", "train/equilibrium"],
            "The value of the game. Where p_g = p_r it is -2 log 2 (dashed); where D is always right it is 0.",
            {"-2 log 2": EQUILIBRIUM},
        ),
        "D on data and on samples": Chart(
            ["train/d_real", "train/d_fake", "eval/d_real", "eval/d_fake"],
            "Mean of D(x) over data (real) and over samples (fake). At the equilibrium both are 1/2; 1 and 0: D has won.",
            {"1/2": 0.5},
        ),
        "D on training and on held-out data": Chart(
            ["monitor/d_train", "monitor/d_held_out"],
            "They part where D knows the training examples by heart.",
            {"1/2": 0.5},
        ),
        "Jensen-Shannon estimate": Chart(
            ["train/js", "eval/js"],
            "(log 4 + L)/2, the divergence of p_g from p_r as D sees it: from 0 to log 2 (dashed), where they do not overlap.",
            {"log 2": math.log(2)},
        ),
        "gradient norms": Chart(
            ["optimizer/discriminator/gradient_norm", "optimizer/generator/gradient_norm"],
            "Norm of the gradient of each player. In the minimax game that of the generator vanishes where D has won.",
            logarithmic=True,
        ),
    }

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = {
        "the discriminator has won": (
            choose("model.game", "nonsaturating"),
            lower("model.critic_steps", to=1),
            higher("model.instance_noise", to=0.1),
            higher("model.r1", to=1.0),
            choose("model.spectral_norm", True),
            family("wgan"),
        ),
        **dict.fromkeys(
            ("mode collapse", "low coverage", "missing classes"),
            (
                higher("model.r1", to=1.0),
                choose("model.spectral_norm", True),
                higher("model.critic_steps", 2),
                family("wgan"),
            ),
        ),
    }

    paced: ClassVar[Sequence[str]] = ("instance_noise",)

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        critic_hidden: Widths | None,
        game: Literal["nonsaturating", "minimax"],
        critic_steps: Count,
        label_smoothing: Annotated[float, Field(ge=0, lt=0.5)],
        instance_noise: NonNegative,
        r1: NonNegative,
        spectral_norm: bool,
        conditional: bool,
        conditioning: Conditioning,
        **options: Unpack[GeneratorOptions],
    ) -> None:
        super().__init__(data, optimizer, conditional=conditional, **options)
        self.minimax, self.critic_steps = game == "minimax", critic_steps
        self.label_smoothing, self.instance_noise, self.r1 = label_smoothing, instance_noise, r1
        self.discriminator = discriminator(
            data,
            options["network"],
            critic_hidden,
            num_classes=self.num_classes,
            conditioning=conditioning,
            normalisation="spectral" if spectral_norm else "none",
        )
        self.discriminator.needs_second_derivatives = r1 > 0
        self.optimizers["discriminator"] = optimizer(self.discriminator.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for step, batch in enumerate(batches, 1):
            trains_generator = step % self.critic_steps == 0
            x, y = self.scaling.inner(batch.x), self.one_hot(batch.y)
            with torch.set_grad_enabled(trains_generator):
                x_g = self.generate(self.noise(len(x)), y)
            sigma = self.instance_noise * (1 - batch.progress) if self.instance_noise else None

            # D ascends L(D, G).
            real, fake, penalty = self.logits_and_penalty(
                add_instance_noise(x, sigma), add_instance_noise(x_g.detach(), sigma), y
            )
            s = self.label_smoothing
            loss = (1 - s) * softplus(-real).mean() + s * softplus(real).mean() + softplus(fake).mean()
            self.descend(self.optimizers["discriminator"], loss + penalty)
            if not trains_generator:
                continue

            # G descends it, or ascends log D(G(h)).
            with frozen_parameters(self.discriminator):
                a = self.logit(add_instance_noise(x_g, sigma), y)
                generator_loss = -softplus(a).mean() if self.minimax else softplus(-a).mean()
                self.descend(self.optimizers["generator"], generator_loss)
            self.update_ema()

            real, fake = real.detach(), fake.detach()
            value = (logsigmoid(real) + logsigmoid(-fake)).mean()
            yield {
                "value": value,
                "js": (math.log(4) + value) / 2,
                "generator_loss": generator_loss.detach(),
                "d_real": real.sigmoid().mean(),
                "d_fake": fake.sigmoid().mean(),
                "equilibrium": torch.full((), EQUILIBRIUM, device=value.device),
                **({"r1_penalty": penalty.detach()} if self.r1 else {}),
            }

    def logits_and_penalty(self, x: Tensor, x_g: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of data and of samples, (n,) each, and the penalty gamma/2 E ||grad a||^2 on data, a scalar."""
        if not self.r1:
            both = self.logit(torch.cat([x, x_g]), None if y is None else torch.cat([y, y]))
            real, fake = both.chunk(2)
            return real, fake, both.new_zeros(())
        x = x.requires_grad_()
        real = self.logit(x, y)
        (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        penalty = self.r1 / 2 * gradient.square().flatten(1).sum(1).mean()
        return real, self.logit(x_g, y), penalty

    def logit(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """a(x) = log D/(1 - D) of x in inner units, (n,), with one-hot classes y of a conditional model."""
        out: Tensor = self.discriminator(x, y).float()
        return out.squeeze(1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """For each example and one sample: D of both, their share of L(D, G), and the Jensen-Shannon estimate from it."""
        y = self.one_hot(batch.y)
        real = self.logit(self.scaling.inner(batch.x), y)
        fake = self.logit(self.generate(self.noise(len(batch.x)), y), y)
        value = logsigmoid(real) + logsigmoid(-fake)
        return {"value": value, "js": (math.log(4) + value) / 2, "d_real": real.sigmoid(), "d_fake": fake.sigmoid()}

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        """Mean D of training and of held-out examples, which differ where D overfits; and the diversity of samples.

        D of a conditional model is left out, because it needs the classes.
        """
        metrics = {"diversity": self.diversity(train)}
        for name, x in (("d_train", train), ("d_held_out", held_out)):
            if x is not None and not self.num_classes:
                metrics[name] = self.score(x).sigmoid().mean()
        return metrics

    @torch.no_grad()
    def discriminate(self, x: Tensor) -> Tensor:
        """D(x), (n,)."""
        return self.score(x).sigmoid()

    @torch.no_grad()
    def score(self, x: Tensor) -> Tensor:
        """a(x), (n,); a conditional model cycles through the classes."""
        return self.logit(self.scaling.inner(x), self.cycled_classes(len(x)))


def add_instance_noise(x: Tensor, sigma: float | Tensor | None) -> Tensor:
    return x if sigma is None else x + sigma * torch.randn_like(x)
