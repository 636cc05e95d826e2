"""What all processes of a training decide together between two updates, so that none waits for another that has stopped.

Asking costs a message to and fro, which small updates would notice. So the processes ask every few updates, several times a
second, and whenever the first one has evaluated.
"""

import time

from genlab.numerics import ranks

APART = 0.25  # seconds between two questions
MOST = 10_000  # updates between two questions


class Agreement:
    """Of one process; all of them ask at the same updates."""

    def __init__(self) -> None:
        self.signal: int | None = None
        """Number of the signal on which all stop."""
        self.exhausted = False
        """Whether the patience of the training is at its end."""
        self._left = 1  # updates until the next question
        self._since = time.perf_counter(), 0
        self._updates = 0

    def after_update(self, signal: int | None, exhausted: bool, asked: bool = False) -> None:
        """After each update: what this process knows, a signal or the end of its patience, becomes what all know.

        With `asked`, which is the same in all of them, they ask now.
        """
        if ranks.world() == 1:
            self.signal, self.exhausted = signal, exhausted
            return
        self._updates += 1
        self._left -= 1
        if self._left > 0 and not asked:
            return
        found = ranks.greatest([signal or 0, int(exhausted), self._pause()])
        self.signal, self.exhausted, self._left = found[0] or None, bool(found[1]), found[2]

    def _pause(self) -> int:
        """Updates that take about APART seconds, as the first process finds; 1 in all others."""
        if ranks.follows():
            return 1
        now = time.perf_counter()
        (then, before), self._since = self._since, (now, self._updates)
        rate = (self._updates - before) / max(now - then, 1e-6)
        return max(1, min(MOST, int(APART * rate)))
