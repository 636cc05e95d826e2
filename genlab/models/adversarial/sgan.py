"""Semi-supervised generative adversarial network (Salimans et al. 2016; Springenberg 2016; Odena 2016).

The discriminator is a classifier of K real classes and one more for what is generated. Of K + 1 logits one is superfluous, so
that of the last class is 0, and with l_k(x) those of the others

    p(y = k|x) = exp l_k/(1 + Z),   p(generated|x) = 1/(1 + Z),   Z = sum_k exp l_k,   D(x) = Z/(1 + Z),

log D = log Z - softplus(log Z) and log(1 - D) = -softplus(log Z). Its loss has two parts, one for each kind of example:

    labelled     -E log p(y|x, y <= K) = E[log Z - l_y]
    unlabelled   -1/2 E_{p_r} log D(x) - 1/2 E log(1 - D(G(h)))

weighted by `labelled_weight` and `unlabelled_weight`: both for a mix of labelled and unlabelled data (dataset.labelled=100), the
first alone for a classifier that ignores the rest, the second alone for unsupervised learning. The generator matches features,

    || E_{p_r} phi(x) - E phi(G(h)) ||^2,       phi: the layer before the logits,

which makes worse samples than the game would, and a better classifier: they lie where data are few, between the classes.
D has noise on its input and layers, and it classifies with a running average of its parameters (`critic_average`).

The unlabelled teach it something while G keeps up, D(x) and D(G(h)) near 0.8 and 0.2; a D that tells them apart at once learns
from the labelled alone. So the layers' outputs are standardised once, the lengths of D's hidden weights stay where that put
them (`weight_norm`, networks/directions.py), and what is learned are directions, slowly. Salimans et al. give Adam the rate
0.003, but the bias correction in their code stays at its value of the first update, which soon makes
0.003 (1 - beta_2)^(1/2)/(1 - beta_1) = 0.0002 of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import parametrize

from genlab.config.types import Count, NonNegative, Share, Widths
from genlab.data.batches import Batch
from genlab.data.labels import UNLABELLED
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.adversarial.generator import ImplicitModel, Latent, frozen
from genlab.models.base import Charts, Metrics, Quantity
from genlab.models.ema import EMA
from genlab.networks.adversarial import Architecture, architecture, discriminator
from genlab.numerics.softplus import softplus
from genlab.optimizers.recipe import Recipe


class SGAN(ImplicitModel):
    """Without classes in the data, K = 1 and nothing is labelled."""

    started: Tensor

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "d_real": Quantity("probability"),
        "d_fake": Quantity("probability"),
        "nll": Quantity("nats", "lower"),
        "accuracy": Quantity("share", "higher"),
    }
    charts: ClassVar[Charts] = {
        "D on data and on samples": ["train/d_real", "train/d_fake", "eval/d_real"],
        "accuracy": ["train/accuracy_labelled", "eval/accuracy"],
        "gradient norms": ["optimizer/discriminator/gradient_norm", "optimizer/generator/gradient_norm"],
    }
    uses_unlabelled = True
    labelled_beside = True

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
        noise: NonNegative,
        layer_noise: NonNegative,
        weight_norm: bool,
        labelled_weight: NonNegative,
        unlabelled_weight: NonNegative,
        average: Share,
        critic_average: Share,
    ) -> None:
        if architecture(data, network) == "mlp":
            large = data.dim >= 256
            hidden = hidden or ([500, 500] if large else [200, 200])
            critic_hidden = critic_hidden or ([1000, 500, 250, 250, 250] if large else [250, 250, 250])
        super().__init__(
            data,
            optimizer,
            latent_dim=latent_dim,
            latent=latent,
            network=network,
            hidden=hidden,
            average=average,
            activation="softplus",
            weight_norm=weight_norm,
        )
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
            network,
            critic_hidden,
            outputs=data.num_classes or 1,
            bound="weight" if weight_norm else "none",
            # A picture is two units wide in the discriminator's eyes, and one in the data's, in which noise is measured.
            noise=(noise if data.support == "real" else 2 * noise, layer_noise),
            slope=0.0,
        )
        self.classifier = EMA(self.discriminator, critic_average)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.optimizers["discriminator"] = optimizer(self.discriminator.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        started = bool(self.started)
        for batch in batches:
            x = self.scaling.inner(batch.x)
            if not started:
                started = self.start(x)
            with torch.no_grad():
                x_g = self.generate(self.noise(len(x)))

            # D learns the classes of labelled examples, and to tell data from samples.
            labelled, y = self.labelled(batch)
            parts = [labelled, x, x_g] if self.unlabelled_weight else [labelled]
            logits = self.discriminator(torch.cat(parts)).float().split([len(part) for part in parts])
            supervised, unsupervised = x.new_zeros(()), x.new_zeros(())
            found: Metrics = {}
            if len(y):
                supervised = F.cross_entropy(logits[0], y)
                right = (logits[0].detach().argmax(1) == y).float().mean()
                found |= {"supervised": supervised.detach(), "accuracy_labelled": right}
            if self.unlabelled_weight:
                log_z, log_z_g = logits[1].logsumexp(1), logits[2].logsumexp(1)
                unsupervised = 0.5 * (softplus(log_z) - log_z).mean() + 0.5 * softplus(log_z_g).mean()
                found |= {
                    "unsupervised": unsupervised.detach(),
                    "d_real": log_z.detach().sigmoid().mean(),
                    "d_fake": log_z_g.detach().sigmoid().mean(),
                }
            loss = self.labelled_weight * supervised + self.unlabelled_weight * unsupervised
            self.descend(self.optimizers["discriminator"], loss)
            self.classifier.follow(self.discriminator)

            # G matches the mean features of data.
            if self.unlabelled_weight:
                with frozen(self.discriminator), parametrize.cached():  # D's weights are made once for both
                    with torch.no_grad():
                        real = self.discriminator.features(x).float().mean(0)
                    generated = self.discriminator.features(self.generate(self.noise(len(x)))).float().mean(0)
                    matching = (real - generated).square().mean()
                    self.descend(self.optimizers["generator"], matching)
                self.follow()
                found["feature_matching"] = matching.detach()
            yield found

    def start(self, x: Tensor) -> bool:
        """Normalise the discriminator's layers on the first batch; true."""
        self.discriminator.normalise(x)
        self.classifier.take(self.discriminator)
        self.started.fill_(True)
        return True

    def labelled(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Examples of known class in inner units, and their classes: those beside the batch, or else those in it."""
        if not self.labelled_weight:
            return self.scaling.inner(batch.x[:0]), torch.zeros(0, dtype=torch.int64, device=batch.x.device)
        source = batch.labelled or batch
        assert source.y is not None, "data with classes have labels"
        known = source.y != UNLABELLED if batch.labelled is None else slice(None)
        return self.scaling.inner(source.x[known]), source.y[known]

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        """D of each example and of one sample, by the averaged classifier; where there are labels, how it classifies them."""
        logits = self.classifier(self.scaling.inner(batch.x)).float()
        log_z = logits.logsumexp(1)
        fake = self.classifier(self.generate(self.noise(len(batch.x)))).float().logsumexp(1)
        found = {"d_real": log_z.sigmoid(), "d_fake": fake.sigmoid()}
        if self.labelled_weight and batch.y is not None:
            nll = F.cross_entropy(logits, batch.y, reduction="none")
            found |= {"loss": nll, "nll": nll, "accuracy": (logits.argmax(1) == batch.y).float()}
        return found

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
        """log Z(x), the logit of D."""
        logits: Tensor = self.classifier(self.scaling.inner(x)).float()
        return logits.logsumexp(1)

    @torch.no_grad()
    def monitor(self, train: Tensor, held_out: Tensor | None) -> Metrics:
        return {"diversity": self.diversity(train)}
