"""What better samples cost: their Frechet distance by each sampler of a family, against evaluations of the network."""

from dataclasses import dataclass
from typing import Any

from genlab.evaluation.cost import network_evaluations
from genlab.evaluation.generated import Reference
from genlab.inference.sampling import draw
from genlab.metrics.estimate import Estimate
from genlab.metrics.frechet import fid
from genlab.models.abilities import HasSamplers
from genlab.models.base import GenerativeModel


@dataclass(frozen=True)
class Effort:
    sampler: str
    steps: int
    evaluations: int
    """Of the network, for one sample."""
    fid: Estimate

    def as_dict(self) -> dict[str, Any]:
        return {
            "sampler": self.sampler,
            "steps": self.steps,
            "evaluations": self.evaluations,
            "fid": self.fid.value,
            "stderr": self.fid.stderr,
        }


def quality_by_effort(
    model: GenerativeModel, reference: Reference, steps: list[int], seed: int, **options: Any
) -> list[Effort]:
    """FID of as many samples as the reference compares, from the same noise, by each sampler of the family in so many `steps`."""
    assert isinstance(model, HasSamplers)
    samplers: tuple[str, ...] = model.samplers
    found = []
    for sampler in samplers:
        for number in steps:
            chosen = {**options, "sampler": sampler, "steps": number}
            samples = draw(model, reference.n, seed, **chosen)
            distance = fid(reference.features, reference.space.features(samples).double())
            found.append(Effort(sampler, number, network_evaluations(model, seed, **chosen), distance))
    return found
