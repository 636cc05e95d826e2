"""The one place where a configuration becomes objects.

YAML in conf/ holds the defaults; a constructor's signature is the schema: its parameters are the allowed keys, its
annotations their types and ranges. Every mistake becomes one line that names the key, the value and what is allowed.
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import PydanticUndefined

from genlab.config.targets import locate
from genlab.errors import GenlabError, did_you_mean

INJECTED = {"self", "data", "optimizer", "raw", "create"}  # arguments that code supplies, never a configuration


LENGTHS = ("train", "preferred")
LARGEST, LARGEST_LENGTH = 10**9, 2**63 - 1
"""Whole numbers: of things that are kept or done at once; in the sections LENGTHS of examples to see, and seeds."""

KINDS = {
    "list": "a list",
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "dictionary": "a section with keys",
}
"""pydantic's name of a type -> ours."""


def check(values: Mapping[str, Any], key: str, *targets: Callable[..., Any]) -> list[dict[str, Any]]:
    """Sort `values` into keyword arguments for each of `targets`, checked against their signatures.

    Types are strict (no '3' for 3, no true for 1), but for 1e4 where a whole number is meant. Raises GenlabError naming
    `key`.<name> (<name> where `key` is empty: the keys of a command itself), the value and what is allowed.
    """
    parameters = [keys_of(target) for target in targets]
    known = {name for schema in parameters for name in schema}
    for name in values:
        if name not in known and name != "_target_":
            raise GenlabError(
                f"{_place(key, name)} is not a key of {key or 'this command'}; {did_you_mean(name, known)}"
            )
    sorted_out = []
    for schema in parameters:
        model = create_model(
            "Keys", __config__=ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False), **schema
        )
        mine = {name: values[name] for name in schema if name in values}
        try:
            # Values are validated, not converted: 1 stays 1 where a float is meant.
            checked = _validate(model, mine)
        except ValidationError as error:
            raise GenlabError(_describe(error, key, model, mine)) from None
        sorted_out.append({name: getattr(checked, name) for name in mine})
        for name, value in sorted_out[-1].items():
            _refuse_beyond(LARGEST_LENGTH if key in LENGTHS or name == "seed" else LARGEST, value, _place(key, name))
    return sorted_out


def _refuse_beyond(largest: int, value: object, place: str) -> None:
    """Raises GenlabError for a whole number in `value` that nothing can hold or count to."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            _refuse_beyond(largest, item, f"{place}[{i}]")
    elif isinstance(value, int) and abs(value) > largest:
        raise GenlabError(f"{place}={value}: should be {largest:,} at most")


def keys_of(target: Callable[..., Any]) -> dict[str, Any]:
    """Key -> (type, default) of everything that a configuration may give `target`; PydanticUndefined for no default.

    Arguments that several targets share are stated once, in a typed dictionary (`**shared: Unpack[...]`), and count as its own.
    """
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        if name in INJECTED:
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            (shared,) = typing.get_args(hints[name])
            for key, hint in typing.get_type_hints(shared, include_extras=True).items():
                if key in shared.__required_keys__:
                    found[key] = (hint, PydanticUndefined)
                else:  # of NotRequired[type] the type
                    found[key] = (typing.get_args(hint)[0], None)
        else:
            default = PydanticUndefined if parameter.default is inspect.Parameter.empty else parameter.default
            found[name] = (hints.get(name, Any), default)
    return found


def _validate(model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    """`values` as an object of `model`; 1e4 is taken where a whole number is meant."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        mended = values
        for problem in error.errors():
            given, place = problem["input"], problem["loc"]
            if isinstance(given, float) and given.is_integer() and problem["type"] == "int_type":
                mended = _with(mended, place, int(given))
        if mended is values:
            raise
        return model.model_validate(mended)


