"""Files of a run folder, read with distrust: a run folder can come from anyone, and can be damaged.

What is read here is plain: mappings, lists, text, numbers, true, false and null, of bounded size and depth, without characters
that a terminal obeys. YAML that repeats itself by aliases ("a billion laughs") counts at its full size.
"""

import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import yaml

from genlab.errors import GenlabError

MOST_BYTES = 1 << 26
MOST_VALUES = 1_000_000
DEEPEST = 50
LARGEST = 1 << 63


def read_yaml(path: Path) -> Any:
    """The content of a YAML file. Raises FileNotFoundError, or GenlabError for one that is damaged."""
    try:
        return plain(yaml.load(_text(path), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except GenlabError as error:
        raise GenlabError(f"{path} {error}") from None
    except Exception as error:  # the constructors of PyYAML raise nearly anything for a value that lies about its type
        raise _damaged(path, error) from None


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises FileNotFoundError, or GenlabError for one that is damaged."""
    try:
        return parse_json(_text(path))
    except GenlabError as error:
        raise GenlabError(f"{path} {error}") from None
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None


def read_numbers(path: Path) -> dict[str, Any]:
    """The content of a JSON file whose mapping is read by its numbers: nothing but its size and depth is checked, which is fast.

    Texts in it are not safe to print. Raises FileNotFoundError, or GenlabError for a file that is damaged.
    """
    try:
        found = json.loads(_text(path))
    except GenlabError as error:
        raise GenlabError(f"{path} {error}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None
    return found if isinstance(found, dict) else {}


def parse_json(text: str | bytes) -> Any:
    """Raises ValueError or GenlabError for what is no JSON, or none that genlab writes."""
    try:
        return plain(json.loads(text))
    except RecursionError:
        raise GenlabError("is nested too deeply") from None


def _text(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise GenlabError(f"is larger than {MOST_BYTES >> 20} MB")
    text = path.read_text(encoding="utf-8")
    depth = deepest = 0
    for sign in re.findall(r"[][{}]", text):  # a parser in C would overrun its stack
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > 20 * DEEPEST:
        raise GenlabError("is nested too deeply")
    return text


def _damaged(path: Path, error: Exception) -> Exception:
    if isinstance(error, FileNotFoundError):
        return error
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return GenlabError(f"{path} cannot be read ({reason})")


def plain(content: Any) -> Any:
    """A copy of `content`, with signs that a terminal obeys replaced. Raises GenlabError where it is not plain, or too large."""
    left = [MOST_VALUES]

    def copy(value: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > DEEPEST:
            raise GenlabError("is nested too deeply, or repeats itself without end")
        if isinstance(value, dict):
            return {_key(key): copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [copy(item, depth + 1) for item in value]
        if isinstance(value, str):
            return printable(value)
        if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < LARGEST):
            return value
        raise GenlabError(f"holds a {type(value).__name__} where text, a number or a list is expected")

    return copy(content, 0)


def _key(key: Any) -> str | int | float | bool | None:
    if isinstance(key, str):
        return printable(key)
    if key is None or isinstance(key, bool | int | float):
        return key
    raise GenlabError(f"holds a {type(key).__name__} as a key")


def printable(text: str) -> str:
    """`text` without what moves a terminal's cursor, colours it, or turns the direction of reading."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs") else "\ufffd" for c in text)


def check_folder(folder: Path) -> None:
    """Raises GenlabError where the run folder holds a link that leads out of it, or something that is neither file nor folder."""
    root = folder.resolve()
    for place, inside, names in os.walk(root):
        for path in (Path(place, name) for name in (*inside, *names)):
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise GenlabError(
                    f"run={folder}: {path.relative_to(root)} is a link that leads out of the folder, to {path.readlink()}; "
                    "put what it leads to in its place"
                )
            if not (path.is_file() or path.is_dir() or path.is_symlink()):
                raise GenlabError(f"run={folder}: {path.relative_to(root)} is neither a file nor a folder; remove it")
