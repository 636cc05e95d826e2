"""The right words for mistaken ones: lr=0.1, --model vae, model = vae, vae alone, a list with spaces in it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genlab.composition.catalogue import GROUPS, groups_of, names
from genlab.composition.names import choice, group_of, key_name
from genlab.config.packages import configurations
from genlab.errors import did_you_mean
from genlab.tracking.next_steps import to_type

SHOW = {"dry-run", "dryrun", "dry_run", "print-config", "print_config"}
"""Flags of other programs that show a configuration and stop."""

ORDER = ("", "model", "optimizer", "train", "dataset", "device", "benchmark", "ais")
"""Sections in the order in which a key without one is looked for."""

OF_A_RUN = ("sample", "evaluate")
OPENING, CLOSING = "[({", "])}"


# A key that does not exist


def no_such_key(full: str, command: str, overrides: Sequence[str]) -> str:
    """The message for an unknown key: the words to type in its place, or the keys that there are."""
    section, _, name = full.rpartition(".")
    top = full.partition(".")[0]
    if top in GROUPS and top not in groups_of(command):
        place = "; where its data lie now is set by dataset.path or dataset.root" if top == "dataset" else ""
        return f"{full}: {command} takes a run with its own {top}; leave it out, or start a new run with genlab train{place}"
    keys, choices = keys_of_command(command, overrides)
    value = next((word.partition("=")[2] for word in overrides if word.lstrip("+").partition("=")[0] == full), "")
    place = f"{section}={choices[section]}" if section in choices else "the configuration"
    owners = owners_of(section or "model", name, command)
    right = same_keys(full, keys, command) or ([] if owners else similar_keys(full, keys))
    whole = mend_keys(overrides, keys, command)
    if right and sum(word != mended for word, mended in zip(overrides, whole, strict=True)) > 1:
        hint = f"write: {to_type(command, *whole)}"
    elif right:
        hint = "did you mean " + " or ".join(f"'{_with_value(key, value)}'" for key in right) + "?"
    elif owners and not section:
        hint = f"it is one of {owners}"
    else:
        siblings = {key.removeprefix(f"{section}.") for key in keys if section and key.startswith(f"{section}.")}
        shown = siblings or {key.partition(".")[0] for key in keys}
        place += f", but of {owners}" if owners else ""
        hint = f"choose one of: {', '.join(sorted(key for key in shown if not key.startswith('_')))}"
    return f"{full} is not a key of {place}; {hint}"


def same_keys(full: str, keys: set[str], command: str) -> list[str]:
    """The keys, with their sections, that `full` means: the same name in another section, or another name for a key."""
    section, _, word = full.rpartition(".")
    if full in ("launcher", "sweeper"):
        return [f"hydra/{full}"]
    if section in groups_of(command) and word in ("name", "type", "kind"):
        return [section]
    for name in (word, key_name(word)):
        if section and f"{section}.{name}" in keys:
            return [f"{section}.{name}"]
        found = [key for key in keys if key.rpartition(".")[2] == name and key.rpartition(".")[0] in ORDER]
        if found:
            return [name] if name in found else sorted(found, key=lambda key: ORDER.index(key.rpartition(".")[0]))
    return []


def similar_keys(full: str, keys: set[str]) -> list[str]:
    """The key that `full` resembles, of its own section where it has one."""
    section, _, word = full.rpartition(".")
    names_of = {key.rpartition(".")[2]: key for key in sorted(keys, reverse=True) if not key.startswith("preferred")}
    siblings = {key.removeprefix(f"{section}."): key for key in keys if section and key.startswith(f"{section}.")}
    known = siblings or names_of
    return [known[name] for name in re.findall(r"did you mean '(.*)'", did_you_mean(word, known))]


def _with_value(key: str, value: str) -> str:
    if key in GROUPS:
        value = choice(key, value) or value
    return f"{key}={value}" if value else key


def owners_of(group: str, word: str, command: str) -> str:
    """'model=rbm, vae': the choices of a group that have a key; nothing where there are none."""
    if group not in groups_of(command) or group == "experiment":
        return ""
    for name in (word, key_name(word)):
        if owners := [other for other in names(group) if name in keys_of_choice(group, other)]:
            return f"{group}={', '.join(owners)}"
    return ""


def keys_of_choice(group: str, name: str) -> dict[str, Any]:
    """Key -> default in conf/GROUP/NAME.yaml, of genlab's own files or of an installed package."""
    import yaml

    content = yaml.safe_load(configurations(group)[name][0].read_text()) or {}
    section: dict[str, Any] = content.get(group) or content
    return {key: value for key, value in section.items() if key not in ("_target_", "defaults")}


def choices_made(overrides: Sequence[str]) -> dict[str, str]:
    """Group -> the choice made in it; in a sweep the first one."""
    found = {}
    for argument in overrides:
        key, _, value = argument.partition("=")
        if key in GROUPS and value:
            found[key] = value.partition(",")[0]
    return found


