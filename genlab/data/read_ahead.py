"""Batches that are read from disk while the model computes."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from torch import Tensor

T = TypeVar("T")
Index = tuple[int, ...]


class ReadAhead(Generic[T]):
    """`begin` starts to read the examples at an index, in one piece or in several."""

    def __init__(self, begin: Callable[[Index], list[Future[T]]]) -> None:
        self.begin = begin
        self._ahead: dict[Index, list[Future[T]]] = {}

    def take(self, index: Tensor) -> list[Future[T]]:
        """The pieces of a batch: those that are under way, or else new ones."""
        wanted = tuple(index.tolist())
        return self._ahead.pop(wanted, None) or self.begin(wanted)

    def prefetch(self, index: Tensor) -> None:
        """Begin to read the examples at `index`, which will be asked for together and soon."""
        wanted = tuple(index.tolist())
        if wanted in self._ahead:
            return
        while len(self._ahead) > 1:  # an abandoned batch, left by a stream that ended early
            for piece in self._ahead.pop(next(iter(self._ahead))):
                piece.cancel()
        self._ahead[wanted] = self.begin(wanted)
