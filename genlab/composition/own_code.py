"""Code of the user's own: what the command line and the user's own configuration name may be imported, never a run folder's."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from genlab.config.packages import TARGET, USERS
from genlab.config.targets import ALLOW, SECTIONS, allow, is_installed

COMMANDS = ("train", "resume", "sample", "evaluate", "benchmark", "export")
"""The commands that build what a configuration names."""


@contextmanager
def allowed(words: Sequence[str]) -> Iterator[list[str]]:
    """Within the block `allow=PATH,PATH` among the words of a command holds; yields the other words.

    The folder of --config-dir is the user's own: its choices are known, what its files name may be built, and modules beside it
    are found, after all others.
    """
    kept, folders = os.environ.get(ALLOW), [folder for folder in _folders(words) if folder.is_dir()]
    allow(*(target for word in words if word.startswith("allow=") for target in word[len("allow=") :].split(",")))
    allow(*(target for folder in folders for target in _targets_in(folder)))
    sys.path += [str(folder.parent) for folder in folders if str(folder.parent) not in sys.path]
    USERS[:] = folders
    try:
        yield [word for word in words if not word.startswith("allow=")]
    finally:
        USERS.clear()
        os.environ.pop(ALLOW, None)
        os.environ.update({} if kept is None else {ALLOW: kept})


def _folders(words: Sequence[str]) -> Iterator[Path]:
    for word, following in pairwise([*words, ""]):
        flag, equals, value = word.partition("=")
        if flag in ("--config-dir", "-cd"):
            yield Path(value if equals else following).absolute()


def _targets_in(folder: Path) -> Iterator[str]:
    """Import paths that the files of a folder of configurations name and that are not installed."""
    for section in SECTIONS:
        for file in sorted((folder / section).glob("*.yaml")):
            yield from (name for name in TARGET.findall(file.read_text()) if not is_installed(name, section))


def allow_composed(config: Mapping[str, Any]) -> None:
    """Let what `config` names be built: Hydra composed it from the user's own files and words."""
    for section in SECTIONS:
        part = config.get(section)
        target = part.get("_target_") if isinstance(part, Mapping) else None
        if isinstance(target, str) and not is_installed(target, section):
            allow(target)
