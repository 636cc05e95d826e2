"""Values that are not finite: the training stops, and the message names where they arose. Nothing is masked."""

from collections.abc import Callable, Mapping

from genlab.errors import NonFiniteError
from genlab.models.base import Model


def refuse_nonfinite(values: Mapping[str, float], model: Model, where: str, remedy: Callable[[], str]) -> None:
    """Raises NonFiniteError for the first of `values` that is not finite.

    The message says `where` in the training it was found, and ends with the `remedy`, which takes long to find.
    """
    for name, value in values.items():
        if not -float("inf") < value < float("inf"):
            raise NonFiniteError(f"{name} became {value} {where} ({first_nonfinite(model)}); {remedy()}")


def refuse_nonfinite_parameters(model: Model, seen: int, remedy: Callable[[], str]) -> None:
    """Raises NonFiniteError for the first parameter that is not finite after `seen` examples, with the `remedy`."""
    if name := nonfinite_parameter(model):
        raise NonFiniteError(
            f"parameter {name} is not finite at example {seen:,}; {remedy()}; checkpoints were left as they are"
        )


def first_nonfinite(model: Model) -> str:
    """The first parameter that is not finite; where all are, the first gradient."""
    if name := nonfinite_parameter(model):
        return f"the first parameter that is not finite: {name}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            return f"the first gradient that is not finite: that of {name}"
    return "parameters and gradients are finite"


def nonfinite_parameter(model: Model) -> str | None:
    """Name of the first parameter that is not finite; None where all are."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.detach().isfinite().all()):
            return name
    return None
