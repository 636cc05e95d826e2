"""Normalizing flows (Rezende & Mohamed 2015; Papamakarios et al. 2021): an invertible map carries noise to data.

    x = f(z),  z ~ N(0, I),        log p(x) = log N(f^-1(x); 0, I) + log |det df^-1/dx|

f is a composition of layers, each with an inverse and a determinant that are cheap, and the determinants multiply. Training
maximises the mean of log p(x) over the data, which is exact: no bound and no chain. A sample is one pass of f. The layers:

    layers      coupling: a half of the components decides how the other half is transformed (couplings.py);
                autoregressive: each component by those before it, fast likelihoods and slow samples (MAF), or inverse (IAF)
                (autoregressive_layers.py); multiscale: couplings of channels by convolutions at several scales (multiscale.py)
    transform   of a component: affine or a rational-quadratic spline (elementwise.py, splines.py)
    mixing      between layers: a permutation, or a linear map with a learned LU decomposition (linear_maps.py)

z and x have equally many components D, and the flow lives on the whole real line: data in [0, 1] pass a logit (real_line.py).
Grey levels are dequantised first, so that log p(x) becomes a lower bound on the probability of the levels (dequantisation.py).
A conditional flow is one of p(x|y): its networks take the class y, and p(x) = sum_y p(x|y)/K.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Unpack

import torch
from pydantic import Field
from torch import Tensor

from genlab.config.types import Positive
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.candidates import Candidate, higher
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot, requested_classes
from genlab.models.flows.activation_norm import start_from
from genlab.models.flows.assembly import FlowKeys, NoiseConditioner, build_flow
from genlab.models.flows.autoregressive_layers import Autoregressive
from genlab.models.flows.dequantisation import Dequantisation
from genlab.models.flows.flow_layer import Inverse
from genlab.models.flows.real_line import RealLine
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart

ALPHA = 1e-6  # unless set


class Flow(GenerativeModel):
    """Codes are z = f^-1(x), as many numbers as x has."""

    started: Tensor

    supports = frozenset({"unit", "real"})
    learns_widths: ClassVar[bool] = True
    quantities: ClassVar[Mapping[str, Quantity]] = {
        "log_prob": Quantity("nats", "higher"),
        "log_prob_bound": Quantity("nats", "higher", lower_bound=True),
        "log_prob_given_class": Quantity("nats", "higher"),
    }
    charts: ClassVar[Charts] = {
        "bits per dimension": Chart(
            ["train/bits_per_dim", "eval/bits_per_dim"],
            "-log2 of the bound on the probability of the grey levels, for each component: the lower, the better.",
        ),
        "log p(x)": Chart(["eval/log_prob"], "Validation examples, in nats: exact, the higher, the better."),
    }
    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = dict.fromkeys(
        ("mode collapse", "low coverage", "missing classes"), (higher("model.depth", 2),)
    )

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        alpha: Annotated[float, Field(gt=0, lt=0.5)],
        dequantisation: Dequantisation,
        conditional: bool,
        **keys: Unpack[FlowKeys],
    ) -> None:
        super().__init__(data, optimizer)
        self.num_classes = num_classes_of(data, conditional)
        self.classifies = conditional
        self.latent_dim = data.dim
        self.discrete = self.dequantises = data.levels is not None
        if not self.dequantises and dequantisation != "variational":
            raise GenlabError(
                f"model.dequantisation={dequantisation} is for grey levels, and dataset={data.name} has none; leave it out"
            )
        if data.support == "real" and alpha != ALPHA:
            raise GenlabError(
                f"model.alpha={alpha:g} is for data in [0, 1], and dataset={data.name} has real numbers; leave it out"
            )
        variational = self.dequantises and dequantisation == "variational"
        noise = NoiseConditioner(data, keys["activation"]) if variational else None
        self.real_line = RealLine(data, alpha, noise)
        self.flow = build_flow(data, self.num_classes, keys)
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.optimizers["flow"] = optimizer(self.parameters())

    def layout(self) -> Charts:
        unused = "log p(x)" if self.dequantises else "bits per dimension"
        return {title: chart for title, chart in self.charts.items() if title != unused}

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer, starts = self.optimizers["flow"], not bool(self.started)
        for batch in batches:
            y = self.one_hot(batch.y)
            if starts:  # once in a training: the first batch decides on the normalisations
                start_from(self.flow, self.real_line(batch.x)[0].detach(), y)
                self.started.fill_(True)
                starts = False
            log_p = self.log_density(batch.x, y).mean()
            self.descend(optimizer, -log_p)
            yield self.measures(log_p.detach())

    def log_density(self, x: Tensor, y: Tensor | None) -> Tensor:
        """log p(x|y) of examples x (n, *shape) and one-hot classes y, or log p(x) of an unconditional model: (n,), in nats.

        Of grey levels it is an estimate of a lower bound on log P(x), with one draw of the noise.
        """
        s, log_volume = self.real_line(x)
        log_p: Tensor = self.log_density_of(s, y) + log_volume
        return log_p

    def log_density_of(self, s: Tensor, y: Tensor | None) -> Tensor:
        """log p(s|y) on the real line."""
        z, log_det = self.flow(s, y)
        log_p: Tensor = log_det - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
        return log_p

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        return one_hot(y, self.num_classes)

    def measures(self, log_p: Tensor) -> Metrics:
        """What is logged of log p(x|y)."""
        name = "log_prob_given_class" if self.num_classes else "log_prob_bound" if self.dequantises else "log_prob"
        found = {"loss": -log_p, name: log_p}
        if self.dequantises:
            found["bits_per_dim"] = -log_p / (self.data.dim * math.log(2))
        return found

    # Evaluation

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (n,); where `dequantises`, an estimate of a lower bound on the log-probability of the levels."""
        if not self.num_classes:
            return self.log_density(x, None)
        return self.joint(x).logsumexp(1)

    def joint(self, x: Tensor) -> Tensor:
        """log p(x, y) with p(y) = 1/K for every class y, (n, num_classes)."""
        s, log_volume = self.real_line(x)
        classes = torch.eye(self.num_classes, dtype=s.dtype, device=s.device)
        log_p = torch.stack([self.log_density_of(s, y.expand(len(s), -1)) for y in classes], 1)
        joint: Tensor = log_p + (log_volume - math.log(self.num_classes)).unsqueeze(1)
        return joint

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log p(y|x) by Bayes' theorem, (n, num_classes). Conditional models only."""
        return self.joint(x).log_softmax(1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        return self.measures(self.log_density(batch.x, self.one_hot(batch.y)))

    # Samples and codes

    @property
    def in_turn(self) -> bool:
        """Whether a sample finds its components one after another (MAF)."""
        return any(isinstance(layer, Autoregressive) for layer in self.flow.modules()) and not any(
            isinstance(layer, Inverse) for layer in self.flow.modules()
        )

    def sampling_passes(self) -> int:
        """Also through autoregressive layers, whose steps cost one pass in all."""
        return 1

    @torch.no_grad()
    def sample_loop(
        self, n: int, labels: list[int] | int | None = None, temperature: Positive | None = None
    ) -> Iterator[Tensor]:
        """z ~ N(0, T^2 I), and the sample after each layer of f, as it is if of the layers to come only the linear ones act.

        A temperature T below 1 gives less variety: samples of p only with T = 1, the default. A conditional model draws the
        classes `labels` in turns, or else all of them.
        """
        y = classes_to_sample(labels, n, self.num_classes, self.device)
        z = torch.randn(n, self.data.dim, device=self.device) * (temperature or 1.0)
        yield self.real_line.inverse(self.flow.linear_inverse(z))
        for state in self.flow.inverse_states(z, y):
            yield self.real_line.inverse(state)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """z = f^-1(x), (n, D), of grey levels at the middle of their cells; of a conditional model in the likeliest class."""
        y = self.one_hot(self.classify(x).argmax(1)) if self.num_classes else None
        z: Tensor = self.flow(self.real_line.middle(x), y)[0]
        return z

    @torch.no_grad()
    def decode(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """x = f(z) of codes h (n, D); a conditional model takes class 0 where there is no `y`."""
        if self.num_classes and y is None:
            y = requested_classes(0, len(h), self.num_classes).to(h.device)
        return self.real_line.inverse(self.flow.inverse(h, y))

    def draw_codes(self, n: int) -> Tensor:
        """z ~ N(0, I), (n, D)."""
        return torch.randn(n, self.latent_dim, device=self.device)

    def interpolate(self, start: Tensor, end: Tensor, weight: float) -> Tensor:
        """Along a great circle: nearly all of the mass of N(0, I) lies on a shell, which a straight line leaves."""
        lengths = start.norm(dim=1, keepdim=True) * end.norm(dim=1, keepdim=True)
        angle = ((start * end).sum(1, keepdim=True) / lengths).clamp(-1 + 1e-6, 1 - 1e-6).acos()
        way: Tensor = (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / angle.sin()
        return way
