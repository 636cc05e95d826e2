"""Autoencoder (Rumelhart, Hinton & Williams 1986): a code h = f(x), a reconstruction g(h), and nothing probabilistic.

Encoder f and decoder g mirror each other around the bottleneck h. With x~ = g(f(x)) the loss of one example is either

    mean squared error    ||x - x~||^2    or    cross-entropy    -sum_j [x_j log x~_j + (1 - x_j) log(1 - x~_j)],

summed over components and averaged over examples. `noise` > 0 makes it a denoising autoencoder (Vincent et al. 2008): the
encoder sees x + noise * eps and must restore x. `sparsity` > 0 adds sparsity * sum_k |h_k|. With no hidden layers and an
identity output it is linear, and its optimum spans the subspace of the leading principal components.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from genlab.data.batches import Batch
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.base import Metrics, Model
from genlab.networks.autoencoding import Network, encoder_and_decoder, start_at
from genlab.networks.mlp import Activation
from genlab.optimizers import Recipe

Output = Literal["auto", "sigmoid", "relu", "leaky_relu", "identity"]
OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "identity": lambda out: out,
}


class AE(Model):
    """Feed-forward or convolutional autoencoder. It defines no distribution, so it reconstructs but does not sample."""

    shift: Tensor
    scale: Tensor

    supports = frozenset({"binary", "unit", "real"})
    deterministic_loss = True

    def __init__(
        self,
        data: DataSpec,
        optimizer: Recipe,
        *,
        latent_dim: Annotated[int, Field(gt=0)],
        hidden: list[Annotated[int, Field(gt=0)]] | None,
        network: Network,
        activation: Activation,
        output: Output,
        loss: Literal["mse", "bce"],
        noise: Annotated[float, Field(ge=0)],
        sparsity: Annotated[float, Field(ge=0)],
    ) -> None:
        super().__init__(data, optimizer)
        if output == "auto":
            output = "identity" if data.support == "real" else "sigmoid"
        refuse_misfit(data, output, loss)
        if noise > 0 and optimizer.needs_closure:
            raise GenlabError(f"model.noise={noise}: optimizer=lbfgs needs a loss without noise; set model.noise=0")
        self.latent_dim, self.output, self.criterion, self.noise, self.sparsity = (
            latent_dim,
            output,
            loss,
            noise,
            sparsity,
        )
        # Real data are seen in units of their overall spread: one factor for all components, which leaves PCA unchanged.
        scale = data.std.square().mean().sqrt().clamp_min(1e-12) if data.support == "real" else torch.ones(())
        shift = data.mean if output == "identity" and data.support == "real" else torch.zeros_like(data.mean)
        self.register_buffer("shift", shift)
        self.register_buffer("scale", scale)
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
        start_at(
            self.decoder, data.mean.clamp(0.005, 0.995).logit() if output == "sigmoid" else (data.mean - shift) / scale
        )
        self.optimizers["ae"] = optimizer(self.parameters())

    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        optimizer = self.optimizers["ae"]
        for batch in batches:
            terms: Metrics = {}

            def loss(x: Tensor = batch.x, terms: Metrics = terms) -> Tensor:
                seen = x + self.noise * torch.randn_like(x) if self.noise else x
                h = self.code(seen)
                error = self.error(self.decoder(h).float(), x).mean()
                terms["reconstruction_error"] = error.detach()
                if not self.sparsity:
                    return error
                penalty = self.sparsity * h.abs().sum(1).mean()
                terms["sparsity_penalty"] = penalty.detach()
                return error + penalty

            value = self.descend(optimizer, loss)
            yield {"loss": value, **terms}

    def code(self, x: Tensor) -> Tensor:
        """h = f(x), shape (n, latent_dim)."""
        h: Tensor = self.encoder((x - self.shift) / self.scale).float()
        return h

    def restore(self, out: Tensor) -> Tensor:
        """x~ from the decoder's outputs before the output activation."""
        return self.shift + self.scale * OUTPUTS[self.output](out)

    def error(self, out: Tensor, x: Tensor) -> Tensor:
        """Reconstruction error of decoder outputs (before the output activation) against x, shape (n,)."""
        if self.criterion == "bce":  # from the logits: log sigmoid(out) does not overflow, log(x~) does
            return F.binary_cross_entropy_with_logits(out, x, reduction="none").flatten(1).sum(1)
        return (x - self.restore(out)).square().flatten(1).sum(1)

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> Metrics:
        h = self.code(batch.x)
        out = self.decoder(h).float()
        error = self.error(out, batch.x)
        mse = (batch.x - self.restore(out)).square().flatten(1).sum(1)
        return {"loss": error + self.sparsity * h.abs().sum(1), "reconstruction_error": error, "mse": mse}

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        return self.code(x)

    @torch.no_grad()
    def decode(self, h: Tensor) -> Tensor:
        return self.restore(self.decoder(h).float())


def refuse_misfit(data: DataSpec, output: str, loss: str) -> None:
    """An output activation must be able to reach the data, and cross-entropy needs probabilities."""
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
