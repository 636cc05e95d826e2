"""The parameters of a trained run as the start of another training (init=RUN).

All that the state of its model holds is copied, where name and shape fit: parameters, running averages, running statistics, the
states of persistent chains. What describes the data (their scale and their moments) is that of the new data, and the optimizer
starts anew. A network that was trained on data in standard units so sees the new data in standard units, too.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from genlab.config.schema import family_of
from genlab.errors import GenlabError
from genlab.experiment.opening import TrainedRun
from genlab.models.base import Model
from genlab.models.scaling import Scaling
from genlab.networks.trunk import Trunk
from genlab.tracking.console import prose

NAMED = 3  # names that a message has room for


def copy_parameters(opened: TrainedRun, model: Model) -> dict[str, Any]:
    """Copy into the untrained `model` what fits of a trained one; returns what run.json says of it, and prints it in a line.

    Raises GenlabError where nothing fits, and where parameters are fitted in closed form.
    """
    place, own = f"init={opened.run.path}", family_of(type(model).__name__)
    for one in (model, opened.model):
        if one.closed_form:
            raise GenlabError(
                f"{place}: model={family_of(type(one).__name__)} is fitted in closed form, so it gives and takes no start; "
                "leave init out"
            )
    theirs, mine = _learned(opened.model), _learned(model)
    fitting = {name: value for name, value in theirs.items() if name in mine and mine[name].shape == value.shape}
    parameters = {name for name, _ in model.named_parameters()}
    taken = parameters & set(fitting)
    if not taken:
        raise GenlabError(
            f"{place}: no parameter of its model={family_of(type(opened.model).__name__)} has the name and the shape of one of "
            f"this model={own}; start from a run of the same model and data of the same shape, or leave init out"
        )
    model.load_state_dict({**model.state_dict(), **fitting})
    left = [name for name in mine if name not in fitting and name in parameters]
    why = [
        f"{name} ({_size(theirs[name])} there, {_size(mine[name])} here)" if name in theirs else f"{name} (not there)"
        for name in left
    ]
    unused = [name for name in theirs if name not in mine]
    line = (
        f"starts from {opened.run.path} at {opened.examples:,} examples: {len(taken)} of {len(parameters)} parameters"
    )
    line += f"; these do not fit, and start at random: {_few(why)}" if why else ""
    line += f"; without a place here: {_few(unused)}" if unused else ""
    prose(line)
    return {"run": str(opened.run.path), "examples": opened.examples, "parameters": len(taken), "not_taken": left}


def _learned(model: Model) -> dict[str, Tensor]:
    """Name -> value of all in the state of a model but what describes its data."""
    described = set(_of_the_data(model))
    return {name: value for name, value in model.state_dict().items() if name not in described}


def _of_the_data(model: Model) -> Iterator[str]:
    yield from model.of_the_data
    for name, part in model.named_modules():
        if isinstance(part, Scaling | Trunk):
            yield from (f"{name}.shift", f"{name}.scale")


def _few(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"
