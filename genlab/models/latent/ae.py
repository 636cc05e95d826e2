"""Autoencoder (Rumelhart, Hinton & Williams 1986): a code h = f(x), a reconstruction g(h), and nothing probabilistic.

Encoder f and decoder g mirror each other around the bottleneck h. With x~ = g(f(x)) the loss of one example is either

    mean squared error    ||x - x~||^2    or    cross-entropy    -sum_j [x_j log x~_j + (1 - x_j) log(1 - x~_j)],

summed over components and averaged over examples. With no hidden layers and an identity output the autoencoder is linear, and its
optimum spans the subspace of the leading principal components. An overcomplete one (latent_dim above the dimension of x) can
learn the identity, unless a penalty or noise prevents it:

    denoising (Vincent et al. 2008)     `noise`: the encoder sees x + noise * eps, and the loss compares x~ with x
    sparse                              `sparsity` * sum_k |h_k|
    contractive (Rifai et al. 2011)     `contraction` * ||dh/dx||_F^2, estimated by one random projection, ||v^T dh/dx||^2 with
                                        v_k = -1 or 1: unbiased, as E[v v^T] = I (Hutchinson 1990)

The last two shrink the code. A free decoder can compensate for that by its scale. A decoder with `tied` weights cannot: each of
its layers is the transpose of the mirror layer of the encoder, with a bias of its own.

An autoencoder has no prior. Samples are decoded from a density fitted to the codes of the training data afterwards
(ex_post.py).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genlab.config.types import Count, NonNegative
from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import GenerativeModel, Metrics
from genlab.models.candidates import Candidate, choose, higher
from genlab.models.latent.ex_post import CodeDensity, Density
from genlab.models.scaling import Scaling
from genlab.networks.autoencoders import Decoder, Network, encoder_and_decoder, set_output_bias
from genlab.networks.choices import note
from genlab.networks.mlp import MLP, Activation
from genlab.networks.tied import TiedDecoder
from genlab.numerics.softplus import bernoulli_log_prob
from genlab.optimizers.recipe import Recipe

Output = Literal["auto", "sigmoid", "relu", "leaky_relu", "identity"]
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "identity": lambda out: out,
}


class AE(GenerativeModel):
    """Feed-forward or convolutional autoencoder. It defines no distribution of x: its samples are drawn ex post."""

    supports = frozenset({"binary", "unit", "real"})
    deterministic_loss = True

    remedies: ClassVar[Mapping[str, Sequence[Candidate]]] = dict.fromkeys(
        ("mode collapse", "low coverage", "missing classes", "samples far from the data"),
        (choose("model.density", "mixture"), higher("model.components", 2, density="mixture")),
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
        output: Output,
        loss: Literal["mse", "bce"],
        noise: NonNegative,
        sparsity: NonNegative,
        contraction: NonNegative,
        tied: bool,
        density: Density,
        components: Count,
    ) -> None:
        super().__init__(data, optimizer)
        latent_dim = latent_dim or default_latent_dim(data)
        if output == "auto":
            output = "identity" if data.support == "real" else "sigmoid"
        check_output(data, output, loss)
        note(self, output=output)
        for key, weight in (("noise", noise), ("contraction", contraction)):
            if weight > 0 and optimizer.needs_closure:
                raise GenlabError(
                    f"model.{key}={weight}: optimizer=lbfgs needs a loss without noise; set model.{key}=0"
                )
        self.latent_dim, self.output, self.criterion = latent_dim, output, loss
        self.noise, self.sparsity, self.contraction = noise, sparsity, contraction
        # Real data are measured in units of their overall spread: one factor for all components, which leaves PCA unchanged.
        scale = data.std.square().mean().sqrt().clamp_min(1e-12) if data.support == "real" else torch.ones(())
        shift = data.mean if output == "identity" and data.support == "real" else torch.zeros_like(data.mean)
        self.scaling = Scaling(data, shift, scale)
        self.decoder: Decoder | TiedDecoder
        self.encoder, self.decoder = encoder_and_decoder(
            data,
            network,
            hidden,
            default_hidden=[512, 256],
            code=latent_dim,
            latent_dim=latent_dim,
            outputs=1,
            activation=activation,
        )
        if tied:
            if not isinstance(self.encoder, MLP):
                raise GenlabError(
                    f"model.tied=true: only feed-forward layers mirror each other, and model.network={network} takes others for "
                    f"dataset={data.name}; set model.network=mlp or model.tied=false"
                )
            self.decoder = TiedDecoder(self.encoder, data.shape, activation)
        self.code_density = CodeDensity(latent_dim, density, components)
        mean = data.mean.clamp(0.005, 0.995).logit() if output == "sigmoid" else self.scaling.inner(data.mean)
        set_output_bias(self.decoder, mean)
        self.optimizers["ae"] = optimizer(self.parameters())

    @property
    def replayable(self) -> bool:
        return True

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["ae"]
        for batch in batches:
            terms: Metrics = {}
            batch_codes: list[Tensor] = []

            def loss(x: Tensor = batch.x, terms: Metrics = terms, codes: list[Tensor] = batch_codes) -> Tensor:
                noisy = x + self.noise * torch.randn_like(x) if self.noise else x
                h, penalties = self.penalised_code(noisy)
                error = self.error(self.decoder(h).float(), x).mean()
                codes[:] = [h.detach()]
                terms["reconstruction_error"] = error.detach()
                for name, penalty in penalties.items():
                    terms[name] = penalty.detach().mean()
                return error + sum(penalty.mean() for penalty in penalties.values())

            value = self.descend(optimizer, loss)
            with torch.no_grad():
                self.code_density.add(self.code(batch.x) if self.noise else batch_codes[0])
            yield {"loss": value, **terms}

    def penalised_code(self, x: Tensor) -> tuple[Tensor, Metrics]:
        """h = f(x), shape (n, latent_dim), and its penalties with their weights, each of shape (n,)."""
        penalties: Metrics = {}
        if self.contraction:
            h, squares = self.code_and_jacobian(x)
            penalties["contraction_penalty"] = self.contraction * squares
        else:
            h = self.code(x)
        if self.sparsity:
            penalties["sparsity_penalty"] = self.sparsity * h.abs().sum(1)
        return h, penalties

    def code_and_jacobian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """h = f(x) (n, latent_dim), and an unbiased estimate of ||dh/dx||_F^2 (n,) from one projection an example."""
        trains = torch.is_grad_enabled()
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            # `forward`, not a call: a compiled encoder cannot be differentiated twice.
            h: Tensor = self.encoder.forward(self.scaling.inner(x)).float()
            v = torch.randint(2, h.shape, device=h.device).mul_(2).sub_(1).to(h.dtype)
            (projection,) = torch.autograd.grad(h, x, v, create_graph=trains)
        return h, projection.square().flatten(1).sum(1)

    def code(self, x: Tensor) -> Tensor:
        """h = f(x), shape (n, latent_dim)."""
        h: Tensor = self.encoder(self.scaling.inner(x)).float()
        return h

    def reconstruction(self, out: Tensor) -> Tensor:
        """x~ from the decoder's outputs before the output activation."""
        return self.scaling.outer(OUTPUTS[self.output](out))

    def error(self, out: Tensor, x: Tensor) -> Tensor:
        """Reconstruction error of decoder outputs (before the output activation) against x, shape (n,)."""
        if self.criterion == "bce":  # from the logits: log sigmoid(out) does not overflow, but log(x~) does
            return -bernoulli_log_prob(out, x)
        return (x - self.reconstruction(out)).square().flatten(1).sum(1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        h, penalties = self.penalised_code(batch.x)
        out = self.decoder(h).float()
        error = self.error(out, batch.x)
        mse = (batch.x - self.reconstruction(out)).square().flatten(1).sum(1)
        return {"loss": error + sum(penalties.values()), "reconstruction_error": error, "mse": mse}

    @property
    def ex_post(self) -> str:
        """The density of codes that samples come from."""
        return self.code_density.describe()

    @torch.no_grad()
    def sample_loop(self, n: int) -> Iterator[Tensor]:
        """g(h) with h from the density fitted to the codes of training examples, which is no part of the model."""
        yield self.decode(self.code_density.sample(n))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return self.code(x)

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        return self.reconstruction(self.decoder(h).float())


def check_output(data: DataSpec, output: str, loss: str) -> None:
    """Raises GenlabError where the output activation cannot reach the data, or the cross-entropy gets no probabilities."""
    span = f"dataset={data.name} has values in [{data.low:.3g}, {data.high:.3g}]"
    if output == "sigmoid" and (data.low < 0 or data.high > 1):
        raise GenlabError(f"model.output=sigmoid reaches only (0, 1) and {span}; set model.output=identity")
    if output == "relu" and data.low < 0:
        raise GenlabError(
            f"model.output=relu reaches only [0, inf) and {span}; set model.output=identity or leaky_relu"
        )
    if loss == "bce" and (data.low < 0 or data.high > 1):
        raise GenlabError(f"model.loss=bce needs values in [0, 1] and {span}; set model.loss=mse")
    if loss == "bce" and output != "sigmoid":
        raise GenlabError(
            f"model.loss=bce needs probabilities and model.output={output} gives none; set model.output=sigmoid"
        )


def default_latent_dim(data: DataSpec) -> int:
    """32 for pictures, at most so many for curves, and half of the components of vectors."""
    half = max(1, data.dim // 2)
    return 32 if data.is_image else min(32, half) if data.is_curve else half
