"""One line for an error that a user can correct."""

import errno
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from genlab.errors import GenlabError, did_you_mean

WRITING = {
    getattr(errno, name)
    for name in [
        "EIO",
        "ENOSPC",
        "EDQUOT",
        "EFBIG",
        "EROFS",
        "EACCES",
        "EPERM",
        "ENOTDIR",
        "EEXIST",
        "ENOENT",
        "EISDIR",
        "ELOOP",
        "ENAMETOOLONG",
    ]
    if hasattr(errno, name)
}

LIBRARIES = ("hydra.", "omegaconf.", "antlr4.")


def explain(error: BaseException, command: str, overrides: Sequence[str] | None = None) -> str | None:
    """What went wrong and how to correct it, in one line; None for an error that is genlab's own fault.

    `overrides` are those of the command line by default.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, GenlabError):
            return _one_line(str(cause))
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, MemoryError) or re.search(
        r"out of memory|not enough memory|can't allocate memory", str(error)
    ):
        return "the memory of this device does not suffice; set a smaller train.batch_size, a smaller model, or n"
    if type(error).__module__.startswith(LIBRARIES) or _raised_in(error).startswith(LIBRARIES):
        return _one_line(_explain_hydra(error, command, sys.argv[1:] if overrides is None else overrides))
    return explain_os_error(error) if isinstance(error, OSError) else None


def _raised_in(error: BaseException) -> str:
    """Module whose code raised `error`: Hydra also reports mistakes of the command line as plain ValueErrors."""
    trace, module = error.__traceback__, ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return module


def explain_os_error(error: OSError) -> str | None:
    if error.errno in WRITING:
        place = f" {error.filename}" if error.filename else ""
        return _one_line(f"cannot write{place} ({error.strerror}); make room or permit it, or set hydra.run.dir=FOLDER")
    return None


def _explain_hydra(error: BaseException, command: str, overrides: Sequence[str]) -> str:
    from hydra.errors import OverrideParseException

    from genlab.commands.list import GROUPS, names

    text = str(error)
    if isinstance(error, OverrideParseException):
        reason = error.message.split("\n")[0]
        return f"{error.override}: this cannot be read ({reason}); quote special characters, as in 'key=\"a value\"'"
    if match := re.search(r"Could not find '(\w+)/([^']*)'", text):
        group, name = match.groups()
        if group in GROUPS:
            return f"{group}={name}: there is no such {group}; {did_you_mean(name, names(group))}"
    if match := re.search(r"Could not override '(hydra\.[^']*)'", text):
        return f"{match[1]} is not a key of Hydra's own configuration; see genlab {command} --cfg hydra"
    if match := re.search(r"Could not override '([^']*)'", text):
        full = match[1]
        if match := re.search(r"Key '([^']*)' is not in struct\s+full_key: (\S+)", str(error.__cause__ or error)):
            full = match[2]
        return _no_such_key(full, command, overrides)
    if match := re.search(r"Key '([^']*)' is not in struct\s+full_key: (\S+)", text):
        return _no_such_key(match[2], command, overrides)
    if match := re.search(r"Environment variable '(\w+)' not found", text):
        return f"environment variable {match[1]} is not set; set it, or name the value on the command line"
    if isinstance(error.__cause__, OSError):
        return str(error.__cause__)
    return text


def _no_such_key(full: str, command: str, overrides: Sequence[str]) -> str:
    """The message for an unknown key: it names the nearest key of this configuration, or the possible ones."""
    from hydra.errors import HydraException

    from genlab.commands.list import GROUPS

    choices = _choices_made(GROUPS, overrides)
    try:
        config = _composed(command, choices)
    except HydraException:  # a choice is mistaken too
        choices = {}
        config = _composed(command, choices)
    keys = _flatten(config) | set(GROUPS if command in ("train", "benchmark") else ())
    section, _, name = full.rpartition(".")
    siblings = {key.removeprefix(section + ".") for key in keys if section and key.startswith(section + ".")}
    hint = did_you_mean(name, siblings) if siblings else did_you_mean(full, keys)
    if hint.startswith("did you mean"):
        hint = hint.replace("'", f"'{section}.", 1) if siblings else hint
    else:
        shown = sorted(siblings or {key.partition(".")[0] for key in keys})
        hint = f"choose one of: {', '.join(key for key in shown if not key.startswith('_'))}"
    chosen = f"{section}={choices[section]}" if section in choices else "the configuration"
    return f"{full} is not a key of {chosen}; {hint}"


def _choices_made(groups: Iterable[str], overrides: Sequence[str]) -> dict[str, str]:
    """Group -> the choice made in it; in a sweep the first one."""
    found = {}
    for argument in overrides:
        key, _, value = argument.partition("=")
        if key in groups and value:
            found[key] = value.partition(",")[0]
    return found


def _composed(command: str, choices: dict[str, str]) -> dict[Any, Any]:
    """The configuration of a command with these choices of groups."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_module("genlab.conf", version_base="1.3"):
        config = compose(command, [f"{key}={value}" for key, value in choices.items()])
    found = OmegaConf.to_container(config, resolve=False)
    assert isinstance(found, dict)
    return found


def _flatten(config: dict[Any, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in config.items():
        keys.add(f"{prefix}{key}")
        if isinstance(value, dict):
            keys |= _flatten(value, f"{prefix}{key}.")
    return keys


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", "; ", text.strip())
