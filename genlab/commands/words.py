"""Words of the command line as the user types them, rewritten so that Hydra reads what is meant.

Hydra's grammar takes neither ~ nor most special characters in a value that is not quoted, and the shell has eaten the quotes.
"""

import re
from pathlib import Path
from typing import Literal

PATHS = ("run", "samples", "anomaly", "dataset.path", "dataset.root", "dataset.labels", "model.start")
"""Keys whose value is a path even where it holds no slash."""

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


def readable(word: str, sweeping: bool) -> str:
    """key=value with the value in quotes where it is a path, or has an '=', that Hydra cannot read otherwise."""
    key, _, value = word.partition("=")
    if "/" not in value and "=" not in value and key.lstrip("+") not in PATHS:
        return word
    is_one, several = _kind(word) == "one", sweeping and "," in value and not Path(value).exists()
    if is_one or (_kind(word) == "sweep" and (several or not Path(value).exists())):
        return word
    values = value.split(",") if several else [value]
    quoted = [one if _kind(f"{key}={one}") == "one" else _in_quotes(one) for one in values]
    return f"{key}={','.join(quoted)}"


def _kind(word: str) -> Literal["one", "sweep", "unreadable"]:
    """What Hydra makes of an override: one value, several to sweep over, or nothing."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return "sweep" if OverridesParser.create().parse_override(word).is_sweep_override() else "one"
    except HydraException:
        return "unreadable"


def _in_quotes(value: str) -> str:
    return "'" + value.replace("'", "\\'") + "'"
