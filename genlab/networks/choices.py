"""What stands for a key of the configuration that the user leaves open (auto, null), noted on the part that was made of it."""

from collections.abc import Mapping
from typing import TypeVar

from torch import nn

Part = TypeVar("Part", bound=nn.Module)


def note(part: Part, **choices: object) -> Part:
    """`part`, on which is noted what was chosen: key of the section `model` -> value."""
    part.chosen = choices  # type: ignore[assignment]
    return part


def settled(keys: Mapping[str, object], model: nn.Module) -> dict[str, object]:
    """The keys of the section `model`, with what was chosen in the place of auto and null."""
    choices = choices_of(model)
    return {key: choices.get(key, value) if value in (None, "auto") else value for key, value in keys.items()}


def choices_of(model: nn.Module) -> Mapping[str, object]:
    """What was chosen by all parts of a model; the first that names a key decides."""
    found: dict[str, object] = {}
    for part in model.modules():
        found = {**getattr(part, "chosen", {}), **found}
    return found
