"""Classifier: the discriminative counterpart, p(y|x) instead of p(x).

A network f maps x to one number a class and the softmax makes probabilities of them, p(y = k|x) = exp f_k / sum_l exp f_l.
Training maximises the likelihood of the labels, so the loss is the cross-entropy

    L = -1/N sum_n log p(y_n|x_n),

in nats per example. With `label_smoothing` s the target is 1 - s for the label and s spread over all classes (Szegedy et al.
2016). `shift` > 0 moves every training image by up to that many pixels each way, which labels do not mind.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.base import Metrics, Model
from genlab.networks.classifying import Backbone, backbone
from genlab.networks.mlp import Activation
from genlab.optimizers import Recipe


class Classifier(Model):
    """Feed-forward, convolutional or recurrent network with a softmax over the classes of the data."""

    mean: Tensor
    scale: Tensor

    supports = frozenset({"binary", "unit", "real"})
    needs_labels = True

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        network: Backbone,
        hidden: list[Annotated[int, Field(gt=0)]] | None,
        activation: Activation,
        dropout: Annotated[float, Field(ge=0, lt=1)],
        label_smoothing: Annotated[float, Field(ge=0, lt=1)],
        shift: Annotated[int, Field(ge=0)],
    ) -> None:
        super().__init__(data, optimizer)
        assert data.classes is not None
        self.classes = data.classes
        self.label_smoothing, self.shift = label_smoothing, shift if data.is_image else 0
        self.backbone = backbone(data, network, hidden, activation, dropout)
        self.head = nn.Linear(self.backbone.width, self.classes)
        # An image has one scale for all its pixels, the components of a vector each have their own.
        scale = data.std.square().mean().sqrt() if data.is_image else data.std
        self.register_buffer("mean", data.mean.mean() if data.is_image else data.mean)
        self.register_buffer("scale", torch.where(scale > 0, scale, torch.ones_like(scale)))
        self.optimizers["classifier"] = optimizer(self.parameters())

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["classifier"]
        for batch in batches:
            assert batch.y is not None
            x = shifted(batch.x, self.shift) if self.shift else batch.x
            logits = self.logits(x)
            loss = F.cross_entropy(logits, batch.y, label_smoothing=self.label_smoothing)
            self.descend(optimizer, loss)
            yield {"loss": loss.detach(), "accuracy": logits.argmax(1).eq(batch.y).float().mean()}

    def features(self, x: Tensor) -> Tensor:
        """What the last layer sees of x, shape (n, width)."""
        out: Tensor = self.backbone((x - self.mean) / self.scale)
        return out.float()

    def logits(self, x: Tensor) -> Tensor:
        """f(x), shape (n, classes)."""
        out: Tensor = self.head(self.features(x))
        return out.float()

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x) in nats, shape (n, classes)."""
        return F.log_softmax(self.logits(x), 1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        assert batch.y is not None
        log_p = self.classify(batch.x)
        nll = F.nll_loss(log_p, batch.y, reduction="none")
        right = F.one_hot(batch.y, self.classes)
        brier = (log_p.exp() - right).square().sum(1)
        return {"loss": nll, "nll": nll, "accuracy": (log_p.argmax(1) == batch.y).float(), "brier": brier}


def shifted(images: Tensor, most: int) -> Tensor:
    """Each image moved by its own whole number of pixels, -most..most in both directions; what comes in is 0."""
    n, _, height, width = images.shape
    padded = F.pad(images, (most, most, most, most))
    dy, dx = torch.randint(2 * most + 1, (2, n, 1), device=images.device)
    rows = torch.arange(height, device=images.device) + dy
    columns = torch.arange(width, device=images.device) + dx
    example = torch.arange(n, device=images.device)[:, None, None]
    return padded[example, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
