"""What a user's mistake looks like: one line that names the key, the value and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class GenlabError(Exception):
    """A mistake that the user can mend. It ends the command with one line and exit code 2, never with a traceback."""


class NonFiniteError(GenlabError):
    """Training produced a value that is not a number. Nothing is masked: the run stops and names where it arose."""


class InterruptedRun(GenlabError):
    """The run was asked to stop (SIGINT or SIGTERM), saved a checkpoint, and can be resumed."""

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
