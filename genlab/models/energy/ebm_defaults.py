"""What suits the data where a key of conf/model/ebm.yaml is null, which keys exclude each other, and which may mend what.

`low_temperature` is the recipe for pictures of Du & Mordatch (2019): Langevin chains with much less noise than sqrt(2 step).
"""

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, Unpack

from genlab.config.types import NonNegative, Positive
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.candidates import Candidate, choose, higher
from genlab.models.energy.chains import Transition
from genlab.models.energy.transitions import (
    MALA,
    Bounds,
    Langevin,
    ManyFlips,
    SingleFlip,
    max_step,
    unit_temperature_noise,
)
from genlab.networks.mlp import Activation

Objective = Literal["contrastive", "denoising", "sliced"]


class TransitionOptions(TypedDict):
    """Keys of a transition; None for what suits the data."""

    step: Positive | None
    """s of a Langevin step, or of flips of many spins."""
    noise: NonNegative | None
    """n of a Langevin step without correction."""
    clip: Positive | None
    """Largest component of grad E in a Langevin step."""
    metropolis: bool | None
    """Whether proposals are corrected."""
    flips: Literal["one", "many"]
    """How many spins a transition of binary data may flip."""


PIECEWISE_LINEAR = ("relu", "leaky_relu")  # activations without a second derivative
LOW_TEMPERATURE = {"step": 10.0, "noise": 0.005, "clip": 0.03}  # Du & Mordatch 2019, with the clipping of their code
INITIAL_STEP = {"langevin": 0.01, "mala": 0.01, "flips": 2.0}  # the last two adapt in training
REMEDIES: Mapping[str, Sequence[Candidate]] = {
    "energies run away": (higher("model.alpha", to=0.1), choose("model.spectral_norm", True)),
    **dict.fromkeys(
        ("mode collapse", "low coverage", "missing classes", "samples far from the data", "chains do not mix"),
        (
            higher("model.k", 2, objective="contrastive"),
            higher("model.restart", 2, objective="contrastive", negative="persistent"),
        ),
    ),
}
"""Name of a diagnosis -> changes that may help."""


def refuse_conflicts(data: DataSpec, objective: Objective, activation: Activation, sigma: float | None) -> None:
    """Raises GenlabError for an objective that the data, the activation or the noise sigma do not allow."""
    binary = data.support == "binary"
    if objective != "contrastive" and binary:
        raise GenlabError(
            f"model.objective={objective}: binary data have no slope to be matched; set model.objective=contrastive"
        )
    if objective == "sliced" and activation in PIECEWISE_LINEAR:
        raise GenlabError(f"model.activation={activation} has no second derivative; set model.activation=silu")
    if binary and sigma:
        raise GenlabError(f"model.sigma={sigma}: noise would leave binary data not binary; leave it null")
    if objective == "denoising" and sigma == 0:
        raise GenlabError("model.sigma=0.0: denoising needs noise; set a standard deviation above 0, or leave it null")


def default_sigma(data: DataSpec, objective: Objective, low_temperature: bool) -> float:
    """Standard deviation of noise on examples, in inner units."""
    if objective == "denoising":
        return 0.3 if data.on_grid else 0.05
    if objective == "sliced":  # pixels that take few values have no density without noise
        return 0.3 if data.on_grid else 0.0
    return 0.005 if low_temperature else 0.0


def default_restart(low_temperature: bool) -> float:
    """Share of persistent chains that begin anew: chains at temperature 1 need longer to forget where they began."""
    return 0.05 if low_temperature else 0.01


def score_matching_step(data: DataSpec, sigma: float) -> float:
    """First step size of chains of a model that is trained without chains."""
    step: float = 0.5 * max(sigma, 0.1) ** 2 / data.dim ** (1 / 3)
    return step


def transition_for(
    data: DataSpec,
    bounds: Bounds | None,
    low_temperature: bool,
    **options: Unpack[TransitionOptions],
) -> Transition:
    """The transition that the options describe. Raises GenlabError for options that exclude each other."""
    step, noise, clip = options["step"], options["noise"], options["clip"]
    metropolis, flips = options["metropolis"], options["flips"]
    if data.support == "binary":
        for key, value in (("noise", noise), ("clip", clip)):
            if value is not None:
                raise GenlabError(f"model.{key}={value}: chains of binary data flip components; leave it null")
        if metropolis is False:
            raise GenlabError("model.metropolis=false: flips of binary components need the correction; leave it null")
        if flips == "one" and step is not None:
            raise GenlabError(f"model.step={step}: with model.flips=one there is no step; leave it null")
        return SingleFlip(1.0) if flips == "one" else ManyFlips(step or INITIAL_STEP["flips"])
    if metropolis or (metropolis is None and not low_temperature):
        if noise is not None:
            raise GenlabError(
                f"model.noise={noise}: corrected chains have the noise sqrt(2 step); leave it null, or set model.metropolis=false"
            )
        if step is not None and step > max_step(bounds):
            raise GenlabError(
                f"model.step={step}: corrected chains in [-1, 1] take steps of at most {max_step(bounds):g}; set a shorter one, "
                "or leave it null"
            )
        return MALA(step or INITIAL_STEP["mala"], clip, bounds)
    if low_temperature:
        step, clip = step or LOW_TEMPERATURE["step"], clip or LOW_TEMPERATURE["clip"]
        noise = LOW_TEMPERATURE["noise"] if noise is None else noise
    step = step or INITIAL_STEP["langevin"]
    return Langevin(step, unit_temperature_noise(step) if noise is None else noise, clip, bounds)
