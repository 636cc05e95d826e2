"""Code of the user's own: what the command line and the user's own configuration name may be imported, never a run folder's."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from genlab.config.targets import ALLOW, SECTIONS, allow, targets_of_genlab

COMMANDS = ("train", "resume", "sample", "evaluate", "benchmark")
"""The commands that build what a configuration names."""


@contextmanager
def allowed(words: Sequence[str]) -> Iterator[list[str]]:
    """Within the block `allow=PATH,PATH` among the words of a command holds; yields the other words.

    Modules beside the folder of --config-dir are found, after all others.
    """
    kept = os.environ.get(ALLOW)
    allow(*(target for word in words if word.startswith("allow=") for target in word[len("allow=") :].split(",")))
    sys.path += [str(folder) for folder in _beside(words) if str(folder) not in sys.path]
    try:
        yield [word for word in words if not word.startswith("allow=")]
    finally:
        os.environ.pop(ALLOW, None)
        os.environ.update({} if kept is None else {ALLOW: kept})


def _beside(words: Sequence[str]) -> Iterator[Path]:
    for word, following in pairwise([*words, ""]):
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            yield Path(value if equals else following).absolute().parent


def allow_composed(config: Mapping[str, Any]) -> None:
    """Let what `config` names be built: Hydra composed it from the user's own files and words."""
    for section in SECTIONS:
        part = config.get(section)
        target = part.get("_target_") if isinstance(part, Mapping) else None
        if isinstance(target, str) and target not in targets_of_genlab(section):
            allow(target)
