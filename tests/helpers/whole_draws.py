"""Random draws of one batch, whoever computes it: one process draws all of it, each of several draws its own rows of the same.

A dispatch mode stands in place of torch's generators. The n-th draw of an update is a function of n alone. Where a shape has the
examples of one share along an axis, a process of several takes its rows of the draw of the whole batch. So two processes can be
held against one, to the last digits.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SHARE, PROCESSES = 11, 2
"""Examples of a share, a number that no other axis has, and shares of a batch."""
WHOLE = SHARE * PROCESSES


class WholeDraws(TorchDispatchMode):
    """Of share `rank` of a batch; without it, of the whole batch."""

    def __init__(self, rank: int | None) -> None:
        super().__init__()
        self.rank, self.count, self.update = rank, 0, 0  # of the draws of this update, and of the updates

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if "attention" in name:  # draws for dropout only, which no model here has
            return func(*args, **kwargs)
        self.count += 1
        return getattr(self, f"_{name}")(*args, **kwargs)

    # How a whole draw is made, and what of it belongs to this process.

    def _generator(self, *more: int) -> torch.Generator:
        return torch.Generator().manual_seed(hash((self.update, self.count, *more)) % 2**60)

    def _rows(self, shape: Any, draw: Callable[[list[int]], Tensor]) -> Tensor:
        shape = list(shape)
        if self.rank is None:
            return draw(shape)
        for axis, size in enumerate(shape):
            if size and size % SHARE == 0:
                groups = size // SHARE
                drawn = draw([*shape[:axis], groups * WHOLE, *shape[axis + 1 :]])
                whole: Tensor = drawn.unflatten(axis, (groups, WHOLE))
                own = whole.index_select(axis + 1, torch.arange(self.rank, WHOLE, PROCESSES))
                return own.flatten(axis, axis + 1)
        return draw(shape)

    def _uniforms(self, shape: Any) -> Tensor:
        return self._rows(shape, lambda s: torch.rand(s, generator=self._generator(), dtype=torch.float64))

    def _normals(self, shape: Any) -> Tensor:
        return self._rows(shape, lambda s: torch.randn(s, generator=self._generator(), dtype=torch.float64))

    # torch's own operations.

    def _rand(self, size: Any, **_: Any) -> Tensor:
        return self._uniforms(size).to(torch.get_default_dtype())

    def _randn(self, size: Any, **_: Any) -> Tensor:
        return self._normals(size).to(torch.get_default_dtype())

    def _rand_like(self, x: Tensor, **_: Any) -> Tensor:
        return self._uniforms(x.shape).to(x.dtype)

    def _randn_like(self, x: Tensor, **_: Any) -> Tensor:
        return self._normals(x.shape).to(x.dtype)

    def _normal_(self, x: Tensor, mean: float = 0.0, std: float = 1.0, **_: Any) -> Tensor:
        return x.copy_(self._normals(x.shape) * std + mean)

    def _uniform_(self, x: Tensor, low: float = 0.0, high: float = 1.0, **_: Any) -> Tensor:
        return x.copy_(self._uniforms(x.shape) * (high - low) + low)

    def _bernoulli(self, p: Tensor, **_: Any) -> Tensor:
        return (self._uniforms(p.shape) < p).to(p.dtype)

    def _bernoulli_(self, x: Tensor, p: Any = 0.5, **_: Any) -> Tensor:
        return x.copy_(self._uniforms(x.shape) < p)

    def _native_dropout(self, x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
        mask = self._uniforms(x.shape) >= p
        return x * mask / (1 - p), mask

    def _randint(self, *bounds_and_size: Any, **kwargs: Any) -> Tensor:
        *bounds, size = bounds_and_size
        low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
        found: Tensor = (self._uniforms(size) * (high - low)).floor().long() + low
        return found.to(kwargs.get("dtype") or torch.int64)

    def _multinomial(self, p: Tensor, n: int, replacement: bool = False, **_: Any) -> Tensor:
        assert n == 1 or replacement
        edges = p.cumsum(-1) / p.sum(-1, keepdim=True)
        u = self._uniforms([*p.shape[:-1], n])
        found: Tensor = torch.searchsorted(edges.contiguous(), u.to(edges.dtype)).clamp_max(p.shape[-1] - 1)
        return found

    def _randperm(self, n: int, **_: Any) -> Tensor:
        """Of a whole batch, or of all slots, the orders of the shares in turns: what each process draws for its own."""

        def of_share(share: int, size: int) -> Tensor:
            return torch.randperm(size, generator=self._generator(share))

        if n % WHOLE == 0:  # of the whole: the same in every process
            size = n // PROCESSES
            return torch.stack([of_share(s, size) * PROCESSES + s for s in range(PROCESSES)], 1).flatten()
        assert n % SHARE == 0, n
        return of_share(self.rank or 0, n)


def largest_difference(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Between two states of one model, of whatever they hold; infinite where they do not hold the same."""
    if a.keys() != b.keys():
        return math.inf
    tensors = [(a[name], b[name]) for name in a if isinstance(a[name], Tensor)]
    return max(float((x.double() - y.double()).abs().nan_to_num(nan=0.0).max()) for x, y in tensors if x.numel())
