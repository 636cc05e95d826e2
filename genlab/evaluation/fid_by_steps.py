"""What better samples cost: their Frechet distance by each sampler of a family, against evaluations of the network."""

from dataclasses import dataclass
from typing import Any

from genlab.evaluation.cost import network_evaluations
from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.inference.sampling import draw
from genlab.metrics.estimate import Estimate
from genlab.metrics.frechet import fid
from genlab.models.abilities import HasSamplers
from genlab.models.base import GenerativeModel
from genlab.plots.charts import quality_against_cost

OF_A_SAMPLER = ("sampler", "steps", "eta")


@dataclass(frozen=True)
class FidAtSteps:
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


def fid_by_steps(context: EvaluationContext, findings: Findings) -> None:
    """FID of as many samples as the reference compares, from the same noise, by each sampler with each number of steps."""
    if not context.settings.fid_steps:
        return
    model, reference, seed = context.model, context.reference, context.settings.seed
    assert isinstance(model, HasSamplers)
    assert isinstance(model, GenerativeModel)
    common = {key: value for key, value in context.options.items() if key not in OF_A_SAMPLER}
    found = []
    with context.settings.precision():
        for sampler in model.samplers:
            for steps in context.settings.fid_steps:
                options = {**common, "sampler": sampler, "steps": steps}
                samples = draw(model, reference.n, seed, **options)
                distance = fid(reference.features, reference.space.features(samples.x).double())
                found.append(FidAtSteps(sampler, steps, network_evaluations(model, seed, **options), distance))
    findings.facts["efforts"] = [one.as_dict() for one in found]
    findings.pictures["efforts"] = quality_against_cost(found, reference.floor["fid"])
