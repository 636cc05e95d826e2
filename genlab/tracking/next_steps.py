"""Commands that are printed for the user to type next: they work as printed."""

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from genlab.tracking.console import BESIDE


def to_type(command: str, *words: object) -> str:
    """`genlab COMMAND WORDS` as it can be typed here, quoted where a shell would read a word in its own way."""
    return " ".join([program(), *(shlex.quote(str(word)) for word in (command, *words))])


def below_each_other(steps: Sequence[str]) -> str:
    """Commands one a line, as they stand beside the word `next` on the console."""
    return f"\n{BESIDE * ' '}".join(steps)


def program() -> str:
    """`genlab` where the PATH leads to this installation, else the path of its program."""
    found = shutil.which("genlab")
    own = next(_own_programs(), None)
    if own is None:
        return "genlab" if found else f"{shlex.quote(sys.executable)} -m genlab"
    if found and Path(found).samefile(own):
        return "genlab"
    here = Path.cwd()
    return shlex.quote(str(own.relative_to(here) if own.is_relative_to(here) else own))


def _own_programs() -> Iterator[Path]:
    """Where the program of this installation may lie: beside its Python, or where it was started from."""
    beside = shutil.which("genlab", path=str(Path(sys.executable).parent))
    started = Path(sys.orig_argv[1]) if len(sys.orig_argv) > 1 else Path()
    for path in ([Path(beside)] if beside else []) + ([started] if started.stem == "genlab" else []):
        if path.is_file():
            yield path.absolute()
