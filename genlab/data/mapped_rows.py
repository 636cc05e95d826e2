"""Examples that stay in one large file, a .npy, and are read by index: data larger than memory.

The file is mapped, so that the system keeps in memory what it has room for. A batch reads its own rows only; of several processes
that share a training each reads its share.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from genlab.data.array_files import Array
from genlab.data.read_ahead import ReadAhead


class MappedRows:
    """The rows of a mapped array x (N, ...), uint8 or else float32, as a store (examples.py)."""

    def __init__(self, x: Array) -> None:
        self.x = x
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._ahead = ReadAhead(
            lambda wanted: [self._thread.submit(self._read, torch.tensor(wanted, dtype=torch.int64))]
        )

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor) -> Tensor:
        (rows,) = self._ahead.take(index)
        return rows.result()

    def prefetch(self, index: Tensor) -> None:
        self._ahead.prefetch(index)

    def _read(self, index: Tensor) -> Tensor:
        order = index.argsort()  # in the order of the file
        kind = np.uint8 if self.x.dtype == np.uint8 else np.float32
        rows = torch.from_numpy(np.array(self.x[index[order].numpy()], kind, order="C"))
        found = torch.empty_like(rows)
        found[order] = rows
        return found


def is_mapped(x: Array) -> bool:
    """Whether the values of x lie in a file that is mapped."""
    base: object = x
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap):
            return True
        base = base.base
    return False
