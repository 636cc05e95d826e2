"""The stream of training batches: device-resident examples, gathered by index, in an order that can be resumed anywhere.

No worker processes and no per-image Python: a batch is one gather and one conversion. The stream of shuffled indices
runs on across epochs, so that every batch is full and shapes never change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genlab.data.examples import Examples, Prefetching
from genlab.data.representation import Representation
from genlab.numerics import shares
from genlab.numerics.rng import derive


@dataclass(frozen=True)
class Batch:
    x: Tensor
    """Examples in the data's support, float32, shape (n, *shape)."""
    y: Tensor | None
    """Classes, int64, shape (n,); None for unlabelled data."""
    progress: float | Tensor
    """Share of the training done before this batch, in [0, 1); a scalar tensor in recorded updates (training/cuda_graphs.py)."""
    labelled: "Batch | None" = None
    """Another batch of labelled examples, for a family that asks for it where few examples have a label."""

    def linear_warmup(self, share: float) -> float | Tensor:
        """Weight that rises linearly from 0 to 1 over the first `share` of the training; 1 from the start where `share` is 0."""
        if not share:
            return 1.0
        if isinstance(self.progress, Tensor):
            return (self.progress / share).clamp_max(1)
        return min(1.0, self.progress / share)


class Batches:
    """`examples` training examples in full batches; which ones is a function of (seed, position) alone.

    With `cut_last` the last batch holds no more than what remains, so that the examples handed out are exactly `examples`, and
    in one epoch each is handed out once. The position `seen` counts examples handed out. Nothing else needs to be saved.

    Where batches are dealt out (numerics/shares.py), this process hands out its share of each: one for every turn of an update.

    With `labelled_beside` each batch comes with another one of labelled examples, shuffled and repeated in the same way; they do
    not count as seen.
    """

    def __init__(
        self,
        data: Examples,
        represent: Representation,
        *,
        batch_size: int,
        examples: int,
        seed: int,
        device: torch.device,
        cut_last: bool = False,
        labelled_beside: bool = False,
    ) -> None:
        self.data, self.represent, self.cut_last = data, represent, cut_last
        self.batch_size, self.examples, self.seed, self.device = batch_size, examples, seed, device
        self.seen = 0
        self._orders: dict[int, Tensor] = {}
        self.beside: Batches | None = None
        if labelled_beside and data.y is not None:
            self.beside = Batches(
                data.labelled(), represent, batch_size=batch_size, examples=examples, seed=seed, device=device
            )

    def __iter__(self) -> Iterator[Batch]:
        # Asked once: the answer takes longer than a small operation.
        ahead = self.data.x if isinstance(self.data.x, Prefetching) else None
        while self.seen < self.examples:
            progress, indices = self.progress, self.claim()
            for _ in shares.each_turn():
                if ahead is not None and shares.last_turn() and self.seen < self.examples:
                    ahead.prefetch(shares.mine(self._indices(self.seen), turn=0))
                yield self.gather([shares.mine(index) for index in indices], progress)

    def claim(self) -> list[Tensor]:
        """Indices of the next batch, which from now on counts as seen, and of the labelled examples beside it if any."""
        indices = [self._indices(self.seen)]
        if self.beside is not None:
            indices.append(self.beside._indices(self.seen))
        self.seen += len(indices[0])
        return indices

    def gather(self, indices: Sequence[Tensor], progress: float | Tensor) -> Batch:
        """The batch of such indices as `claim` names."""
        index, *others = indices
        labelled = self.beside.gather(others, progress) if self.beside is not None and others else None
        stored = self.data.take(index).to(self.device, non_blocking=True)
        y = None if self.data.y is None else self.data.y[index]
        return Batch(self.represent(stored), y, progress, labelled)

    @property
    def epoch(self) -> int:
        """Number of complete passes over the training split."""
        return self.seen // len(self.data)

    @property
    def progress(self) -> float:
        """Share of the training done, in [0, 1]."""
        return min(1.0, self.seen / self.examples)

    def _permutation(self, epoch: int) -> Tensor:
        if epoch not in self._orders:
            generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
            order = torch.randperm(len(self.data), generator=generator).to(self.device)
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1} | {epoch: order}
        return self._orders[epoch]

    def _indices(self, position: int) -> Tensor:
        size = min(self.batch_size, self.examples - position) if self.cut_last else self.batch_size
        epoch, start = divmod(position, len(self.data))
        index = self._permutation(epoch)[start : start + size]
        while len(index) < size:  # the batch runs on into the next epoch
            epoch += 1
            index = torch.cat([index, self._permutation(epoch)[: size - len(index)]])
        return index

    def state_dict(self) -> dict[str, int]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, int]) -> None:
        if not 0 <= state["seen"] < self.examples + self.batch_size:
            raise ValueError(f"{state['seen']:,} examples seen of {self.examples:,}")
        self.seen = int(state["seen"])


def in_order(data: Examples, represent: Representation, *, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """One pass over `data` in its own order, for evaluation; of a part of a split see subsets.py."""
    for index in torch.split(torch.arange(len(data)), batch_size):
        stored = data.take(index.to(device)).to(device)
        y = None if data.y is None else data.y[index.to(device)]
        yield Batch(represent(stored), y, 1.0)
