"""Binary restricted Boltzmann machine (Smolensky 1986; Hinton 2002), the binary-binary machine of the lecture:

    p(x, h) = exp(-E(x, h))/Z,    E(x, h) = -a.x - b.h - x W h,    x_i, h_j in {0, 1}.

Given one layer, the units of the other are independent,

    p(h_j = 1|x) = 1/(1 + exp(-(b + x W)_j)),    p(x_i = 1|h) = 1/(1 + exp(-(a + W h)_i)),

and with the hidden units summed over, p(x) = exp(-F(x))/Z with the free energy

    F(x) = -a.x - sum_j log(1 + exp(b_j + (x W)_j)).

The gradient of log p is a positive phase, an average over the data, minus a negative phase, an average over the model:

    d log p/dW = <x h>_data - <x h>_model,    d log p/da = <x>_data - <x>_model,    d log p/db = <h>_data - <h>_model.

Gibbs chains estimate the averages over the model: k sweeps from the data (contrastive divergence, Hinton 2002), from persistent
chains (Tieleman 2008), or from tempered chains (negative_phase.py). `centred` measures the units from offsets mu of x and lambda
of h (Montavon & Mueller 2012; Melchior et al. 2016). That changes the steps but not the distribution:

    dW = <(x - mu)(h - lambda)>_data - <(x - mu)(h - lambda)>_model,   da = <x>_data - <x>_model - dW lambda,   db likewise.

The pseudo-likelihood prod_i p(x_i|x_-i) needs no Z. Like the likelihood, it is greatest at the truth (Besag 1975). What this
machine shares with the Gaussian one is in machine.py.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from genlab.data.batches import Batch
from genlab.models.base import Metrics
from genlab.models.boltzmann.class_units import class_units, draw_classes
from genlab.models.boltzmann.machine import BoltzmannMachine
from genlab.numerics.rng import bernoulli
from genlab.numerics.softplus import softplus

AFFORDABLE = 2**13  # hidden inputs that the pseudo-likelihood of one example may take


class RBM(BoltzmannMachine):
    base_bias: Tensor

    supports = frozenset({"binary"})
    discrete = True
    sees_units = True

    @torch.no_grad()
    def train_loop(self, batches: Iterable[Batch]) -> Iterator[Metrics]:
        (optimizer,) = self.optimizers.values()
        full_precision = torch.autocast(self.device.type, enabled=False)  # bf16 would round differences of means away
        for batch in batches:
            with full_precision:
                # Positive phase: x and p(h|x) of the data.
                v = self.visible(batch.x, batch.y)
                phases = self.phases(len(v))
                self.hidden_input(self.inputs(v, out=phases.u_data), out=phases.h_data).sigmoid_()

                # Negative phase: x and p(h|x) after k Gibbs sweeps of the chains.
                self.negative(self, phases.h_data, phases.u_model, phases.h_model)

                # dW = <x h>_data - <x h>_model, da = <x>_data - <x>_model, db = <h>_data - <h>_model.
                statistics = self.write_gradients(phases)
                self.update(optimizer, statistics.weights)
                self.move_offset(statistics.h_data)
                self.averages.update(batch.progress)
            yield statistics.metrics | self.negative.metrics

    def make_visible_layer(self) -> None:
        mean, d = self.data.mean.flatten(), self.data.dim
        with torch.no_grad():
            self.a[:d] = torch.logit(mean.clamp(1e-3, 1 - 1e-3))
        self.register_buffer("base_bias", self.a.detach().clone())
        self.mu[:d] = mean
        self.mu[d:] = 1 / max(1, self.num_classes)

    def visible(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        x = x.flatten(1)
        return x if not self.num_classes else torch.cat([x, class_units(x, y, self.num_classes)], 1)

    def restore(self, v: Tensor) -> Tensor:
        return v[:, : self.data.dim].reshape(-1, *self.data.shape)

    def inputs(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        return v if out is None or out is v else out.copy_(v)

    def visible_energy(self, v: Tensor) -> Tensor:
        return -(v @ self.theta("a"))

    def base_energy(self, v: Tensor) -> Tensor:
        return -(v @ self.base_bias)

    @property
    def log_volume(self) -> float:
        return 0.0

    @property
    def base_log_z(self) -> float:
        return float(self.log_sum_visible(self.base_bias.cpu().double().unsqueeze(0)))

    def draw_visible(self, y: Tensor, beta: float | Tensor = 1.0) -> Tensor:
        if isinstance(beta, Tensor) or beta != 1:
            y.mul_(beta).add_((1 - beta) * self.base_bias)
        if not self.num_classes:
            return bernoulli(y.sigmoid_(), out=y)
        x = y[:, : self.data.dim]
        draw_classes(y[:, self.data.dim :])
        bernoulli(x.sigmoid_(), out=x)
        return y

    def mean_visible(self, y: Tensor) -> Tensor:
        mean = torch.sigmoid(y)
        mean[:, self.data.dim :] = torch.softmax(y[:, self.data.dim :], 1)
        return mean

    def log_sum_visible(self, y: Tensor) -> Tensor:
        found = softplus(y[:, : self.data.dim]).sum(1)
        return found + torch.logsumexp(y[:, self.data.dim :], 1) if self.num_classes else found

    def log_marginals(self) -> list[tuple[int, Callable[[Tensor], Tensor]]]:
        return [*super().log_marginals(), (self.data.dim, lambda x: -self.free_energy(x))]

    def held_out_loss(self, v: Tensor, effort: float = 1.0) -> Metrics:
        """Minus the pseudo-likelihood. The sum over components is estimated from some of them where the data are large.

        These are drawn for each example on its own, so that the scatter over examples holds the error of this choice.
        """
        n, d = len(v), self.data.dim
        some = min(d, max(1, int(effort * AFFORDABLE) // self.hidden))
        start = torch.randint(d, (n, 1), device=v.device)
        chosen = torch.randperm(d, device=v.device)[(start + torch.arange(some, device=v.device)) % d]
        pseudo = d * self.log_conditionals(v, chosen).mean(1)
        return {"loss": -pseudo, "pseudo_log_likelihood": pseudo}

    def log_conditionals(self, v: Tensor, chosen: Tensor) -> Tensor:
        """log p(x_i|x_-i) in nats for the components i `chosen` (n, k): (n, k). From the change of F(x) as x_i flips."""
        W, a, z = self.theta("W"), self.theta("a"), self.hidden_input(v)
        before = softplus(z).sum(1)
        found = []
        for i in chosen.unbind(1):
            change = 1 - 2 * v.gather(1, i.unsqueeze(1))
            gain = softplus(z + change * W[i]).sum(1) - before + change[:, 0] * a[i]
            found.append(-softplus(gain))
        return torch.stack(found, 1)
