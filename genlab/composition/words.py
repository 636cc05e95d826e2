"""Words of the command line as the user types them, rewritten so that Hydra reads what is meant.

Hydra's grammar takes neither ~ nor most special characters in a value that is not quoted, and the shell has eaten the quotes.
"""

import os
import re
import shlex
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import ListConfig, OmegaConf

TEXT = (
    "run",
    "samples",
    "anomaly",
    "sampler",
    "name",
    "note",
    "init",
    "dataset.path",
    "dataset.root",
    "dataset.labels",
    "dataset.key",
    "dataset.label",
    "dataset.separator",
    "model.start",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
)
"""Keys whose value is a path or a name: whatever is typed there is that text, `null` excepted."""

HOME = re.compile(r"(?<![^=,\[(\s'\"])~[\w.-]*(?=/)|(?<=[=,])~(?=,|$)")
"""~ where a path begins: the word itself, its value, or one of its values."""


def expand_home(word: str) -> str:
    """~/x and key=~/x with the user's folder in the place of ~, which a shell does at the beginning of a word only."""
    return HOME.sub(lambda match: _folder_of(match[0]), word)


def _folder_of(user: str) -> str:
    """The home folder that ~ or ~name stands for; the same word where there is none."""
    try:
        return str(Path(user).expanduser())
    except RuntimeError:
        return user


def as_typed(overrides: Iterable[str]) -> list[str]:
    """The overrides that Hydra keeps, as texts: an interpolation in them is one of the configuration, not of this list."""
    if isinstance(overrides, ListConfig):
        overrides = typing.cast(list[str], OmegaConf.to_container(overrides, resolve=False))
    return list(overrides)


def exists(path: str) -> bool:
    """Whether there is a file or folder of this name, which may be one that no file can have."""
    return os.path.exists(path)  # noqa: PTH110  (Path.exists raises for a name that is too long)


def readable(word: str, sweeping: bool) -> str:
    """key=value with its value in quotes where Hydra would not read the text that is meant.

    That is any value of a key in TEXT, and of other keys one with a '/' or an '=' that Hydra cannot read otherwise.
    """
    from hydra.core.override_parser.types import ChoiceSweep, Sweep

    key, _, value = word.partition("=")
    name = key.lstrip("+")
    if name not in TEXT and "/" not in value and "=" not in value:
        return word
    is_one = name.startswith("hydra.") or name == "note" or exists(value)
    found = _parsed(key, value)
    if isinstance(found, Sweep) and not is_one:
        listed = isinstance(found, ChoiceSweep) and found.simple_form and not set("'\"([{") & set(value)
        if not sweeping or not listed:
            return word
    is_one = is_one or not sweeping or not (isinstance(found, Sweep) or found is UNREADABLE)
    values = [value] if is_one else value.split(",")
    return f"{key}={','.join(_in_quotes(key, one, name in TEXT) for one in values)}"


UNREADABLE = object()


def _parsed(key: str, value: str) -> Any:
    """What Hydra makes of the value of an override: a number, a text, a list, a sweep, or UNREADABLE."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(f"{key}={value}")._value
    except HydraException:
        return UNREADABLE


def _in_quotes(key: str, value: str, is_text: bool) -> str:
    """`value` in quotes where Hydra cannot read it, or would read something else than a text; null is not a text."""
    from hydra.core.override_parser.types import Quote, QuotedString

    found = _parsed(key, value)
    same = isinstance(found, str) and (found == value or "\\" in value)  # a backslash is Hydra's own way to quote
    if found is None or isinstance(found, QuotedString) or same or (not is_text and found is not UNREADABLE):
        return value
    return QuotedString(value, Quote.single).with_quotes()


def pasteable(word: str) -> str:
    """'key="a value"', as it is typed so that both a shell and Hydra read its value as text."""
    from hydra.core.override_parser.types import Quote, QuotedString

    key, _, value = word.partition("=")
    return shlex.quote(f"{key}={QuotedString(value, Quote.double).with_quotes()}")
