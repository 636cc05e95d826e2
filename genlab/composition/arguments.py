"""Hydra's command line: flags may stand anywhere, and a mistyped word is found before Hydra prints its usage."""

import argparse
from collections.abc import Mapping

from genlab.composition.catalogue import GROUPS, names
from genlab.composition.guesses import OF_A_RUN, mend, of_one_word
from genlab.composition.words import exists, readable
from genlab.errors import GenlabError, did_you_mean
from genlab.tracking.next_steps import to_type


def arrange(arguments: list[str], command: str) -> list[str]:
    """Overrides first, flags with their values after them: Hydra 1.3 takes no override behind a flag.

    Raises GenlabError for a flag that does not exist, one without its value, and a word that is neither flag nor key=value.
    """
    from hydra._internal.utils import get_args_parser

    actions = get_args_parser()._option_string_actions
    overrides, flags, rest = [], [], list(arguments)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.partition("=")
        if not word.startswith("-") and ((has_value and name) or word.startswith("~")):
            overrides.append(word)
            continue
        if name not in actions:
            raise GenlabError(_mistyped(word, arguments, command, actions))
        if name == "--experimental-rerun":
            raise GenlabError(f"{name} executes what a file holds; go on with a run by: {to_type('resume', 'RUN')}")
        flags.append(word)
        action = actions[name]
        if action.nargs == 0 and has_value:
            raise GenlabError(f"{word}: {name} takes no value; write {name} alone")
        if action.nargs != 0 and not has_value:
            next_is_value = bool(rest) and not rest[0].startswith("-") and ("=" not in rest[0] or exists(rest[0]))
            if next_is_value and (action.nargs is None or not action.choices or rest[0] in action.choices):
                value = rest.pop(0)
                flags.append(value)
        _refuse_bad_value(name, value, action)
    sweeping = bool({"-m", "--multirun"} & set(flags))
    overrides = [_override(word, sweeping) for word in overrides]
    if sweeping:
        overrides = _of_each_choice(overrides)
    return overrides + flags


def _mistyped(word: str, arguments: list[str], command: str, actions: Mapping[str, argparse.Action]) -> str:
    """The message for a word that is neither a flag of `actions` nor key=value: with the whole line as it is right."""
    name, equals, _ = word.partition("=")
    what = f"{name} is no option" if word.startswith("-") else f"'{word}' is not of the form key=value"
    right = mend(arguments, command, {flag: action.nargs for flag, action in actions.items()})
    if right is not None:
        return f"{what}; write: {to_type(command, *right)}"
    if word.startswith("-"):
        return f"{what}; {did_you_mean(name, [*actions, *(['--estimate', '--anew'] if command == 'train' else [])])}"
    if equals:
        return f"'{word}' has no key before the '='; write for example seed=1"
    if alone := of_one_word(word, command):
        return f"{what}; did you mean {alone}?"
    return f"{what}; write for example {'run=latest' if command in OF_A_RUN else 'seed=1'}"


def _of_each_choice(overrides: list[str]) -> list[str]:
    """In a sweep over models, or over experiments, which choose them: model.r1=1 becomes a sweep over one value.

    Otherwise Hydra looks for that key in the default model first.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException:  # which Hydra reports itself
        return overrides
    swept = {word: one.is_sweep_override() for word, one in zip(overrides, parsed, strict=True)}
    groups = {word.partition("=")[0] for word, sweeps in swept.items() if sweeps} & set(GROUPS)
    found = []
    for word in overrides:
        key, _, value = word.partition("=")
        section = key.lstrip("+").partition(".")[0]
        varies = (section in groups or ("experiment" in groups and section != "hydra")) and "." in key
        found.append(f"{key}=choice({value})" if varies and value and not swept[word] else word)
    return found


def _refuse_bad_value(name: str, value: str, action: argparse.Action) -> None:
    choices = ", ".join(map(str, action.choices or ()))
    if action.nargs is None and not value:
        raise GenlabError(
            f"{name} needs a value; " + (f"choose one of: {choices}" if choices else f"write {name} VALUE")
        )
    if value and choices and value not in choices.split(", "):
        raise GenlabError(f"{name} {value}: there is no such choice; choose one of: {choices}")


def _override(word: str, sweeping: bool) -> str:
    """An override as Hydra reads it. Raises GenlabError where it takes away what a command cannot do without."""
    key, equals, value = word.partition("=")
    if key.lstrip("+") == "hydra.output_subdir" and value != "null":
        raise GenlabError(
            f"{word}: Hydra would write there before anything is checked; genlab writes .hydra itself: leave it out"
        )
    if equals and key in GROUPS and key != "experiment" and value in ("", "null"):
        raise GenlabError(f"{word}: there must be one; choose one of: {', '.join(names(key))}")
    return readable(word, sweeping)
