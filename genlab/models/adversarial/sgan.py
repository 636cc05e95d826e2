"""Semi-supervised generative adversarial network (Salimans et al. 2016; Springenberg 2016; Odena 2016).

The discriminator is a classifier with K classes of data and one more class for what is generated. One of the K + 1 logits is
redundant, so that of the last class is 0. With l_k(x) the other logits,

    p(y = k|x) = exp l_k/(1 + Z),   p(generated|x) = 1/(1 + Z),   Z = sum_k exp l_k,   D(x) = Z/(1 + Z),

log D = log Z - softplus(log Z) and log(1 - D) = -softplus(log Z). Its loss has two parts, one for each kind of example:

    labelled     -E log p(y|x, y <= K) = E[log Z - l_y]
    unlabelled   -1/2 E_{p_r} log D(x) - 1/2 E log(1 - D(G(h)))

with the weights `labelled_weight` and `unlabelled_weight`: both for a mix of labelled and unlabelled data
(dataset.labelled=100), the first alone for a classifier that ignores unlabelled data, the second alone for unsupervised learning.
The generator matches features,

    || E_{p_r} phi(x) - E phi(G(h)) ||^2,       phi: the layer before the logits.

Feature matching gives worse samples than the game, and a better classifier: the samples lie between the classes, where data are
few. D has noise on its input and layers. It classifies with a running average of its parameters (`critic_average`).

Unlabelled examples help the classifier while G keeps up with D, D(x) near 0.8 and D(G(h)) near 0.2. A D that separates them at
once learns from the labelled examples alone. So D has to learn slowly: its first parameters standardise its layers' outputs,
the norms of its hidden weights stay as they are then (`weight_norm`, networks/weight_norm.py), and it learns only directions.
Salimans et al. give Adam the rate 0.003, but the bias correction in their code stays at its value of the first update. So their
rate is soon 0.003 (1 - beta_2)^(1/2)/(1 - beta_1) = 0.0002.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Unpack

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parametrize

from genlab.config.types import NonNegative, Share, Widths
from genlab.data.batches import Batch
from genlab.data.labels import UNLABELLED
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.adversarial.implicit_model import GeneratorOptions, ImplicitModel, frozen_parameters
from genlab.models.base import Charts, Metrics, Quantity
from genlab.models.candidates import Candidate, choose, family, higher
from genlab.models.ema import EMA
from genlab.networks.discriminators import architecture, discriminator
from genlab.numerics import shares
from genlab.numerics.softplus import softplus
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart


class SGAN(ImplicitModel):
    """For data without classes, K = 1 and all examples are unlabelled."""

    initialised: Tensor
    """Whether the data-dependent initialisation of the discriminator is done."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "d_real": Quantity("probability"),
        "d_fake": Quantity("probability"),
        "nll": Quantity("nats", "lower"),
        "accuracy": Quantity("share", "higher"),
    }
    charts: ClassVar[Charts] = {
        "accuracy": Chart(
            ["train/accuracy_labelled", "eval/accuracy"],
            "Share of right classes among the labelled training examples, and among all validation examples.",
        ),
        "D on data and on samples": Chart(
            ["train/d_real", "train/d_fake", "eval/d_real", "eval/d_fake"],
            "Probability of being data, mean over data (real) and over samples (fake). At the equilibrium both are 1/2.",
            {"1/2": 0.5},
        ),
        "gradient norms": Chart(
            ["optimizer/discriminator/gradient_norm", "optimizer/generator/gradient_norm"],
            "Norm of the gradient of each player. Without unlabelled examples there is no generator to train.",
            logarithmic=True,
        ),
    }
    uses_unlabelled = True
    labelled_beside = True

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = {
        "the discriminator has won": (
            choose("model.weight_norm", True),
            higher("model.noise", to=0.3),
            higher("model.layer_noise", to=0.5),
        ),
        **dict.fromkeys(("mode collapse", "low coverage", "missing classes"), (family("gan"),)),
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        critic_hidden: Widths | None,
        noise: NonNegative,
        layer_noise: NonNegative,
        weight_norm: bool,
        labelled_weight: NonNegative,
        unlabelled_weight: NonNegative,
        critic_average: Share,
        **options: Unpack[GeneratorOptions],
    ) -> None:
        if architecture(data, options["network"]) == "mlp":
            large = data.dim >= 256
            options["hidden"] = options["hidden"] or ([500, 500] if large else [200, 200])
            critic_hidden = critic_hidden or ([1000, 500, 250, 250, 250] if large else [250, 250, 250])
        super().__init__(data, optimizer, activation="softplus", weight_norm=weight_norm, **options)
        if not labelled_weight and not unlabelled_weight:
            raise GenlabError("model.labelled_weight=0 and model.unlabelled_weight=0 leave no loss; set one above 0")
        if data.num_classes is None and not unlabelled_weight:
            raise GenlabError(
                f"model.unlabelled_weight=0 needs labels, and dataset={data.name} has none; set it above 0"
            )
        self.labelled_weight = labelled_weight if data.num_classes is not None else 0.0
        self.unlabelled_weight = unlabelled_weight
        self.classifies = data.num_classes is not None and labelled_weight > 0
        self.discriminator = discriminator(
            data,
            options["network"],
            critic_hidden,
            outputs=data.num_classes or 1,
            normalisation="weight" if weight_norm else "none",
            # Noise is in units of the data. Pictures are in [0, 1] there, and in [-1, 1] for the discriminator.
            noise=(noise if data.support == "real" else 2 * noise, layer_noise),
            negative_slope=0.0,
        )
        self.classifier = EMA(self.discriminator, critic_average)
        self.register_buffer("initialised", torch.zeros((), dtype=torch.bool))
        self.optimizers["discriminator"] = optimizer(self.discriminator.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        initialised = bool(self.initialised)
        for batch in batches:
            x = self.scaling.inner(batch.x)
            if not initialised:
                self.initialise(x)
                initialised = True
            with torch.no_grad():
                x_g = self.generate(self.noise(len(x)))

            # D learns the classes of labelled examples, and to separate data from samples.
            labelled, y = self.labelled(batch)
            parts = [labelled, x, x_g] if self.unlabelled_weight else [labelled]
            logits = self.discriminator(torch.cat(parts)).float().split([len(part) for part in parts])
            supervised, unsupervised = x.new_zeros(()), x.new_zeros(())
            metrics: Metrics = {}
            if len(y):
                known = shares.whole_mean(x.new_full((), float(len(y))))  # labelled examples of a share
                supervised = F.cross_entropy(logits[0], y, reduction="sum") / known
                accuracy = (logits[0].detach().argmax(1) == y).float().mean()
                metrics |= {"supervised": supervised.detach(), "accuracy_labelled": accuracy}
            if self.unlabelled_weight:
                log_z, log_z_g = logits[1].logsumexp(1), logits[2].logsumexp(1)
                unsupervised = 0.5 * (softplus(log_z) - log_z).mean() + 0.5 * softplus(log_z_g).mean()
                metrics |= {
                    "unsupervised": unsupervised.detach(),
                    "d_real": log_z.detach().sigmoid().mean(),
                    "d_fake": log_z_g.detach().sigmoid().mean(),
                }
            loss = self.labelled_weight * supervised + self.unlabelled_weight * unsupervised
            self.descend(self.optimizers["discriminator"], loss)
            self.classifier.update(self.discriminator)

            # G matches the mean features of data.
            if self.unlabelled_weight:
                with (
                    frozen_parameters(self.discriminator),
                    parametrize.cached(),
                ):  # D's weights are computed once for both
                    with torch.no_grad():
                        real = self.discriminator.features(x).float().mean(0)
                    generated = self.discriminator.features(self.generate(self.noise(len(x)))).float().mean(0)
                    matching = shares.whole_mean(real - generated).square().mean()
                    self.descend(self.optimizers["generator"], matching)
                self.update_ema()
                metrics["feature_matching"] = matching.detach()
            yield metrics

    def initialise(self, x: Tensor) -> None:
        """Data-dependent initialisation of the discriminator on the first batch x."""
        self.discriminator.initialise(x)
        self.classifier.take(self.discriminator)
        self.initialised.fill_(True)

    def labelled(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Labelled examples in inner units, and their classes: those beside the batch, or else those in it."""
        if not self.labelled_weight:
            return self.scaling.inner(batch.x[:0]), torch.zeros(0, dtype=torch.int64, device=batch.x.device)
        source = batch.labelled or batch
        assert source.y is not None, "data with classes have labels"
        known = source.y != UNLABELLED if batch.labelled is None else slice(None)
        return self.scaling.inner(source.x[known]), source.y[known]

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """D of each example and of one sample, by the averaged discriminator; with labels also nll and accuracy."""
        logits = self.classifier(self.scaling.inner(batch.x)).float()
        log_z = logits.logsumexp(1)
        fake = self.classifier(self.generate(self.noise(len(batch.x)))).float().logsumexp(1)
        metrics = {"d_real": log_z.sigmoid(), "d_fake": fake.sigmoid()}
        if self.labelled_weight and batch.y is not None:
            nll = F.cross_entropy(logits, batch.y, reduction="none")
            metrics |= {"loss": nll, "nll": nll, "accuracy": (logits.argmax(1) == batch.y).float()}
        return metrics

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x, y <= K), (n, K)."""
        logits: Tensor = self.classifier(self.scaling.inner(x)).float()
        return logits.log_softmax(1)

    @torch.no_grad()
    def discriminate(self, x: Tensor) -> Tensor:
        """D(x), (n,)."""
        return self.score(x).sigmoid()

    @torch.no_grad()
    def score(self, x: Tensor) -> Tensor:
        """log Z(x), the logit of D, (n,)."""
        logits: Tensor = self.classifier(self.scaling.inner(x)).float()
        return logits.logsumexp(1)

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        return {"diversity": self.diversity(train)}
