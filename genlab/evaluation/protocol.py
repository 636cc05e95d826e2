"""What evaluation.json says beside the numbers: what was measured on what, and what one must know to read it."""

from genlab.evaluation.evaluation_context import EvaluationContext
from genlab.evaluation.findings import Findings
from genlab.inference.likelihood import describe
from genlab.metrics.classes import confusion_matrix
from genlab.models.abilities import HasRemarks


def protocol(context: EvaluationContext, findings: Findings) -> None:
    """The data, their representation and the seed."""
    dataset = context.dataset
    findings.facts |= {
        "data": dataset.spec.name,
        "test_examples": len(dataset.test),
        "representation": describe(dataset.spec, dataset.represent, context.model),
        "seed": context.settings.seed,
    }


def remarks(context: EvaluationContext, findings: Findings) -> None:
    """Warnings of the family about its own numbers."""
    findings.facts["remarks"] = context.model.remarks() if isinstance(context.model, HasRemarks) else []


def confusion(context: EvaluationContext, findings: Findings) -> None:
    """Counts of true against predicted classes."""
    log_p, classes = findings.log_p, findings.classes
    if log_p is not None and classes is not None:
        findings.facts["class_names"] = list(context.dataset.spec.names)
        findings.facts["confusion"] = confusion_matrix(classes, log_p.argmax(1), log_p.shape[1]).tolist()


def likelihood_methods(context: EvaluationContext, findings: Findings) -> None:
    """How each log-likelihood was found, with its log Z where there is one."""
    findings.facts["likelihoods"] = [
        {
            "name": likelihood.name,
            "kind": likelihood.kind,
            "method": likelihood.method,
            "value": likelihood.mean.value,
            "stderr": likelihood.mean.stderr,
            **likelihood.facts,
        }
        for likelihood in findings.likelihoods
    ]
