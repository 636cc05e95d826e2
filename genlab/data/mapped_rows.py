"""Examples that stay in one large file, a .npy, and are read by index: data larger than memory.

The file is mapped, so that the system keeps in memory what it has room for. A batch reads its own rows only; of several processes
that share a training each reads its share.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from genlab.data.array_files import Array


class MappedRows:
    """The rows of a mapped array x (N, ...), uint8 or else float32, as a store (examples.py)."""

    def __init__(self, x: Array) -> None:
        self.x = x
        self._ahead: dict[tuple[int, ...], Future[Tensor]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> Tensor:
        found = self._ahead.pop(tuple(index.tolist()), None) if self._ahead else None
        return self._read(index) if found is None else found.result()

    def prefetch(self, index: Tensor) -> None:
        """Begin to read the rows at `index`, which will be asked for together and soon."""
        wanted = tuple(index.tolist())
        if wanted in self._ahead:
            return
        while len(self._ahead) > 1:  # an abandoned batch, left by a stream that ended early
            self._ahead.pop(next(iter(self._ahead))).cancel()
        self._ahead[wanted] = self._thread.submit(self._read, index)

    def _read(self, index: Tensor) -> Tensor:
        order = index.argsort()  # in the order of the file
        rows = np.array(self.x[index[order].numpy()], np.uint8 if self.x.dtype == np.uint8 else np.float32, order="C")
        found = torch.from_numpy(rows)
        back = torch.empty_like(found)
        back[order] = found
        return back


def is_mapped(x: Array) -> bool:
    """Whether the values of x lie in a file that is mapped."""
    base: object = x
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False
