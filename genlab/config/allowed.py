"""The values that a key may take, in words, from the annotation of the argument that it becomes."""

import types
import typing
from typing import Any

KINDS = {int: "an integer", float: "a number", str: "text", bool: "true | false", dict: "a section with keys"}
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def allowed(hint: Any) -> str:
    """'an integer > 0, or null' for int | None with its range."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if {int, float, bool, str} <= set(parts):  # whatever stands in a file
        parts = ("a number or text", *(part for part in parts if part not in (int, float, bool, str)))
    words = [part if isinstance(part, str) else _of_one(part) for part in parts if part is not type(None)]
    return ", or ".join(dict.fromkeys(words + (["null"] if type(None) in parts else [])))


def _of_one(hint: Any) -> str:
    limits: list[Any] = []
    while typing.get_origin(hint) is typing.Annotated:
        hint, *extra = typing.get_args(hint)
        limits += [limit for part in extra for limit in getattr(part, "metadata", [part])]
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return allowed(hint)
    if origin is typing.Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    if origin is list:
        least = next((limit.min_length for limit in limits if hasattr(limit, "min_length")), 0)
        most = next((limit.max_length for limit in limits if hasattr(limit, "max_length")), None)
        count = f" of {least}" if most == least else f" of {least} or more" if least else ""
        return f"a list{count}, each {_of_one(typing.get_args(hint)[0])}"
    ranges = [
        f"{sign} {getattr(limit, name):g}" for limit in limits for name, sign in SIGNS.items() if hasattr(limit, name)
    ]
    return " ".join([KINDS.get(origin or hint, "a value"), " and ".join(ranges)]).rstrip()
