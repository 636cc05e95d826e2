"""What is due when, in a training that counts the examples it has seen."""

from collections.abc import Sequence
from dataclasses import dataclass

SETS = 10
"""Sets of pictures of a training, the last one at its end."""
MOST_KEPT = 100
"""Sets of pictures that stay in a run folder beside the last one, however many a user asks for."""


@dataclass(frozen=True)
class Cadence:
    """Numbers of examples between two events of a kind."""

    log: int
    """Means of the training losses."""
    eval: int
    """Evaluation on the validation split."""
    checkpoint: int
    sample: Sequence[int]
    """Pictures: the numbers of examples at which a set is due."""

    def due(self, before: int, seen: int) -> set[str]:
        """Names of what is due after an update that began at `before` examples and ended at `seen`.

        "keep" is for a set of pictures that stays in the run folder; others are shown until the next one.
        """
        every = {"log": self.log, "eval": self.eval, "checkpoint": self.checkpoint}
        due = {name for name, distance in every.items() if seen // distance > before // distance}
        if isinstance(self.sample, range):  # of as many as a user likes
            step = self.sample.step
            kept = step * -(-len(self.sample) // MOST_KEPT)
            return due | {name for name, d in (("sample", step), ("keep", kept)) if d and seen // d > before // d}
        return due | ({"sample", "keep"} if any(before < moment <= seen for moment in self.sample) else set())


def early_and_late(length: int) -> list[int]:
    """Moments of a training of `length` examples at which pictures show most: early ones are closer together.

    The first SETS - 1 of (k / SETS)^2 of the length, without those before the first example; the end is one of its own.
    """
    return sorted({k * k * length // SETS**2 for k in range(1, SETS)} - {0})


def thinned(moments: Sequence[int], most: int) -> list[int]:
    """At most `most` of the moments, evenly spaced among them."""
    most = max(0, most)
    if len(moments) <= most:
        return list(moments)
    return [moments[(2 * k + 1) * len(moments) // (2 * most)] for k in range(most)]