def composed(command: str, choices: Mapping[str, str]) -> tuple[dict[Any, Any], dict[str, str]]:
    """The configuration of a command with these choices of groups, not resolved; and the choices with those by default."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    with initialize_config_module("genlab.conf", version_base="1.3"):
        config = compose(command, [f"{key}={value}" for key, value in choices.items()], return_hydra_config=True)
    made = {str(group): str(name) for group, name in config.hydra.runtime.choices.items() if name is not None}
    found = OmegaConf.to_container(config, resolve=False)
    assert isinstance(found, dict)
    del found["hydra"]
    return found, made


def flatten(config: Mapping[Any, Any], prefix: str = "") -> set[str]:
    """Every key with its sections, sections included."""
    keys: set[str] = set()
    for key, value in config.items():
        keys.add(f"{prefix}{key}")
        if isinstance(value, dict):
            keys |= flatten(value, f"{prefix}{key}.")
    return keys


# A choice that does not exist


def no_such_choice(group: str, word: str) -> str:
    """The message for an unknown choice of a group: the words to type in its place, or the choices that there are."""
    other = group_of(word)
    if right := choice(group, word):
        hint = f"did you mean '{group}={right}'?"
    elif other and other != group:
        hint = f"did you mean '{other}={choice(other, word)}'? See genlab list {group}s"
    else:
        hint = re.sub(r"mean '(.*)'", rf"mean '{group}=\1'", did_you_mean(word, names(group)))
    return f"{group}={word}: there is no such {group}; {hint}"


# Words that are neither flag nor key=value


def mend(arguments: Sequence[str], command: str, flags: Mapping[str, Any]) -> list[str] | None:
    """`arguments` of `command` as they should have been typed; None where that cannot be told.

    `flags` are those that exist, with the number of values (0, or another) that each takes.
    """
    rest, found = _joined(arguments), []
    keys: set[str] | None = None
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in flags and not (name == "--run" and command in OF_A_RUN):
            found.append(word)
            if flags[name] != 0 and not equals and rest and "=" not in rest[0] and not rest[0].startswith("-"):
                found.append(rest.pop(0))
            continue
        if not word.startswith("-") and (equals or word.startswith("~")):
            found.append(word)
            continue
        name = name.lstrip("-")
        if name in SHOW and not equals:
            found += ["--cfg", "job"]
            continue
        if not equals and (alone := of_one_word(name, command)):
            found.append(alone)
            continue
        if not equals and re.fullmatch(r"[A-Za-z_.]+:[^/\\].*", name):
            name, equals, value = name.partition(":")
        keys = keys or keys_of_command(command, found)[0]
        known = _known(name, keys, command)
        if not equals and known and rest and not rest[0].startswith("-") and "=" not in rest[0]:
            equals, value = "=", rest.pop(0)
        if not known or not equals:
            return None
        found.append(_with_value(known, value))
    sweeps = any(re.fullmatch(r"[\w.]+=[\w.,]*,[\w.,]*", word) for word in found)
    return (["-m"] if sweeps and not {"-m", "--multirun"} & set(found) else []) + mend_keys(
        found, keys_of_command(command, found)[0], command
    )


def mend_keys(words: Sequence[str], keys: set[str], command: str) -> list[str]:
    """`words` with one of `keys` in the place of each key that does not exist, where that can be told."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        known = _known(name, keys, command) if equals and re.fullmatch(r"[a-z_]\w*(\.\w+)*", name) else None
        found.append(_with_value(known, value) if known and known != name else word)
    return found


def keys_of_command(command: str, words: Sequence[str]) -> tuple[set[str], dict[str, str]]:
    """The keys of a command with the choices of groups among `words`, and all its choices."""
    try:
        config, choices = composed(command, choices_made(words))
    except Exception:  # a choice is mistaken too
        config, choices = composed(command, {})
    return flatten(config) | set(groups_of(command)), choices


def _known(name: str, keys: set[str], command: str) -> str | None:
    if name in keys or name.partition(".")[0] == "hydra" or name.startswith("+"):
        return name
    return next(iter(same_keys(name, keys, command) or similar_keys(name, keys)), None)


def of_one_word(word: str, command: str) -> str | None:
    if word == "gpu":
        return "device=gpu"
    if command in OF_A_RUN:
        return f"run={word}" if word == "latest" or Path(word).is_dir() else f"n={word}" if word.isdigit() else None
    group = group_of(word)
    return f"{group}={choice(group, word)}" if group else None


def _joined(arguments: Sequence[str]) -> list[str]:
    """'model = vae' and '[256, 64]' as one word each."""
    found: list[str] = []
    for word in arguments:
        before = found[-1] if found else ""
        opened = sum(map(before.count, OPENING)) > sum(map(before.count, CLOSING))
        ends_in_equals = before.endswith("=") and "=" not in word and not word.startswith("-")
        if found and (
            opened
            or ends_in_equals
            or ("=" in before and before.endswith(","))
            or word == "="
            or (word.startswith("=") and "=" not in before)
        ):
            found[-1] += word
        else:
            found.append(word)
    return found
