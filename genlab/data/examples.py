"""Examples as they are stored: in memory, or on disk and fetched by index."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from genlab.data.labels import UNLABELLED


class Store(Protocol):
    """Anything that gives examples by index: a tensor in memory, or pictures on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Tensor:
        """The examples at `index` (int64, shape (n,)) as a tensor of shape (n, *shape), uint8 or float32."""
        ...


@runtime_checkable
class Prefetching(Protocol):
    """A store that can read ahead while the model computes."""

    def prefetch(self, index: Tensor) -> None:
        """Start to read the examples at `index`, which are needed next."""
        ...


@dataclass(frozen=True)
class Examples:
    """N examples in their stored form, with labels where these exist."""

    x: Store
    """Integer grey values 0..levels-1 (uint8), or float32; (N, *shape)."""
    y: Tensor | None
    """Class of each example, int64, shape (N,); -1 for an example without a label."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        first = self.x[:1] if isinstance(self.x, Tensor) else self.x[torch.zeros(1, dtype=torch.int64)]
        return tuple(first.shape[1:])

    def take(self, index: Tensor) -> Tensor:
        """The stored examples at `index`, which may lie on any device, shape (n, *shape)."""
        return self.x.index_select(0, index.to(self.x.device)) if isinstance(self.x, Tensor) else self.x[index]

    def subset(self, index: Tensor) -> "Examples":
        """The examples at `index`, int64, shape (n,). Examples on disk stay there."""
        x = self.take(index) if isinstance(self.x, Tensor) else _Subset(self.x, index)
        return Examples(x, None if self.y is None else self.y[index.to(self.y.device)])

    def to(self, device: torch.device) -> "Examples":
        """The same examples; what is in memory is moved to `device`."""
        x = self.x.to(device) if isinstance(self.x, Tensor) else self.x
        return Examples(x, None if self.y is None else self.y.to(device))

    def labelled(self) -> "Examples":
        """The labelled examples."""
        if self.y is None or bool((self.y != UNLABELLED).all()):
            return self
        return self.subset((self.y != UNLABELLED).nonzero().squeeze(1))


@dataclass(frozen=True)
class _Subset:
    """The examples of `store` at `index`, int64, shape (N,)."""

    store: Store
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Tensor) -> Tensor:
        return self.store[self.index[index.cpu()]]

    def prefetch(self, index: Tensor) -> None:
        if isinstance(self.store, Prefetching):
            self.store.prefetch(self.index[index.cpu()])
