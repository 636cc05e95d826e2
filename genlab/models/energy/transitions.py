"""Which transition the chains of an energy-based model make, from what its configuration says and what suits the data."""

from dataclasses import dataclass
from typing import Literal

from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.models.energy.discrete import ManyFlips, SingleFlip
from genlab.models.energy.langevin import Box, Langevin, Mala, Transition, longest_in, thermal

PICTURES = {"step": 10.0, "noise": 0.005, "clip": 0.03}  # Du & Mordatch 2019, with the clipping of their code
START = {
    "langevin": 0.01,
    "mala": 0.01,
    "flips": 2.0,
}  # steps; those of corrected transitions follow the acceptance from there


@dataclass(frozen=True)
class Choices:
    """The keys of conf/model/ebm.yaml that concern a transition; None for what suits the data."""

    step: float | None
    noise: float | None
    clip: float | None
    metropolis: bool | None
    flips: Literal["one", "many"]


def transition_for(data: DataSpec, choices: Choices, box: Box, *, cold: bool) -> Transition:
    """`cold`: where nobody says otherwise, the recipe for pictures. Raises GenlabError for choices that exclude each other."""
    step, noise, clip = choices.step, choices.noise, choices.clip
    if data.support == "binary":
        for key, value in (("noise", noise), ("clip", clip)):
            if value is not None:
                raise GenlabError(f"model.{key}={value}: chains of binary data flip components; leave it null")
        if choices.metropolis is False:
            raise GenlabError("model.metropolis=false: flips of binary components need the correction; leave it null")
        if choices.flips == "one" and step is not None:
            raise GenlabError(f"model.step={step}: with model.flips=one there is no step; leave it null")
        return SingleFlip(1.0) if choices.flips == "one" else ManyFlips(step or START["flips"])
    if choices.metropolis or (choices.metropolis is None and not cold):
        if noise is not None:
            raise GenlabError(
                f"model.noise={noise}: corrected chains have the noise sqrt(2 step); leave it null, or set model.metropolis=false"
            )
        if step is not None and step > longest_in(box):
            raise GenlabError(
                f"model.step={step}: corrected chains in [-1, 1] take steps of at most {longest_in(box):g}; set a shorter one, "
                "or leave it null"
            )
        return Mala(step or START["mala"], clip, box)
    if cold:
        step, noise, clip = (
            step or PICTURES["step"],
            PICTURES["noise"] if noise is None else noise,
            clip or PICTURES["clip"],
        )
    step = step or START["langevin"]
    return Langevin(step, thermal(step) if noise is None else noise, clip, box)
