"""The `train` and `preferred` sections of the configuration: the length of a training, its batches, its cadence."""

from dataclasses import dataclass

from genlab.config.types import Count, NonNegative
from genlab.data.representation import Binarize
from genlab.errors import GenlabError
from genlab.optimizers.algorithms import Betas
from genlab.optimizers.recipe import Schedule
from genlab.training.cadence import Cadence, early_and_late


@dataclass(frozen=True)
class Preferences:
    """The `preferred` section: what suits a model, as its file in conf says. Data sets and optimizers look it up."""

    examples: Count
    binarize: Binarize
    schedule: Schedule
    lr: dict[str, float]
    betas: Betas | None = None
    """Of Adam and AdamW. Older runs lack this key."""
    epochs: Count | None = None
    """Passes over the training split, in the place of `examples`. Older runs lack this key."""


@dataclass(frozen=True)
class TrainSection:
    """The `train` section: length and batch size, and a cadence in examples seen."""

    epochs: Count | None
    """Length in passes over the training split ..."""
    examples: Count | None
    """... or in examples. Where both are null, the model's own default."""
    batch_size: Count
    log_every: Count | None
    """Examples between two records of training losses; null for 200 records a run."""
    eval_every: Count | None
    """Examples between two evaluations on the validation split; null for once an epoch, 20 times a run at most."""
    sample_every: Count | None
    """Examples between two sets of pictures; null for 10 a run, early ones closer together."""
    checkpoint_every: Count | None
    """Examples between two checkpoints; null for as often as evaluations."""
    evaluation_budget: NonNegative | None = 0.5
    """Most that pictures and measures may cost, as a share of the training; null for no limit. Older runs lack this key.

    Looks at the state of the model may cost a quarter of it more.
    """
    accumulate: Count = 1
    """Parts in which an update goes through its batch, one after the other, for a device of little memory. Older runs lack it."""
    patience: Count | None = None
    """Evaluations without a lower validation loss after which the training stops; null: it never does. Older runs lack it."""

    def __post_init__(self) -> None:
        if self.epochs is not None and self.examples is not None:
            raise GenlabError(f"train.epochs={self.epochs} and train.examples={self.examples}: set one of the two")

    def length(self, epoch: int, default: int, cut_last: bool = False) -> int:
        """Length in examples, where an epoch has `epoch` of them.

        Raises GenlabError where one batch is longer than that, unless the last batch is cut to what remains.
        """
        length = self.epochs * epoch if self.epochs is not None else self.examples or default
        if self.batch_size > length and not cut_last:
            raise GenlabError(
                f"train.batch_size={self.batch_size}: the whole training sees {length:,} examples; set a smaller batch"
            )
        return length

    def cadence(self, epoch: int, length: int) -> Cadence:
        """Of a training of `length` examples, where an epoch has `epoch` of them."""
        seldom = max(epoch, length // 20)
        return Cadence(
            log=self.log_every or max(1, length // 200),
            eval=self.eval_every or seldom,
            checkpoint=self.checkpoint_every or seldom,
            sample=early_and_late(length)
            if self.sample_every is None
            else range(self.sample_every, length, self.sample_every),
        )
