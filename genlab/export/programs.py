"""The program of a trained model: the part of it that draws samples, as one function of tensors without hidden randomness.

| family | program |
|---|---|
| with a code h (`decode`) | h -> x, in the units of the data; of a hierarchy, the noise of every level -> x |
| vector-quantised | symbols z -> x, and beside it z -> logits of every next symbol |
| diffusion | x_t, gamma -> x_hat, the estimate of the example without noise |
| flow matching | x, t -> velocity |
| Boltzmann machine | v and noise -> v after a Gibbs sweep, E[v|h], F(v) |
| energy | u and noise -> u after a step of Langevin dynamics, E(u) |
| classifier | x -> logits |
| any other with `log_prob` | x -> log p(x) in nats |

Noise is an input, so that a program gives the same on every machine, and the user decides how it is drawn.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genlab.export.program import Program, classes_of, example_of, noise_of, scale_of, shape_of
from genlab.models.abilities import Decodes, DecodesByClass, HasLogProb
from genlab.models.autoregressive.autoregressive import Autoregressive
from genlab.models.autoregressive.output_distributions import NOISES
from genlab.models.base import Model
from genlab.models.boltzmann.gaussian_rbm import GaussianRBM
from genlab.models.boltzmann.machine import BoltzmannMachine
from genlab.models.diffusion.diffusion import Diffusion
from genlab.models.diffusion.flow_matching import FlowMatching
from genlab.models.diffusion.prediction import estimate, network_time
from genlab.models.discriminative.classifier import Classifier
from genlab.models.energy.ebm import EBM
from genlab.models.flows.flow import Flow
from genlab.models.latent.ae import AE
from genlab.models.latent.hvae import HVAE
from genlab.models.latent.pca import PCA
from genlab.models.latent.priors import StandardNormal
from genlab.models.latent.vae import VAE
from genlab.models.latent.vqvae import VQVAE

MOST_STEPS = 32  # components of a MAF whose samples are a program: each takes a pass of its own in every layer
KEPT_CODES = 1000  # draws of p(h) that go with a decoder whose p(h) is no standard density


def program_of(model: Model) -> Program | None:
    """The program of a trained `model`, on the CPU in evaluation mode; None for a family without such a part."""
    for kind, make in PROGRAMS:
        if isinstance(model, kind):
            return make(model)
    if isinstance(model, Decodes) and not (isinstance(model, Flow) and model.in_turn):
        return _decoder(model)
    if isinstance(model, Flow) and model.data.dim <= MOST_STEPS:
        return replace(_decoder(model), function=_in_steps(model))
    if isinstance(model, HasLogProb):
        settings = {"shape": list(model.data.shape), "support": model.data.support}
        return Program(
            model.log_prob, {"x": example_of(model)}, {"log_p": "log p(x) in nats, (n,)"}, "log_prob", settings
        )
    return None


def _mean_of_x(model: Model) -> dict[str, str]:
    means = {
        "binary": "probabilities that components are 1",
        "unit": "values in [0, 1]",
        "real": "in the units of the data",
    }
    what = "f(h)" if isinstance(model, Flow) else "E[x|h]"
    return {"x": f"{what}, {means[model.data.support]}, {shape_of(model.data.shape)}"}


def _decoder(model: Any) -> Program:
    h = {"h": (noise_of(model.latent_dim), f"codes, {shape_of([model.latent_dim])}")}
    classes = int(getattr(model, "num_classes", 0) or 0) if isinstance(model, DecodesByClass) else 0
    settings = {
        "latent_dim": model.latent_dim,
        "uniform": getattr(model, "latent", "normal") == "uniform",
        "num_classes": classes,
    }
    inputs = {**h, **(classes_of(model) if classes else {})}
    return Program(model.decode, inputs, _mean_of_x(model), "decoder", settings, codes=_kept_codes(model))


def _in_steps(model: Flow) -> Callable[..., Tensor]:
    """x = f(z) of a MAF by whole passes, one for each component: operations alone, without anything that is kept."""

    def decode(h: Tensor, y: Tensor | None = None) -> Tensor:
        with torch.enable_grad():
            return model.real_line.inverse(model.flow.inverse(h, y)).detach()

    return decode


def _kept_codes(model: Any) -> Tensor | None:
    """Draws of p(h), where that is no standard density."""
    if isinstance(model, AE):
        return model.code_density.sample(KEPT_CODES)
    if isinstance(model, VAE) and not isinstance(model.prior, StandardNormal):
        return model.prior.sample(KEPT_CODES)
    return None


def _pca(model: PCA) -> Program:
    with torch.no_grad():
        W = model.factors()[0].float()
    mean, clipped = model.mean, model.data.support != "real"

    def decode(h: Tensor) -> Tensor:
        x: Tensor = mean + (h @ W.T).unflatten(1, mean.shape)
        return x.clamp(0, 1) if clipped else x

    found = _decoder(model)
    return Program(decode, found.inputs, found.outputs, found.kind, found.settings)


def _hvae(model: HVAE) -> Program:
    def generate(*noise: Tensor) -> Tensor:
        return model.decode(model.sample_down(noise[-1], len(model.levels) - 1, list(noise)))

    inputs = {
        f"eps_{t}": (noise_of(width), f"standard normal noise of level {t}, {shape_of([width])}")
        for t, width in enumerate(model.levels, 1)
    }
    return Program(generate, inputs, _mean_of_x(model), "hierarchy", {"levels": list(model.levels)})


def _vqvae(model: VQVAE) -> Program:
    def decode(z: Tensor) -> Tensor:
        return model.decode(model.codebook.lookup(z).flatten(1))

    size = model.codebook.size
    z = torch.arange(2 * model.positions).view(2, model.positions) % size
    meaning = f"symbols 0 to {size - 1}, integers, (n, {model.positions})"
    logits = {"logits": f"of p(z_i|z_1, ..., z_i-1), (n, {model.positions}, {size})"}
    prior = Program(model.prior, {"z": (z, meaning)}, logits, "prior")
    settings = {"positions": model.positions, "symbols": size}
    return Program(decode, {"z": (z, meaning)}, _mean_of_x(model), "symbols", settings, {"prior": prior})


def _diffusion(model: Diffusion) -> Program:
    from genlab.models.diffusion.samplers import default_steps, sampling_gammas

    def denoise(x_t: Tensor, gamma: Tensor, y: Tensor | None = None) -> Tensor:
        out = model.ema_network(x_t, network_time(gamma), y).float()
        x_hat = estimate(model.prediction, x_t, gamma, out)
        return x_hat if model.data.support == "real" else x_hat.clamp(-1, 1)

    steps = default_steps("ddim", model.data.is_image, model.steps)
    gammas = sampling_gammas("ddim", steps, model.schedule, model.steps)
    inputs = {
        "x_t": (noise_of(*model.data.shape), f"examples with noise in inner units, {shape_of(model.data.shape)}"),
        "gamma": (torch.tensor([1.0, -1.0]), "log of sigma^2/alpha^2, the level of the noise, (n,)"),
        **classes_of(model),
    }
    outputs = {"x_hat": f"the estimate of the examples without noise in inner units, {shape_of(model.data.shape)}"}
    settings = {"gammas": [round(float(gamma), 6) for gamma in gammas], "num_classes": model.num_classes}
    return Program(denoise, inputs, outputs, "diffusion", settings | scale_of(model))


def _flow(model: FlowMatching) -> Program:
    def velocity(x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        found: Tensor = model.ema_network(x, t, y).float()
        return found

    inputs = {
        "x": (noise_of(*model.data.shape), f"states in inner units, {shape_of(model.data.shape)}"),
        "t": (torch.tensor([0.25, 0.75]), "times from 0 (noise) to 1 (data), (n,)"),
        **classes_of(model),
    }
    outputs = {"v": f"dx/dt, {shape_of(model.data.shape)}"}
    settings = {"steps": 50, "num_classes": model.num_classes}
    return Program(velocity, inputs, outputs, "flow", settings | scale_of(model))


def _machine(model: BoltzmannMachine) -> Program:
    visible, d = len(model.a), model.data.dim
    with torch.no_grad():
        sigma = model.variance[:d].sqrt() if isinstance(model, GaussianRBM) else None
    gaussian = sigma is not None

    def sweep(v: Tensor, noise_h: Tensor, noise_v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = model.hidden_input(model.inputs(v))
        free_energy = model.visible_energy(v) - torch.nn.functional.softplus(z).sum(1)
        y = model.visible_input((noise_h < z.sigmoid()).float())
        mean = y[:, :d].sigmoid() if sigma is None else y[:, :d]
        drawn = (noise_v < mean).float() if sigma is None else mean + sigma * noise_v
        classes = v[:, d:]  # stay as they are: samples of p(x|y)
        return torch.cat([drawn, classes], 1), torch.cat([mean, classes], 1), free_energy

    uniform = torch.rand(2, model.hidden, generator=torch.Generator().manual_seed(2))
    kind = "standard normal noise" if gaussian else "noise, even in [0, 1]"
    beside = f", of which the last {visible - d} are the classes" if visible > d else ""
    start = model.visible(example_of(model)[0], torch.tensor([0, 0]) if visible > d else None)
    inputs = {
        "v": (start.clone(), f"visible units, (n, {visible}){beside}"),
        "noise_h": (uniform, f"noise, even in [0, 1], (n, {model.hidden})"),
        "noise_v": (
            noise_of(d) if gaussian else torch.rand(2, d, generator=torch.Generator().manual_seed(3)),
            f"{kind}, (n, {d})",
        ),
    }
    outputs = {
        "v": "visible units after the sweep",
        "mean": "E[v|h]",
        "free_energy": "F of the visible units before the sweep, in nats, (n,)",
    }
    settings = {"visible": visible, "hidden": model.hidden, "classes": visible - d, "gaussian": gaussian, "sweeps": 200}
    scale = scale_of(model) if gaussian else {"identity": True, "support": "binary", "shape": list(model.data.shape)}
    return Program(sweep, inputs, outputs, "machine", settings | scale)


def _energy(model: EBM) -> Program:
    """Langevin dynamics, or for spins the discrete Langevin proposal, both without their Metropolis correction."""
    step = float(model.transition.step)
    noise = float(getattr(model.transition, "noise", (2 * step) ** 0.5))
    clip, bounds = getattr(model.transition, "clip", None), getattr(model.transition, "bounds", None)

    def transition(u: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            at = u.detach().requires_grad_()
            energy = model.energy(at)
            (gradient,) = torch.autograd.grad(energy.sum(), at)
        if model.discrete:
            return torch.where(eps < (u * gradient - 1 / step).sigmoid(), -u, u), energy.detach()
        gradient = gradient if clip is None else gradient.clamp(-clip, clip)
        after = u - step * gradient + noise * eps
        return after if bounds is None else after.clamp(*bounds), energy.detach()

    shape, spins = shape_of(model.data.shape), model.discrete
    start, uniform = (
        noise_of(*model.data.shape),
        torch.rand(2, *model.data.shape, generator=torch.Generator().manual_seed(2)),
    )
    inputs = {
        "u": (
            start.sign() if spins else start.tanh(),
            f"states in inner units{', -1 and 1' if spins else ''}, {shape}",
        ),
        "eps": (uniform, f"noise, even in [0, 1], {shape}")
        if spins
        else (start.flip(0), f"standard normal noise, {shape}"),
    }
    outputs = {"u": f"states after a step, {shape}", "energy": "E of the states before the step, in nats, (n,)"}
    settings = {"steps": 200, "binary": spins, "bounded": bounds is not None}
    return Program(transition, inputs, outputs, "energy", settings | scale_of(model))


def _classifier(model: Classifier) -> Program:
    outputs = {"logits": f"of p(y|x), (n, {model.data.num_classes})"}
    return Program(model.logits, {"x": example_of(model)}, outputs, "classifier", {"shape": list(model.data.shape)})


def _autoregressive(model: Autoregressive) -> Program:
    distribution, classes, sets = model.distribution, classes_of(model), model.network.masks

    def draws(flat: Tensor, noise: Tensor, y: Tensor | None, which: int) -> tuple[Tensor, Tensor]:
        parameters = model.factors(flat, y, which)
        log_p = distribution.log_prob(parameters, flat).sum(1) - model.log_volume
        return distribution.draw(parameters, noise.movedim(2, 1)), log_p

    def next_values(u: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        drawn, log_p = draws(u.flatten(1), noise, y, 0)
        return drawn.view_as(u), log_p

    def of_mixture(u: Tensor, noise: Tensor, k: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        found = [draws(u.flatten(1), noise, y, which) for which in range(sets)]
        mine = k.view(1, -1, 1).expand(1, -1, model.data.dim)
        drawn = torch.stack([one for one, _ in found]).gather(0, mine)[0]
        return drawn.view_as(u), torch.stack([log_p for _, log_p in found]).logsumexp(0) - math.log(sets)

    uniform = torch.rand(2, model.data.dim, NOISES, generator=torch.Generator().manual_seed(2))
    shape = shape_of(model.data.shape)
    inputs = {
        "u": (model.scaling.inner(example_of(model)[0]), f"examples in inner units, {shape}"),
        "noise": (uniform, f"noise, even in [0, 1], (n, {model.data.dim}, {NOISES})"),
    }
    if sets > 1:
        inputs["k"] = (torch.tensor([0, 1]), f"the set of masks that draws, 0 to {sets - 1}, (n,)")
    given = "log p(x|y)" if classes else "log p(x)"
    outputs = {
        "u": f"a draw of each component given all before it, {shape}",
        "log_p": f"{given} of the examples in nats, (n,)" + (f", of the mixture of {sets} sets" if sets > 1 else ""),
    }
    settings = {"orders": model.network.orders(), "num_classes": model.num_classes, "dim": model.data.dim}
    return Program(
        next_values if sets == 1 else of_mixture,
        inputs | classes,
        outputs,
        "autoregressive",
        settings | scale_of(model) | {"noises": NOISES},
    )


PROGRAMS: list[tuple[type, Callable[[Any], Program]]] = [
    (Autoregressive, _autoregressive),
    (PCA, _pca),
    (AE, _decoder),
    (VAE, _decoder),
    (HVAE, _hvae),
    (VQVAE, _vqvae),
    (Diffusion, _diffusion),
    (FlowMatching, _flow),
    (BoltzmannMachine, _machine),
    (EBM, _energy),
    (Classifier, _classifier),
]
"""Families whose program is not their decoder alone."""
