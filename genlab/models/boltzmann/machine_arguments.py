"""The arguments that restricted Boltzmann machines share."""

from typing import Annotated, TypedDict

from pydantic import Field

from genlab.config.types import Count, Fraction, NonNegative, Share
from genlab.models.boltzmann.negative_phase import Negative


class MachineArguments(TypedDict):
    """What conf/model/rbm.yaml and conf/model/gaussian_rbm.yaml have in common."""

    hidden: Count | None
    negative: Negative
    k: Count
    chains: Count
    temperatures: Annotated[int, Field(ge=2)]
    mean_field: bool
    centred: bool
    average: Share
    sparsity: NonNegative
    sparsity_target: Fraction
    conditional: bool