def _with(container: Any, place: tuple[int | str, ...], value: object) -> Any:
    """A copy of nested dictionaries and lists with another value at `place`; words in it that name a type lead nowhere."""
    if not place:
        return value
    if isinstance(container, dict) and place[0] in container:
        return {**container, place[0]: _with(container[place[0]], place[1:], value)}
    if isinstance(container, list) and isinstance(place[0], int):
        return [_with(item, place[1:], value) if i == place[0] else item for i, item in enumerate(container)]
    return _with(container, place[1:], value)


def _describe(error: ValidationError, key: str, model: type[BaseModel], values: dict[str, Any]) -> str:
    first = error.errors()[0]
    name, *inner = first["loc"]
    place = _place(key, name) + "".join(f"[{i}]" for i in inner if isinstance(i, int))
    if first["type"] == "missing":
        return f"{place} is missing; set it, as conf/{key}/*.yaml does"
    of_value = [e for e in error.errors() if e["loc"][0] == name]
    messages = [e["msg"] for e in of_value]
    if first["type"] == "literal_error":
        expected = [e["ctx"]["expected"] for e in of_value if e["type"] == "literal_error"]
        allowed = [word for words in expected for word in re.findall(r"'([^']*)'", words) or [words]]
        if numbers := dict.fromkeys(_wanted(e["msg"]) for e in of_value if e["type"] != "literal_error"):
            return f"{place}={_show(first['input'])}: should be {' or '.join([*allowed, *numbers])}"
        if _valid(model, {**values, str(name): None}):
            allowed.append("null")
        return f"{place}={first['input']}: {did_you_mean(str(first['input']), allowed)}"
    wanted = " or ".join(dict.fromkeys(_wanted(m) for m in messages))
    return f"{place}={_show(first['input'])}: should be {wanted}{_right_value(model, values, str(name), key)}"


def _right_value(model: type[BaseModel], values: dict[str, Any], name: str, key: str) -> str:
    """'; did you mean key=[256]?' where the value is right but for its brackets, or for null in the words of Python.

    A list of values, each of them right, is told how a sweep is written.
    """
    given = values[name]
    guesses: list[Any] = [[given]] if isinstance(given, int | float | str) else []
    guesses += given if isinstance(given, list) and len(given) == 1 else []
    guesses += [None] if isinstance(given, str) and given.lower() in ("none", "nil", "nan") else []
    for guess in guesses:
        if not _valid(model, {**values, name: guess}):
            continue
        shown = f"[{_show(guess[0])}]" if isinstance(guess, list) else _show(guess)
        return f"; did you mean '{_place(key, name)}={shown}'?"
    if isinstance(given, list) and len(given) > 1 and all(_valid(model, {**values, name: one}) for one in given):
        return f"; several values are a sweep: -m {_place(key, name)}={','.join(map(_show, given))}"
    return ""


def _valid(model: type[BaseModel], values: dict[str, Any]) -> bool:
    try:
        _validate(model, values)
    except ValidationError:
        return False
    return True


def _place(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _wanted(message: str) -> str:
    """The expected type, from pydantic's 'Input should be a valid integer' and 'List should have at least 1 item after ...'."""
    message = message.removeprefix("Input should be ").removeprefix("a valid ")
    message = re.sub(r"^List should have (at \w+ \d+ items?) after.*", r"a list of \1", message)
    return KINDS.get(message, message)


def _show(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def family_of(name: str) -> str:
    """The name of a class as model= spells it: VAE -> vae, GaussianRBM -> gaussian_rbm."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers with every interpolation resolved."""
    missing = OmegaConf.missing_keys(config)
    if missing:
        name = sorted(missing)[0]
        raise GenlabError(f"{name}=??? has no value; set {name}=...")
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return typing.cast(dict[str, Any], container)


def build(values: Mapping[str, Any], key: str, **injected: Any) -> Any:
    """The object that `values` with its `_target_` describes, made with checked keys and the injected arguments."""
    target = locate(values.get("_target_"), key)
    (arguments,) = check(values, key, target)
    return target(**injected, **arguments)


def differing_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """'key: old value -> new value' for every key in which two configurations differ."""
    lines = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differing_keys(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key}: {a} -> {b}")
    return lines
