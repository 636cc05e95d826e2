"""Examples in a model's own representation, drawn once for all measures of an evaluation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from genlab.data.batches import Batch, in_order
from genlab.data.examples import Examples
from genlab.data.representation import Representation
from genlab.numerics.rng import seeded

BATCH = 500
MOST_KEPT = 2**27  # components of all examples that are kept: 0.5 GB


def represented(examples: Examples, represent: Representation, seed: int, device: torch.device) -> Iterable[Batch]:
    """All `examples` in batches of BATCH, with the same draws of their representation (dynamic binarisation) each time.

    The batches are kept in memory. Examples on disk, and more than MOST_KEPT components, are represented anew for each pass.
    """
    batches = _Batches(examples, represent, seed, device)
    in_memory = isinstance(examples.x, Tensor) and examples.x.numel() <= MOST_KEPT
    return list(batches) if in_memory else batches


@dataclass(frozen=True)
class _Batches:
    examples: Examples
    represent: Representation
    seed: int
    device: torch.device

    def __iter__(self) -> Iterator[Batch]:
        stream = in_order(self.examples, self.represent, batch_size=BATCH, device=self.device)
        for number in count():
            with seeded(self.seed, "evaluate", number, device=self.device):
                batch = next(stream, None)
            if batch is None:
                return
            yield batch
