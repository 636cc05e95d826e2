"""Classifier: the discriminative counterpart, p(y|x) instead of p(x).

A network f maps x to one number for each class, and the softmax gives probabilities, p(y = k|x) = exp f_k / sum_l exp f_l.
Training maximises the likelihood of the labels, so the loss is the cross-entropy

    L = -1/N sum_n log p(y_n|x_n),

in nats per example. With `label_smoothing` s the target is 1 - s for the label and s spread over all classes (Szegedy et al.
2016). `shift` > 0 moves every training image by up to that many pixels each way (data augmentation: the label stays right).

Unsupervised pretraining: with `start` the network up to the last layer is the encoder of a trained run, or the hidden layer of
a Boltzmann machine, p(h|x), with a new softmax layer on top. All of it is trained further. `reset` takes the same network with
random parameters, as the baseline that shows what pretraining gains. `frozen` trains the softmax layer alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, Share
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, Metrics, Model, Quantity
from genlab.models.scaling import Scaling, common_std
from genlab.networks.classifiers import CNN, FFNN, RNN, ClassifierNetwork, classifier_network
from genlab.networks.mlp import Activation
from genlab.networks.trunk import Trunk, rebuild
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart


class Classifier(Model):
    """Feed-forward, convolutional or recurrent network with a softmax over the classes of the data."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "nll": Quantity("nats", "lower"),
        "accuracy": Quantity("share", "higher"),
        "brier": Quantity("squared error", "lower"),
    }
    charts: ClassVar[Charts] = {
        "cross-entropy": Chart(
            ["train/loss", "eval/loss"],
            "-log p(y|x), mean over examples, in nats. Where validation rises while training falls, the network overfits.",
        ),
        "accuracy": Chart(
            ["train/accuracy", "eval/accuracy"],
            "Share of right classes. Training examples are seen with dropout, validation examples without.",
        ),
    }
    supports = frozenset({"binary", "unit", "real"})
    needs_labels = True
    classifies = True

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        network: ClassifierNetwork,
        hidden: list[Count] | None,
        activation: Activation,
        dropout: Share,
        label_smoothing: Share,
        shift: Annotated[int, Field(ge=0)],
        start: str | None,
        reset: bool,
        frozen: bool,
        trunk: dict[str, Any] | None,
    ) -> None:
        super().__init__(data, optimizer)
        assert data.num_classes is not None
        self.num_classes = data.num_classes
        self.label_smoothing, self.shift = label_smoothing, shift if data.is_image else 0
        self.reset, self.frozen = reset, frozen
        check_start(data, start, trunk, network, hidden, reset=reset, frozen=frozen)
        self.backbone: FFNN | CNN | RNN | Trunk
        if trunk is None:
            self.backbone = classifier_network(data, network, hidden, activation, dropout)
            # A picture has one scale for all its pixels; bands, curves, and components of a vector have their own.
            one = data.is_image and not data.own_scales
            scale = data.std.square().mean().sqrt() if one else common_std(data)
            mean = data.mean.mean() if one else data.mean
        else:
            self.backbone = rebuild(trunk, optimizer, dropout)
            mean, scale = torch.zeros(()), torch.ones(())  # a trunk has a scale of its own
        self.head = nn.Linear(self.backbone.width, self.num_classes)
        self.scaling = Scaling(data, mean, torch.where(scale > 0, scale, torch.ones_like(scale)))
        self.backbone.requires_grad_(not frozen)
        self.optimizers["classifier"] = optimizer([p for p in self.parameters() if p.requires_grad])

    def start_from(self, trunk: Trunk) -> None:
        """Copy the parameters of `trunk`; with `reset` only the scale on which it sees the data."""
        assert isinstance(self.backbone, Trunk), "there is a model.start"
        self.backbone.copy_from(trunk, scale_only=self.reset)

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["classifier"]
        for batch in batches:
            assert batch.y is not None
            if self.frozen:
                self.backbone.eval()
            x = shifted(batch.x, self.shift) if self.shift else batch.x
            logits = self.logits(x)
            loss = F.cross_entropy(logits, batch.y, label_smoothing=self.label_smoothing)
            self.descend(optimizer, loss)
            yield {"loss": loss.detach(), "accuracy": logits.argmax(1).eq(batch.y).float().mean()}

    def features(self, x: Tensor) -> Tensor:
        """Input of the last layer for examples x, shape (n, width)."""
        out: Tensor = self.backbone(self.scaling.inner(x))
        return out.float()

    def logits(self, x: Tensor) -> Tensor:
        """f(x), shape (n, num_classes)."""
        out: Tensor = self.head(self.features(x))
        return out.float()

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x) in nats, shape (n, num_classes)."""
        return F.log_softmax(self.logits(x), 1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        assert batch.y is not None
        log_p = self.classify(batch.x)
        nll = F.nll_loss(log_p, batch.y, reduction="none")
        right = F.one_hot(batch.y, self.num_classes)
        brier = (log_p.exp() - right).square().sum(1)
        return {"loss": nll, "nll": nll, "accuracy": (log_p.argmax(1) == batch.y).float(), "brier": brier}


def check_start(
    data: DataSpec,
    start: str | None,
    trunk: dict[str, Any] | None,
    network: ClassifierNetwork,
    hidden: list[int] | None,
    *,
    reset: bool,
    frozen: bool,
) -> None:
    """Raises GenlabError where the keys name two networks, or where the data are not those that the start was trained on."""
    if start is None or trunk is None:
        for key, value in (("reset", reset), ("frozen", frozen), ("trunk", trunk is not None)):
            if value:
                raise GenlabError(f"model.{key}: there is no run to start from; set model.start=RUN as well")
        if start is not None:
            raise GenlabError(f"model.start={start}: only genlab train looks into a run; leave it out")
        return
    if network != "auto" or hidden is not None:
        key = f"model.network={network}" if network != "auto" else f"model.hidden={hidden}"
        raise GenlabError(f"{key}: model.start={start} brings a network of its own; leave one of the two out")
    made_for = trunk["data"]
    if tuple(made_for["shape"]) != data.shape:
        theirs, ours = ("x".join(map(str, shape)) for shape in (made_for["shape"], data.shape))
        raise GenlabError(
            f"model.start={start} was trained on examples of {theirs}, and dataset={data.name} has {ours}; "
            "start from a run on this data set"
        )
    if made_for["support"] != data.support:
        remedy = {"binary": "set dataset.binarize=dynamic", "unit": "set dataset.binarize=none"}
        raise GenlabError(
            f"model.start={start} was trained on {made_for['support']} data, and dataset={data.name} is {data.support}; "
            f"{remedy.get(made_for['support'], 'start from a run on this data set')}"
        )


def shifted(images: Tensor, most: int) -> Tensor:
    """Each image moved by random whole numbers of pixels, -most..most in both directions; new pixels at the edge are 0."""
    n, _, height, width = images.shape
    padded = F.pad(images, (most, most, most, most))
    dy, dx = torch.randint(2 * most + 1, (2, n, 1), device=images.device)
    rows = torch.arange(height, device=images.device) + dy
    columns = torch.arange(width, device=images.device) + dx
    example = torch.arange(n, device=images.device)[:, None, None]
    return padded[example, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
