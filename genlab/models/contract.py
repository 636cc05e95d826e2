"""What a family of the user's own gives is checked against the contract (base.py), where it first shows: a line in place of a
fault deep in genlab.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from genlab.errors import GenlabError
from genlab.models.base import Metrics, Model


def checked_updates(model: Model, loop: Any) -> Iterator[Metrics]:
    """`loop`, what `train_loop` gave. Raises GenlabError where it is no generator, or does not yield scalars by name."""
    if not hasattr(loop, "__next__"):
        given = "returns nothing" if loop is None else f"returns a {type(loop).__name__}"
        raise _breach(model, "train_loop", f"{given}; it should yield {{'loss': loss.detach()}} after each update")
    return _first_checked(model, loop)


def _first_checked(model: Model, loop: Iterator[Metrics]) -> Iterator[Metrics]:
    for number, metrics in enumerate(loop):
        if number == 0:
            _check_metrics(model, metrics)
        yield metrics


def _check_metrics(model: Model, metrics: object) -> None:
    should = "it should yield a mapping of names to scalars, such as {'loss': loss.detach()}"
    if not isinstance(metrics, Mapping) or not metrics:
        raise _breach(model, "train_loop", f"yields {_described(metrics)}; {should}")
    for name, value in metrics.items():
        if not isinstance(value, Tensor) or value.shape != ():
            raise _breach(model, "train_loop", f"yields {_described(value)} as {name!r}; {should}")
        if value.requires_grad:
            raise _breach(model, "train_loop", f"yields {name!r} with its graph; it should yield {name}.detach()")


def check_state(model: Model, state: object, n: int) -> None:
    """Raises GenlabError where a `state` of `sample_loop` is no tensor of n examples."""
    shape = (n, *model.data.shape)
    if not isinstance(state, Tensor) or tuple(state.shape) != shape:
        raise _breach(model, "sample_loop", f"yields {_described(state)}; it should yield examples of shape {shape}")


def check_measures(model: Model, measures: object, n: int) -> None:
    """Raises GenlabError where `evaluate` does not give one value for each of n examples by name."""
    should = f"it should give one value an example by name, each of shape ({n},)"
    if not isinstance(measures, Mapping):
        raise _breach(model, "evaluate", f"returns {_described(measures)}; {should}")
    for name, values in measures.items():
        if not isinstance(values, Tensor) or values.shape != (n,):
            raise _breach(model, "evaluate", f"returns {_described(values)} as {name!r}; {should}")


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return "a number" if value.shape == () else f"a tensor of shape {tuple(value.shape)}"
    return "nothing" if value is None else f"a {type(value).__name__}"


def _breach(model: Model, method: str, what: str) -> GenlabError:
    kind = type(model)
    return GenlabError(f"{kind.__module__}.{kind.__name__}.{method} {what}; see genlab/models/README.md")
