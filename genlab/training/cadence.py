"""What is due when, in a training that counts the examples it has seen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cadence:
    """Numbers of examples between two events of a kind."""

    log: int
    """Means of the training losses."""
    eval: int
    """Evaluation on the validation split."""
    sample: int
    """Pictures."""
    checkpoint: int

    def due(self, before: int, seen: int) -> set[str]:
        """Names of what is due after an update that began at `before` examples and ended at `seen`."""
        return {name for name, every in vars(self).items() if seen // every > before // every}
