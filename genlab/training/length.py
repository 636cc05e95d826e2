"""The `train` section of the configuration: how long, in batches of what size, and what happens how often."""

from dataclasses import dataclass

from genlab.config.types import Count
from genlab.data.dataset import Binarize
from genlab.errors import GenlabError
from genlab.optimizers.algorithms import Betas
from genlab.optimizers.recipe import Schedule


@dataclass(frozen=True)
class Preferred:
    """The `preferred` section, where a model's file says what suits it; data sets and optimizers look it up."""

    examples: Count
    binarize: Binarize
    schedule: Schedule
    lr: dict[str, float]
    betas: Betas | None = None
    """Of Adam and AdamW. Runs older than this key have none."""
    epochs: Count | None = None
    """In the place of `examples`: passes over the training split. Runs older than this key have none."""


@dataclass(frozen=True)
class Training:
    """The `train` section: length, and cadence in examples seen."""

    epochs: Count | None
    """Length in passes over the training split ..."""
    examples: Count | None
    """... or in examples; where both are null, the model's own default."""
    batch_size: Count
    log_every: Count | None
    """Examples between two records of training losses; null for 200 records a run."""
    eval_every: Count | None
    """Examples between two evaluations on the validation split; null for once an epoch, 20 times a run at most."""
    sample_every: Count | None
    """Examples between two sets of pictures; null for 10 a run, once an epoch at most."""
    checkpoint_every: Count | None
    """Examples between two checkpoints; null for as often as evaluations."""

    def __post_init__(self) -> None:
        if self.epochs is not None and self.examples is not None:
            raise GenlabError(f"train.epochs={self.epochs} and train.examples={self.examples}: set one of the two")

    def total(self, epoch: int, default: int, cut: bool = False) -> int:
        """Length in examples, where an epoch has `epoch` of them. Raises GenlabError where one batch is longer than that,
        unless the last batch is `cut` to what remains.
        """
        total = self.epochs * epoch if self.epochs is not None else self.examples or default
        if self.batch_size > total and not cut:
            raise GenlabError(
                f"train.batch_size={self.batch_size}: the whole training sees {total:,} examples; set a smaller batch"
            )
        return total

    def cadence(self, epoch: int, total: int) -> dict[str, int]:
        seldom = max(epoch, total // 20)
        return {
            "log": self.log_every or max(1, total // 200),
            "eval": self.eval_every or seldom,
            "sample": self.sample_every or max(epoch, total // 10),
            "checkpoint": self.checkpoint_every or seldom,
        }
