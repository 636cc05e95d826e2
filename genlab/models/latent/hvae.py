"""Markovian hierarchical variational autoencoder with T levels (Sonderby et al. 2016; Luo 2022, section 3).

    p(x, h_1..T) = p(h_T) p(x|h_1) prod_{t=2}^T p(h_{t-1}|h_t),        p(h_T) = N(0, I)

with every p(h_{t-1}|h_t) normal with a diagonal covariance, its mean and variance networks of h_t. The bound is

    log p(x) >= E_q[log p(x|h_1)] - sum_t KL_t,        KL_t = E_q[log q(h_t|.) - log p(h_t|h_{t+1})],

with one KL term for each level. Two ways of inference:

    bottom_up   q(h_1..T|x) = q(h_1|x) prod_t q(h_t|h_{t-1}), as in the lecture. Upper levels tend to collapse to the prior.
    ladder      Deterministic features d_t = f_t(d_{t-1}) go up, draws of h_t come down. The features d_t give a normal density
                N(m_t, s_t^2). Its product with p(h_t|h_{t+1}) = N(mu_t, sigma_t^2) is q(h_t|x, h_{t+1}), of precision
                1/s_t^2 + 1/sigma_t^2. Inference shares the generative networks; a level costs KL only where q differs from p.

Training maximises the ELBO. The weight of its KL terms rises from 0 over the first `kl_warmup` share of the training; without
this warm-up the upper levels stay collapsed. For k > 1 training then goes on with the importance-weighted bound L_k (Burda et
al. 2016). Used from the start, that bound tends to an inference close to p, of which only the best of k draws counts.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genlab.config.types import Count, Share, Widths
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.candidates import Candidate, choose
from genlab.models.latent.normal import Normal, draw, log_normal, product
from genlab.models.latent.observation import Likelihood, observation_model
from genlab.models.scaling import Scaling
from genlab.networks.autoencoders import VectorDecoder, set_output_bias
from genlab.networks.mlp import ACTIVATIONS, MLP, Activation
from genlab.networks.trunk import Trunk
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart

Inference = tuple[list[Tensor], list[Normal], list[Normal]]
"""h_1..T of k draws, each (k * n, width), with their q(h_t|.) and p(h_t|h_{t+1})."""


class HVAE(GenerativeModel):
    """Feed-forward networks between the levels; level 1 is next to the data."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "elbo": Quantity("nats", "higher", lower_bound=True),
        "reconstruction": Quantity("nats"),
        "kl": Quantity("nats"),
        "iw_bound": Quantity("nats", "higher", lower_bound=True),
    }
    charts: ClassVar[Charts] = {
        "the bound and its two terms": Chart(
            ["eval/elbo", "eval/reconstruction", "eval/kl"],
            "Validation examples, in nats. ELBO = reconstruction term - KL (prior matching term): the first rises while the code "
            "says more of x, and the second is what that costs.",
            {"0": 0.0},
        ),
    }
    paced: ClassVar[Sequence[str]] = ("kl_warmup",)
    supports = frozenset({"binary", "unit", "real"})

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = {
        "posterior collapse": (choose("model.inference", "ladder"),)
    }

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        levels: Widths,
        hidden: list[Widths] | None,
        inference: Literal["bottom_up", "ladder"],
        activation: Activation,
        likelihood: Likelihood,
        k: Count,
        kl_warmup: Share,
    ) -> None:
        super().__init__(data, optimizer)
        if hidden is not None and len(hidden) != len(levels):
            raise GenlabError(f"model.hidden={hidden}: one list of widths for each of the {len(levels)} model.levels")
        self.levels, self.ladder, self.k, self.kl_warmup = list(levels), inference == "ladder", k, kl_warmup
        self.latent_dim = levels[0]
        widths = hidden or [[max(64, 400 // 2**t)] * 2 for t in range(len(levels))]
        self.observation = observation_model(likelihood, data)
        self.discrete = self.observation.discrete
        up: list[nn.Module] = []
        heads: list[nn.Module] = []
        below = data.dim
        for width, level in zip(widths, levels, strict=True):
            up.append(nn.Sequential(MLP([below, *width], activation), ACTIVATIONS[activation]()))
            heads.append(nn.Linear(width[-1], 2 * level))
            below = width[-1] if self.ladder else level
        self.up, self.heads = nn.ModuleList(up), nn.ModuleList(heads)
        self.down = nn.ModuleList(
            MLP([levels[t], *reversed(widths[t]), 2 * levels[t - 1]], activation) for t in range(1, len(levels))
        )
        outputs = self.observation.outputs
        self.decoder = VectorDecoder(
            [levels[0], *reversed(widths[0]), outputs * data.dim], outputs, data.shape, activation
        )
        set_output_bias(self.decoder, self.observation.marginal(data))  # the best model that ignores h
        self.scaling = Scaling.standard(data)
        self.optimizers["hvae"] = optimizer(self.parameters())

    def layout(self) -> Charts:
        levels = range(1, len(self.levels) + 1)
        says = "Level 1 is next to the data. A level at 0 is not used: its q(h|x) is the prior."
        return self.charts | {"KL by level": Chart([f"eval/kl_{t}" for t in levels], says, {"0": 0.0})}

    @property
    def replayable(self) -> bool:
        return self.k == 1

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["hvae"]
        for batch in batches:
            weighted = self.k > 1 and float(batch.progress) >= self.kl_warmup
            reconstruction, kls = self.terms(batch.x, self.k if weighted else 1)  # (k, n), (T, k, n)
            log_w = reconstruction - kls.sum(0)
            if weighted:
                loss = math.log(self.k) - log_w.logsumexp(0).mean()
            else:
                ramp = batch.linear_warmup(self.kl_warmup)
                loss = (ramp * kls.sum(0) - reconstruction).mean()
            self.descend(optimizer, loss)
            found = {
                "loss": loss.detach(),
                "elbo": log_w.detach().mean(),
                "reconstruction": reconstruction.detach().mean(),
                "kl": kls.detach().sum(0).mean(),
            }
            yield found | {f"kl_{t}": kl.detach().mean() for t, kl in enumerate(kls, 1)}

    def terms(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """For k draws h_1..T ~ q(.|x): log p(x|h_1), (k, n), and log q(h_t|.) - log p(h_t|h_{t+1}), (T, k, n); in nats."""
        h, q, p = self.infer(x, k)
        ratios = [log_normal(h[t], *q[t]) - log_normal(h[t], *p[t]) for t in range(len(h))]
        xs = x if k == 1 else x.repeat(k, *[1] * (x.ndim - 1))
        log_p = self.observation.log_prob(self.decoder(h[0]).float(), xs)
        return log_p.unflatten(0, (k, -1)), torch.stack(ratios).unflatten(1, (k, -1))

    def infer(self, x: Tensor, k: int, noise: bool = True) -> Inference:
        """k draws of h_1..T ~ q(.|x), or the means without `noise`."""
        u = self.scaling.inner(x)
        return self.infer_by_ladder(u, k, noise) if self.ladder else self.infer_bottom_up(u, k, noise)

    def infer_bottom_up(self, u: Tensor, k: int, noise: bool) -> Inference:
        """q(h_1|x) prod_t q(h_t|h_{t-1})."""
        top = len(self.levels) - 1
        below, h, q = u, [], []
        for t in range(top + 1):
            normal = _normal(self.heads[t](self.up[t](below)))
            q.append(_repeat(normal, k) if t == 0 else normal)
            below = draw(q[t], noise)
            h.append(below)
        return h, q, [*(self.prior(t, h[t + 1]) for t in range(top)), self.prior(top, None, like=h[-1])]

    def infer_by_ladder(self, u: Tensor, k: int, noise: bool) -> Inference:
        """Features go up, draws come down: q(h_t|x, h_{t+1}) is the product of the density from below and p(h_t|h_{t+1})."""
        d, below = u, []
        for up, head in zip(self.up, self.heads, strict=True):
            d = up(d)
            below.append(_repeat(_normal(head(d)), k))
        h: list[Tensor] = []
        q: list[Normal] = []
        p: list[Normal] = []
        above: Tensor | None = None
        for t in reversed(range(len(self.levels))):
            p.insert(0, self.prior(t, above, like=below[t][0]))
            # Nothing lies above the top level: q(h_T|x) is the density from below alone.
            q.insert(0, below[t] if above is None else product(below[t], p[0]))
            above = draw(q[0], noise)
            h.insert(0, above)
        return h, q, p

    def prior(self, t: int, above: Tensor | None, like: Tensor | None = None) -> Normal:
        """p(h_t|h_{t+1}) of level t (counted from 0) for `above` = h_{t+1}; N(0, I) in the shape of `like` for the top level."""
        if above is not None:
            return _normal(self.down[t](above))
        assert like is not None
        zero = torch.zeros_like(like)
        return zero, zero

    @torch.no_grad()
    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """log p(x, h_1..T) - log q(h_1..T|x) for k draws, (k, n), in nats."""
        reconstruction, kls = self.terms(x, k)
        return reconstruction - kls.sum(0)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        reconstruction, kls = self.terms(batch.x, self.k)
        elbo = (reconstruction - kls.sum(0)).mean(0)
        found = {"loss": -elbo, "elbo": elbo, "reconstruction": reconstruction.mean(0), "kl": kls.sum(0).mean(0)}
        if self.k > 1:
            bound = (reconstruction - kls.sum(0)).logsumexp(0) - math.log(self.k)
            found |= {"loss": -bound, "iw_bound": bound}
        found |= {f"kl_{t}": kl.mean(0) for t, kl in enumerate(kls, 1)}
        return found | {"mse": (batch.x - self.reconstruct(batch.x)).square().flatten(1).sum(1)}

    def sample_down(self, h: Tensor, t: int, noise: list[Tensor]) -> Tensor:
        """h_1 ~ p(h_1|h_t = h) for level t (counted from 0), drawn with `noise`, standard normal (n, width) for every level."""
        for s in reversed(range(t)):
            mu, log_var = self.prior(s, h)
            h = mu + torch.exp(0.5 * log_var) * noise[s]
        return h

    @torch.no_grad()
    def sample_loop(self, n: int, mean: bool | None = None) -> Iterator[Tensor]:
        """h_T ~ p(h_T), then h_{T-1} to h_1, then E[x|h_1] for `mean` (as pictures are shown) or x ~ p(x|h_1) (for vectors)."""
        noise = [torch.randn(n, width, device=self.device) for width in self.levels]
        out = self.decoder(self.sample_down(noise[-1], len(self.levels) - 1, noise)).float()
        show_mean = self.data.on_grid if mean is None else mean
        yield self.observation.mean(out) if show_mean else self.observation.sample(out)

    @torch.no_grad()
    def hierarchy(self, n: int, kept: int, *, below: bool) -> Tensor:
        """E[x|h_1] of n samples that share the noise of levels 1..kept (`below`), or of the levels above; (n, *shape)."""
        noise = [
            torch.randn(1 if (t < kept) == below else n, width, device=self.device)
            for t, width in enumerate(self.levels)
        ]
        noise = [eps.expand(n, -1) for eps in noise]
        return self.decode(self.sample_down(noise[-1], len(self.levels) - 1, noise))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|h_1] with every level at its mean."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Mean of h_1, (n, levels[0])."""
        return self.infer(x, 1, noise=False)[0][0]

    def trunk(self) -> Trunk:
        """The layers below the head of h_1."""
        return Trunk(self.up[0], *self.scaling.shift_and_scale, self.data.shape)

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        """E[x|h_1]."""
        return self.observation.mean(self.decoder(h).float())


def _normal(out: Tensor) -> Normal:
    mu, log_var = out.float().chunk(2, dim=1)
    return mu, log_var.clamp(-12.0, 12.0)


def _repeat(normal: Normal, k: int) -> Normal:
    return normal if k == 1 else (normal[0].repeat(k, 1), normal[1].repeat(k, 1))
