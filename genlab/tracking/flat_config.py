"""The configuration as a flat table of hyperparameters, for TensorBoard and for the trackers of others."""

from collections.abc import Mapping
from typing import Any

from genlab.config.schema import family_of

APART = ("name", "tag", "note")
"""Keys that say nothing of what is learned, and so do those that begin with one of NOT_SHOWN."""
NOT_SHOWN = ("tracker", "preferred.", "dataset.root", "model.trunk")


def parameters(config: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """The configuration as flat 'section.key' -> value."""
    flat: dict[str, bool | int | float | str] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= parameters(value, name + ".")
        elif key == "_target_":
            flat[prefix.rstrip(".")] = family_of(str(value).rpartition(".")[2])
        elif isinstance(value, bool | int | float | str):
            flat[name] = value
        else:
            flat[name] = "null" if value is None else str(value)
    return {name: value for name, value in flat.items() if name not in APART and not name.startswith(NOT_SHOWN)}
