"""Variational autoencoder (Kingma & Welling 2014; Rezende et al. 2014).

A latent variable h ~ p(h) = N(0, I) generates x through the decoder p(x|h); the encoder gives the approximate posterior
q(h|x) = N(h; mu(x), sigma^2(x) I). Training maximises the evidence lower bound, in nats per example and summed over pixels,

    log p(x) >= ELBO = E_q(h|x)[log p(x|h)] - KL(q(h|x) || p(h)),

with the first (reconstruction) term estimated by L draws h = mu + sigma * eps, eps ~ N(0, I), and the second (prior
matching) term in closed form, KL = 1/2 sum_j (mu_j^2 + sigma_j^2 - log sigma_j^2 - 1). Options that change the objective:

    k > 1            maximises L_k = E log (1/k) sum_i w_i, w = p(x, h)/q(h|x), instead (IWAE: Burda et al. 2016)
    beta, kl_warmup  reconstruction - beta KL (Higgins et al. 2017); beta rises from 0 at first (Bowman et al. 2016)
    capacity         reconstruction - beta |KL - C|; C rises from 0 to that many nats (Burgess et al. 2018)
    free_bits        the KL of a component, averaged over the batch, counts at least that many nats (Kingma et al. 2016)
    prior            a mixture or a VampPrior (priors.py) in the place of N(0, I); the KL term is then an estimate
    conditional      p(x|y): encoder and decoder take the class y too (Sohn et al. 2015), and p(x) = sum_y p(x|y)/K
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from genlab.config.types import Count, NonNegative, Positive, Share
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Charts, GenerativeModel, Metrics, Quantity
from genlab.models.candidates import Candidate, choose, higher, lower
from genlab.models.conditioning import classes_to_sample, num_classes_of, one_hot
from genlab.models.latent.normal import gaussian_kl, gaussian_kls, log_normal
from genlab.models.latent.observation import Likelihood, observation_model
from genlab.models.latent.priors import PriorName, StandardNormal, prior_of
from genlab.models.scaling import Scaling
from genlab.networks.autoencoders import Network, encoder_and_decoder, set_output_bias, with_classes
from genlab.networks.mlp import Activation
from genlab.numerics import shares
from genlab.optimizers.recipe import Recipe
from genlab.plots.learning_curves import Chart


class VAE(GenerativeModel):
    """Encoder and decoder are feed-forward or convolutional mirror images of each other around h."""

    quantities: ClassVar[Mapping[str, Quantity]] = {
        "elbo": Quantity("nats", "higher", lower_bound=True),
        "elbo_given_class": Quantity("nats", "higher"),
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

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = dict.fromkeys(
        ("mode collapse", "low coverage", "missing classes"),
        (lower("model.beta", to=1.0), choose("model.prior", "mixture"), higher("model.latent_dim", 2)),
    )

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        latent_dim: Count | None,
        hidden: list[Count] | None,
        network: Network,
        activation: Activation,
        likelihood: Likelihood,
        prior: PriorName,
        components: Count,
        conditional: bool,
        k: Count,
        mc_samples: Count,
        beta: NonNegative,
        capacity: Positive | None,
        kl_warmup: Share | None,
        free_bits: NonNegative,
    ) -> None:
        super().__init__(data, optimizer)
        latent_dim = latent_dim or (20 if data.is_image else min(20, data.dim))
        if kl_warmup is None:  # for the few numbers of a vector, a code is worth its KL only once it is good
            kl_warmup = 0.0 if data.on_grid or k > 1 or free_bits else 0.5
        check_objective(k, prior, beta=beta, capacity=capacity, kl_warmup=kl_warmup, free_bits=free_bits)
        self.latent_dim, self.k, self.mc_samples = latent_dim, k, mc_samples
        self.beta, self.capacity, self.kl_warmup, self.free_bits = beta, capacity, kl_warmup, free_bits
        self.couples = "the KL term is that of the whole batch" if free_bits or capacity is not None else None
        self.num_classes = num_classes_of(data, conditional)
        self.bound = "elbo_given_class" if conditional else "elbo"  # of log p(x|y), or of log p(x)
        self.classifies = conditional
        self.observation = observation_model(likelihood, data)
        self.discrete = self.observation.discrete
        self.encoder, self.decoder = encoder_and_decoder(
            data,
            network,
            hidden,
            default_hidden=[400] if data.on_grid else [128, 128],
            code=2 * latent_dim,
            latent_dim=latent_dim,
            outputs=self.observation.outputs,
            activation=activation,
            num_classes=self.num_classes,
        )
        set_output_bias(self.decoder, self.observation.marginal(data))  # the best model that ignores h
        self.scaling = Scaling.standard(data)
        if conditional and prior == "vamp":
            raise GenlabError("model.prior=vamp has examples without a class; set model.conditional=false")
        self.prior = prior_of(prior, data, self.posterior, latent_dim, components)
        self.optimizers["vae"] = optimizer(self.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["vae"]
        for batch in batches:
            y = self.one_hot(batch.y)
            if self.k > 1:
                log_w = self.log_ratios(batch.x, self.mc_samples * self.k, y).unflatten(0, (self.mc_samples, self.k))
                bound = (log_w.logsumexp(1) - math.log(self.k)).mean()
                self.descend(optimizer, -bound)
                yield {"loss": -bound.detach(), self.bound: log_w.detach().mean(), "iw_bound": bound.detach()}
                continue
            reconstruction, kl = self.terms(batch.x, self.mc_samples, y)
            ramp = batch.linear_warmup(self.kl_warmup)
            loss = self.weighted_kl(kl, ramp) - reconstruction.mean()
            self.descend(optimizer, loss)
            reconstruction, kl = reconstruction.detach().mean(), kl.detach().sum(-1).mean()
            found = {"loss": loss.detach(), self.bound: reconstruction - kl, "reconstruction": reconstruction, "kl": kl}
            if self.kl_warmup:
                found["ramp"] = torch.as_tensor(ramp, device=kl.device)
            yield found

    def weighted_kl(self, kl: Tensor, ramp: float | Tensor) -> Tensor:
        """Term of the loss, a scalar, for KL terms (n, latent_dim); `ramp` is the warm-up, which rises from 0 to 1."""
        if self.free_bits:
            return ramp * self.beta * shares.whole_mean(kl.mean(0)).clamp_min(self.free_bits).sum()
        if self.capacity is not None:
            return self.beta * (shares.whole_mean(kl.sum(-1).mean()) - ramp * self.capacity).abs()
        return ramp * self.beta * kl.sum(-1).mean()

    def one_hot(self, y: Tensor | None) -> Tensor | None:
        """Classes as the networks take them, (n, num_classes); None for an unconditional model."""
        return one_hot(y, self.num_classes)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(h|x), or q(h|x, y), each of shape (n, latent_dim)."""
        u = self.scaling.inner(x)
        mu, log_var = self.encoder(with_classes(u, y, self.encoder)).float().chunk(2, dim=1)
        return mu, log_var

    def log_likelihood(self, h: Tensor, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x|h) of codes h (k, n, latent_dim) that belong to x (n, *shape): (k, n), in nats."""
        k = len(h)
        xs = x if k == 1 else x.repeat(k, *[1] * (x.ndim - 1))
        ys = y if y is None or k == 1 else y.repeat(k, 1)
        out = self.decoder(with_classes(h.flatten(0, 1), ys, self.decoder)).float()
        log_p: Tensor = self.observation.log_prob(out, xs)
        return log_p.reshape(k, len(x))

    def terms(self, x: Tensor, mc_samples: int, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(1/L) sum_l log p(x|h_l), h_l ~ q(h|x): (n,); and KL(q(h|x) || p(h)) by component: (n, latent_dim). In nats.

        The KL to a prior that does not factorise is an estimate from the same draws, of shape (n, 1).
        """
        mu, log_var = self.posterior(x, y)
        h = mu + torch.exp(0.5 * log_var) * torch.randn(mc_samples, *mu.shape, device=mu.device)
        reconstruction = self.log_likelihood(h, x, y).mean(0)
        if isinstance(self.prior, StandardNormal):
            return reconstruction, gaussian_kls(mu, log_var)
        return reconstruction, (log_normal(h, mu, log_var) - self.prior.log_prob(h)).mean(0).unsqueeze(-1)

    def log_ratios(self, x: Tensor, k: int, y: Tensor | None = None) -> Tensor:
        """log p(x|h) + log p(h) - log q(h|x) for k draws h ~ q(h|x), shape (k, n), in nats."""
        mu, log_var = self.posterior(x, y)
        eps = torch.randn(k, *mu.shape, device=mu.device)
        h = mu + torch.exp(0.5 * log_var) * eps
        log_p = self.log_likelihood(h, x, y)
        if isinstance(self.prior, StandardNormal):  # the constants of the two normal densities cancel
            return log_p + 0.5 * (eps.square() - h.square() + log_var).sum(-1)
        return log_p + self.prior.log_prob(h) - log_normal(h, mu, log_var)

    @torch.no_grad()
    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """`log_ratios` of p(x). A conditional model draws y ~ q(y|x), see `classify`, and has p(y) = 1/K."""
        if not self.num_classes:
            return self.log_ratios(x, k)
        log_q = self.classify(x)
        y = torch.multinomial(log_q.exp(), k, replacement=True)  # (n, k)
        ratios = [self.log_ratios(x, 1, self.one_hot(y_i))[0] for y_i in y.T]
        return torch.stack(ratios) - math.log(self.num_classes) - log_q.gather(1, y).T

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """log q(y|x), (n, num_classes): a softmax over the bounds on log p(x|y), with h at its mean. Conditional models only."""
        bounds = []
        for k in range(self.num_classes):
            y = self.one_hot(torch.full((len(x),), k, device=x.device))
            mu, log_var = self.posterior(x, y)
            bounds.append(self.log_likelihood(mu.unsqueeze(0), x, y)[0] - gaussian_kl(mu, log_var))
        return torch.stack(bounds, 1).log_softmax(1)

    def predicted_classes(self, x: Tensor) -> Tensor | None:
        """The most probable classes of x, one-hot (n, num_classes); None for an unconditional model."""
        return self.one_hot(self.classify(x).argmax(1)) if self.num_classes else None

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        y = self.one_hot(batch.y)
        reconstruction, kls = self.terms(batch.x, self.mc_samples, y)
        kl = kls.sum(-1)
        # With free bits or a capacity the KL term belongs to the batch as a whole, not to each example.
        of_batch = self.free_bits > 0 or self.capacity is not None
        loss = (self.weighted_kl(kls, 1.0) if of_batch else self.beta * kl) - reconstruction
        found = {"loss": loss, self.bound: reconstruction - kl, "reconstruction": reconstruction, "kl": kl}
        if self.k > 1:
            bound = self.log_ratios(batch.x, self.k, y).logsumexp(0) - math.log(self.k)
            found |= {"loss": -bound, "iw_bound": bound}
        return found | {"mse": (batch.x - self.reconstruct(batch.x)).square().flatten(1).sum(1)}

    @torch.no_grad()
    def sample_loop(self, n: int, labels: list[int] | int | None = None, mean: bool | None = None) -> Iterator[Tensor]:
        """h ~ p(h), then E[x|h] for `mean` (as pictures are shown) or x ~ p(x|h) (the default for vectors).

        A conditional model draws the classes `labels` in turns, or else all of them. Raises GenlabError for others.
        """
        y = classes_to_sample(labels, n, self.num_classes, self.device)
        out = self.decoder(with_classes(self.prior.sample(n), y, self.decoder)).float()
        show_mean = self.data.on_grid if mean is None else mean
        yield self.observation.mean(out) if show_mean else self.observation.sample(out)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|h] at the mean h of q(h|x)."""
        y = self.predicted_classes(x)
        return self.decode(self.posterior(x, y)[0], y)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Mean of q(h|x), (n, latent_dim)."""
        return self.posterior(x, self.predicted_classes(x))[0]

    @torch.no_grad()
    def decode(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """E[x|h]; of a conditional model without `y`, E[x|h, y = 0]."""
        if self.num_classes and y is None:
            y = self.one_hot(torch.zeros(len(h), dtype=torch.int64, device=h.device))
        return self.observation.mean(self.decoder(with_classes(h, y, self.decoder)).float())


def check_objective(
    k: int, prior: str, *, beta: float, capacity: float | None, kl_warmup: float, free_bits: float
) -> None:
    """Raises GenlabError for options of the KL term that exclude each other, and for k > 1, whose bound has no KL term."""
    changed = {
        "beta": (beta, 1.0),
        "capacity": (capacity, None),
        "kl_warmup": (kl_warmup, 0.0),
        "free_bits": (free_bits, 0.0),
    }
    for key, (value, usual) in changed.items():
        if k > 1 and value != usual:
            neutral = "null" if usual is None else usual
            raise GenlabError(
                f"model.{key}={value}: the importance-weighted bound (model.k={k}) has no KL term; set model.{key}={neutral}"
            )
    if capacity is not None and not beta:
        raise GenlabError(f"model.capacity={capacity}: with model.beta=0 the KL term has no weight; set model.beta=10")
    if free_bits and capacity is not None:
        raise GenlabError(f"model.free_bits={free_bits} and model.capacity={capacity}: set one of the two")
    if free_bits and prior != "normal":
        raise GenlabError(
            f"model.free_bits={free_bits} counts components, for which model.prior={prior} has no KL each"
        )
