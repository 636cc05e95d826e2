"""Hydra's command line, as people type it: flags anywhere, and a mistyped one found before Hydra prints its usage."""

import re

from genlab.errors import GenlabError, did_you_mean


def arrange(arguments: list[str]) -> list[str]:
    """Overrides first, flags with their values after them: Hydra 1.3 takes no override behind a flag.

    Raises GenlabError for a flag that does not exist and for a word that is neither a flag nor key=value.
    """
    from hydra._internal.utils import get_args_parser

    actions = get_args_parser()._option_string_actions
    overrides, flags, rest = [], [], list(arguments)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            overrides.append(_override(word))
            continue
        name, has_value, _ = word.partition("=")
        if name not in actions:
            raise GenlabError(f"{word} is no option; {did_you_mean(name, actions)}")
        flags.append(word)
        action = actions[name]
        takes_value = (
            action.nargs != 0 and not has_value and rest and not rest[0].startswith("-") and "=" not in rest[0]
        )
        if takes_value and (not action.choices or rest[0] in action.choices):
            flags.append(rest.pop(0))
    return overrides + flags


def _override(word: str) -> str:
    key, equals, value = word.partition("=")
    if equals and "=" in value and not re.search(r"[\[\]{}()'\"]", value):
        return f"{key}='{value}'"  # Hydra takes an '=' within a value, as in the name of a folder, only in quotes
    if equals or word.startswith("~"):
        return word
    from genlab.commands.list import GROUPS, names

    for group in GROUPS:
        if word in names(group):
            raise GenlabError(f"'{word}' is not of the form key=value; did you mean {group}={word}?")
    key = re.sub(r"\W.*", "", word)
    raise GenlabError(f"'{word}' is not of the form key=value; write for example {key or 'seed'}=1")
