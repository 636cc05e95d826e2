"""Autoregressive models (Germain et al. 2015; van den Oord et al. 2016): the chain rule, with a network for every factor.

For any order of the D components of x,

    p(x) = prod_i p(x_i | x_1, ..., x_{i-1}),

so that log p(x) is exact: a sum of D terms that one pass of a causal network gives (networks/causal.py). Training minimises
-log p(x). A sample takes the factors in turn. Three networks:

    made         a masked perceptron (Germain et al. 2015), for any data
    pixelcnn     gated convolutions without a blind spot (van den Oord et al. 2016), for pictures
    transformer  causal attention to all earlier places (Chen et al. 2020), for any data

With K sets of `masks` (made) an update takes one set after the other, and the model is the mixture p(x) = (1/K) sum_k p_k(x):
whole probabilities are averaged, since averaged logits are no normalised model. A conditional model is p(x|y), with p(y) = 1/C
for each of C classes.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genlab.config.types import Count, Share, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.models.autoregressive.causal_networks import Network, causal_network
from genlab.models.autoregressive.output_distributions import Likelihood, output_distribution
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot
from genlab.models.scaling import Scaling
from genlab.networks.choices import note
from genlab.networks.mlp import Activation
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart

STATES = 64  # of a sample in the making that are yielded, about


class Autoregressive(GenerativeModel):
    """The network's outputs for component i are the parameters of its distribution given the components before it."""

    centre: Tensor
    turn: Tensor

    of_the_data: ClassVar[Sequence[str]] = ("centre",)
    supports = frozenset({"binary", "unit", "real"})
    learns_widths: ClassVar[bool] = True
    quantities: ClassVar[Mapping[str, Quantity]] = {
        "log_prob": Quantity("nats", "higher"),
        "log_prob_given_class": Quantity("nats", "higher"),
    }
    charts: ClassVar[Charts] = {
        "log p(x), exact": Chart(["eval/log_prob"], "Validation examples, in nats: the sum over all components.", {}),
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        network: Network,
        hidden: Widths | None,
        activation: Activation,
        patch: Count | None,
        masks: Count,
        order: Literal["raster", "random"],
        likelihood: Likelihood,
        components: Count,
        dropout: Share,
        conditional: bool,
    ) -> None:
        super().__init__(data, optimizer)
        self.num_classes = num_classes_of(data, conditional)
        self.classifies = conditional
        self.distribution = output_distribution(likelihood, components, data)
        note(self, likelihood=self.distribution.name)
        self.discrete = self.distribution.discrete
        self.scaling = Scaling.of(data)
        self.network = causal_network(
            data,
            network,
            hidden,
            outputs=self.distribution.outputs,
            activation=activation,
            patch=patch,
            masks=masks,
            order=order,
            dropout=dropout,
            num_classes=self.num_classes,
        )
        self.bias = nn.Parameter(self.distribution.marginal(data, self.scaling))  # independent components at the start
        self.register_buffer("centre", self.scaling.inner(data.mean.unsqueeze(0)).flatten())  # of what the network sees
        self.register_buffer("turn", torch.zeros(1, dtype=torch.int64))  # the set of masks of the next update
        self.log_volume = 0.0 if self.discrete else self.scaling.log_volume
        self.name = "log_prob_given_class" if conditional else "log_prob"
        self.optimizers["autoregressive"] = optimizer(self.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        for batch in batches:
            loss = -self.log_factor_product(batch.x, self.one_hot(batch.y), self.turn).mean()
            self.descend(self.optimizers["autoregressive"], loss)
            self.turn.copy_((self.turn + 1) % self.network.masks)
            yield {"loss": loss.detach()}

    def log_factors(self, x: Tensor, y: Tensor | None, which: Tensor | int = 0) -> Tensor:
        """log p(u_i | earlier components, y) of each component of x (n, *shape), on the inner scale: (n, D), in nats."""
        u = self.scaling.inner(x).flatten(1)
        return self.distribution.log_prob(self.factors(u, y, which), u)

    def factors(self, u: Tensor, y: Tensor | None, which: Tensor | int = 0) -> Tensor:
        """Parameters of the distribution of each component given those before it, (n, outputs, D), from u (n, D)."""
        return _full(self.network(u - self.centre, y, which)) + self.bias

    def log_factor_product(self, x: Tensor, y: Tensor | None, which: Tensor | int = 0) -> Tensor:
        """log p_k(x|y) with set k of the masks, (n,), in nats."""
        return self.log_factors(x, y, which).sum(1) - self.log_volume

    def log_prob_given(self, x: Tensor, y: Tensor | None) -> Tensor:
        """log p(x|y) of one-hot classes y (n, C), or log p(x) for None: (n,), in nats."""
        found = [self.log_factor_product(x, y, k) for k in range(self.network.masks)]
        return torch.stack(found).logsumexp(0) - math.log(len(found))

    def log_prob_by_class(self, x: Tensor) -> Tensor:
        """log p(x|y) for every class y, (n, C). Conditional models only."""
        classes = torch.arange(self.num_classes, device=x.device)
        return torch.stack([self.log_prob_given(x, self.one_hot(k.expand(len(x)))) for k in classes], 1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (n,). Conditional models: p(x) = sum_y p(x|y)/C."""
        if not self.num_classes:
            return self.log_prob_given(x, None)
        return self.log_prob_by_class(x).logsumexp(1) - math.log(self.num_classes)

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x) by Bayes' rule with p(y) = 1/C, (n, C). Conditional models only."""
        return self.log_prob_by_class(x).log_softmax(1)

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        return self._of_own_precision(one_hot(y, self.num_classes))

    def _of_own_precision(self, y: Tensor | None) -> Tensor | None:
        return None if y is None else y.to(self.bias.dtype)

    def sampling_passes(self) -> int:
        """What is known of earlier components is kept, so that all steps of a sample cost one pass."""
        return 1

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        log_p = self.log_prob_given(batch.x, self.one_hot(batch.y))
        return {"loss": -log_p, self.name: log_p}

    @torch.no_grad()
    def sample_loop(self, n: int, labels: list[int] | int | None = None, mean: bool | None = None) -> Iterator[Tensor]:
        """Every component given those drawn before it. Those that are still to come have the mean of the data.

        With `mean` (the default for binary pictures) the states show E[x_i | x_1, ..., x_{i-1}] in the place of the draw x_i;
        the chain goes on with the draw. A conditional model draws the classes `labels` in turns, or else all of them. Raises
        GenlabError for others.
        """
        start = self.data.mean.to(self.bias).expand(n, *self.data.shape)
        y = classes_to_sample(labels, n, self.num_classes, self.device)
        show_mean = self.data.on_grid and self.data.support == "binary" if mean is None else mean
        yield from self.complete(start, None, self._of_own_precision(y), mean=show_mean)

    @torch.no_grad()
    def inpaint_loop(self, x: Tensor, known: Tensor) -> Iterator[Tensor]:
        """Each unknown component given all earlier ones: a draw of p(unknown | known) where the known part comes first.

        Where known components come later, what was drawn before does not know of them. A conditional model draws the class from
        p(y) = 1/C.
        """
        y = None
        if self.num_classes:
            y = self.one_hot(torch.randint(self.num_classes, (len(x),), device=x.device))
        yield from self.complete(x, known, y)

    def complete(self, x: Tensor, known: Tensor | None, y: Tensor | None, *, mean: bool = False) -> Iterator[Tensor]:
        """Examples in which the components that are not `known`, a mask of shape `shape`, are drawn in turn; else x is shown."""
        n, network = len(x), self.network
        if network.masks == 1:
            yield from self.walk(x, known, y, 0, mean)
            return
        which = torch.randint(
            network.masks, (n,), device=x.device
        )  # the part of the mixture from which each example is
        state, of_set = x.clone(), [which == k for k in range(network.masks)]
        walks = [
            self.walk(x[mine], known, None if y is None else y[mine], k, mean)
            for k, mine in enumerate(of_set)
            if mine.any()
        ]
        drawn = [mine for mine in of_set if mine.any()]
        for parts in zip(*walks, strict=True):  # side by side: after every state all examples are equally far
            for mine, part in zip(drawn, parts, strict=True):
                state[mine] = part
            yield state.clone()

    def walk(self, x: Tensor, known: Tensor | None, y: Tensor | None, which: int, mean: bool) -> Iterator[Tensor]:
        """`complete` with one set of masks."""
        n, network = len(x), self.network
        given = self.scaling.inner(x).flatten(1) - self.centre
        fixed = [False] * self.data.dim if known is None else known.flatten().tolist()
        shown = x.flatten(1).clone()
        bias = self.bias.t()
        drawn: list[int] = []
        means = torch.zeros_like(given)

        def draw(parameters: Tensor, i: int) -> Tensor:
            drawn.append(i)
            if fixed[i]:
                return given[:, i]
            parameters = _full(parameters) + bias[i]
            if mean:
                means[:, i] = self.distribution.mean(parameters)
            return self.distribution.sample(parameters) - self.centre[i]

        every = max(1, network.stops // STATES)
        for stop, u in enumerate(network.walk(n, draw, y, which), 1):
            if stop % every == 0 or stop == network.stops:
                new = [i for i in drawn if not fixed[i]]
                x_new = (
                    self.scaling.restore_components(means[:, new], new)
                    if mean
                    else self.values((u + self.centre)[:, new], new)
                )
                shown[:, new] = x_new.to(shown.dtype)
                drawn.clear()
                yield shown.unflatten(1, self.data.shape).clone()

    def values(self, u: Tensor, which: list[int]) -> Tensor:
        """Components `which` of examples from those on the inner scale, (n, len(which)): grey levels exactly."""
        x = self.scaling.restore_components(u, which)
        levels = 2 if self.data.support == "binary" else self.data.levels
        return x if levels is None else (x * (levels - 1)).round() / (levels - 1)


def _full(parameters: Tensor) -> Tensor:
    """Of single precision at least, whatever the network computes in."""
    return parameters.to(torch.promote_types(parameters.dtype, torch.float32))
