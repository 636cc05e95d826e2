"""What a user's mistake looks like: one line that names the key, the value and the remedy."""

import re
import sys
from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_LINE = 300
"""Characters of a message."""
LONGEST_WORD = 90
"""Characters to which a long word is cut where the message would be longer."""


class GenlabError(Exception):
    """A mistake that the user can mend. It ends the command with one line and exit code 2, never with a traceback."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class NonFiniteError(GenlabError):
    """Training produced a value that is not a number. Nothing is masked: the run stops and names where it arose."""


class InterruptedRun(KeyboardInterrupt):
    """The run was asked to stop (SIGINT or SIGTERM), saved a checkpoint, and can be resumed.

    It is no GenlabError: a loop that catches mistakes and goes on ends with Ctrl-C.
    """

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """'; did you mean X?' when one of `allowed` resembles `word`, else the list of what is allowed."""
    allowed = sorted(allowed)
    lower = {name.lower(): name for name in reversed(allowed)}
    close = [word] if word in allowed else get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{lower.get(close[0], close[0])}'?"
    return f"choose one of: {', '.join(allowed)}" if allowed else "nothing is allowed here"


def complain(message: str) -> None:
    """The one way in which a command says what went wrong: a line on standard error."""
    print(in_one_line(f"genlab: error: {message}"), file=sys.stderr)


def in_one_line(text: str) -> str:
    """`text` as a line of LONGEST_LINE printable characters at most.

    Where it is longer, long words (values and paths, as a rule) are cut in the middle first, and then the line itself: the key
    stands at its beginning, the remedy at its end.
    """
    text = re.sub(r"\s*\n\s*", "; ", text.strip())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
    if len(line) > LONGEST_LINE:
        line = " ".join(_cut(word, LONGEST_WORD) for word in line.split(" "))
    return _cut(line, LONGEST_LINE)


def _cut(text: str, most: int) -> str:
    """`text` without its middle, where it is longer than `most` characters."""
    if len(text) <= most:
        return text
    kept = most - 3
    return f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
