"""Changes of the configuration that may mend a model: a key, and how its value should change.

Diagnoses state candidates, and a family adds those of its own keys (`Model.remedies`). Which of them fit a run is decided in
one place (evaluation/remedies.py): only keys that the model has, and values that its constructor takes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = object()
"""The value wanted cannot be told, because the present one follows from the data; its direction can."""

Change = Callable[[Any], Any]
"""The present value -> the one wanted; None where the present one is right already, UNKNOWN where none can be told."""


@dataclass(frozen=True)
class Candidate:
    key: str
    """As it is typed, such as model.beta; `model` itself stands for another family."""
    change: Change
    direction: str
    """In words, such as 'a smaller'."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Other keys and the values that they must have, so that this one acts at all."""


def lower(key: str, times: float | None = None, *, to: Any = None, **where: Any) -> Candidate:
    """Down to the value `to` where it is above; else, and without `to`, by the factor `times`.

    Where nothing is set (null) there is no bound yet, and `to` is one. `where` are keys of the model.
    """

    def change(value: Any) -> Any:
        if value is None:
            return UNKNOWN if to is None else to
        if to is not None and value > to:
            return to
        return _scaled(value, times) if times is not None else None

    return Candidate(key, change, "a smaller", _of_model(where))


def higher(key: str, times: float | None = None, *, to: Any = None, **where: Any) -> Candidate:
    """Up to the value `to` where it is below; else, and without `to`, by the factor `times`."""

    def change(value: Any) -> Any:
        if value is None:
            return UNKNOWN if to is None else to
        if to is not None and value < to:
            return to
        return _scaled(value, times) if times is not None else None

    return Candidate(key, change, "a larger", _of_model(where))


def fewer(key: str, **where: Any) -> Candidate:
    """A list without its last entry."""
    return Candidate(key, lambda value: value[:-1] if value and len(value) > 1 else None, "fewer", _of_model(where))


def choose(key: str, value: Any, **where: Any) -> Candidate:
    return Candidate(key, lambda now: None if now == value else value, "another", _of_model(where))


def family(name: str) -> Candidate:
    """Another family, as model= spells it."""
    return choose("model", name)


def _of_model(where: Mapping[str, Any]) -> dict[str, Any]:
    return {f"model.{key}": value for key, value in where.items()}


def _scaled(value: Any, times: float | None) -> Any:
    """`value`, or each of a list of them, times a factor: floats to two digits, counts to integers of 1 and more."""
    assert times is not None
    if isinstance(value, list):
        return [_scaled(v, times) for v in value]
    if isinstance(value, int):
        return max(1, round(value * times))
    return float(f"{value * times:.2g}")
