"""Labels in a file of their own: an array (array_files.py), or text with one label a line."""

from pathlib import Path

import numpy as np

from genlab.data.array_files import Array, is_array_file, read_arrays
from genlab.errors import GenlabError

TEXT = (".txt", ".csv", ".tsv", ".dat", "")


def read_labels(key: str, path: str) -> Array:
    """The labels in the file `path`. Raises GenlabError, which names `key`, where it holds none."""
    file = Path(path).expanduser()
    if is_array_file(file) or file.suffix.lower() not in TEXT:
        found = read_arrays(key, path)
        if len(found) != 1:
            raise GenlabError(f"{key}={path}: holds the arrays {found.listing}; keep one")
        return next(iter(found.values()))
    try:
        lines = [line.strip().strip('"') for line in file.read_text("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise GenlabError(f"{key}={path}: cannot be read ({reason}); name a file with one label a line") from error
    while lines and not lines[-1]:
        lines.pop()
    if "" in lines:
        raise GenlabError(f"{key}={path}: line {lines.index('') + 1} is empty; write one label a line")
    if not lines:
        raise GenlabError(f"{key}={path}: is empty; write one label a line")
    return np.array(lines)
