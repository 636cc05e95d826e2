"""Models that turn noise into data gradually: a network that is told how much noise there is, applied again and again.

What diffusion.py and flow_matching.py have in common; how they learn, and what the network says, is in the file of each.

    average        samples and test values come from a running average of the network's parameters (Polyak & Juditsky 1992)
    conditional    the network is told the class, and for a share `label_dropout` of the examples it is not, so that one
                   network knows both p(x) and p(x|y); samples then lean towards a class with the weight w of classifier-free
                   guidance, answer(x) + w (answer(x, y) - answer(x)) (Ho & Salimans 2022)

Pictures are modelled in [-1, 1], and so are binary data; vectors in units of their standard deviations.
"""

import math
from abc import abstractmethod
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from genlab.config.types import Count, Fraction, Share, Widths
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import GenerativeModel
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot
from genlab.models.ema import EMA
from genlab.models.scaling import Scaling
from genlab.networks.time_conditioned import Backbone, time_conditioned_network
from genlab.optimizers.recipe import Recipe

Waves = Annotated[list[Annotated[int, Field(ge=0, le=12)]], Field(min_length=1)] | None


REACH = 0.1
"""Of the average, in a short training: what the network was at the start of it should not count at the end."""


def repeated(x: Tensor, n: int) -> Tensor:
    """x, from its beginning again until there are n rows where it has fewer."""
    return x[torch.arange(max(n, len(x)), device=x.device) % len(x)]


class GradualModel(GenerativeModel):
    """Network, its running average, the data's units, classes. Families add what the network answers and `train_loop`."""

    supports = frozenset({"binary", "unit", "real"})

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        network: Backbone,
        hidden: Widths | None,
        patch: Count | None,
        depth: Count | None,
        dropout: Share,
        average: Share,
        conditional: bool,
        label_dropout: Fraction,
        fourier: Waves = None,
    ) -> None:
        super().__init__(data, optimizer)
        self.label_dropout = label_dropout
        self.num_classes = num_classes_of(data, conditional)
        self.network = time_conditioned_network(
            data,
            network,
            hidden,
            patch=patch,
            depth=depth,
            num_classes=self.num_classes,
            dropout=dropout,
            fourier=fourier or (),
        )
        self.ema = EMA(self.network, average, REACH) if average else None
        self.scaling = Scaling.of(data)
        self.discrete = data.support == "binary" or data.levels is not None

    def finished(self, x: Tensor, mean: bool | None) -> Tensor:
        """Samples of shape (n, *shape) in the data's units; binary ones take the nearer value, which with hardly any noise
        left is the likely one, unless `mean` (pictures are shown so).
        """
        x = self.scaling.restore(x)
        show_mean = self.data.is_image if mean is None else mean
        return x if show_mean or self.data.support != "binary" else (x > 0.5).float()

    def bounded(self, x: Tensor) -> Tensor:
        """An estimate of an example, in inner units, within the range that examples have."""
        return x if self.data.support == "real" else x.clamp(-1, 1)

    def classes_for_training(self, y: Tensor | None) -> Tensor | None:
        """One-hot classes (n, told), some of them withheld; None for a model that is not told."""
        if not self.num_classes or y is None:
            return None
        kept = torch.rand(len(y), 1, device=y.device) >= self.label_dropout
        return F.one_hot(y, self.num_classes) * kept.float()

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        return one_hot(y, self.num_classes)

    def wanted(self, labels: list[int] | int | None, n: int) -> Tensor | None:
        """Classes of n samples: `labels` in turns, or all in turns of a conditional model. Raises GenlabError for others."""
        return classes_to_sample(labels, n, self.num_classes, self.device)

    @property
    def ema_network(self) -> nn.Module:
        """The network that samples and is evaluated: the average, where there is one."""
        return self.network if self.ema is None else self.ema

    def answer(self, x: Tensor, u: Tensor, y: Tensor | None = None, guidance: float = 1.0) -> Tensor:
        """What the averaged network says of x (n, *shape) at levels u (n,), leaning towards classes y with weight `guidance`."""
        if y is None or guidance == 1:
            out: Tensor = self.ema_network(x, u, y).float()
            return out
        both = self.ema_network(torch.cat([x, x]), torch.cat([u, u]), torch.cat([y, torch.zeros_like(y)])).float()
        told, untold = both.chunk(2)
        return torch.lerp(untold, told, guidance)

    def check_guidance(self, guidance: float | None) -> float:
        """1, where none is given. Raises GenlabError where there is nothing to lean towards."""
        if guidance is not None and not self.num_classes:
            raise GenlabError(
                f"guidance={guidance}: this model was not told of classes; train with model.conditional=true"
            )
        return 1.0 if guidance is None else guidance

    def update_ema(self) -> None:
        """Take the network's new parameters into their average."""
        if self.ema is not None:
            self.ema.update(self.network)

    @abstractmethod
    def log_density(self, x: Tensor) -> Tensor:
        """log of the density that the ODE carries the noise's to, of x (n, *shape) in inner units: (n,), in nats."""

    def flow_log_prob(self, x: Tensor) -> Tensor | None:
        """log p(x) in nats by the ODE, (n,); None for binary data, whose probabilities are no densities.

        Of grey levels it is a bound: their probability is that of a cell of space, in which a point is drawn (Theis et al. 2016).
        """
        if self.data.support == "binary":
            return None
        volume = -self.scaling.log_volume
        inner = self.scaling.inner(x)
        if self.data.levels is not None:
            cell = 2 / (self.data.levels - 1)
            inner = inner + cell * (torch.rand_like(inner) - 0.5)
            volume = self.data.dim * math.log(cell)
        return self.log_density(inner) + volume
