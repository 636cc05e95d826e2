"""The IDX format of MNIST and its kin: a magic number, the dimensions, and the bytes of the array.

The first four bytes are 0, 0, a code for the element type (0x08: unsigned byte) and the number of dimensions; each
dimension follows as a big-endian 32-bit integer, then the elements in C order (LeCun, Cortes & Burges, MNIST, 1998).
A gzipped file carries a checksum, so that a damaged one cannot pass for data.
"""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genlab.errors import GenlabError

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path) -> Tensor:
    """The array in `path`, gzipped or not, as a uint8 tensor. A damaged file raises a GenlabError that names it."""
    try:
        content = path.read_bytes()
        if content.startswith(GZIP_MAGIC):
            content = gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, f"it does not unpack ({error})") from error
    except OSError as error:
        raise GenlabError(
            f"{path}: cannot be read ({error.strerror or error}); mend its permissions or point dataset.root elsewhere"
        ) from error

    if len(content) < 4 or content[:2] != b"\0\0":
        raise _damaged(path, "it does not start like an IDX file")
    kind, dimensions = content[2], content[3]
    if kind != UNSIGNED_BYTE:
        raise _damaged(path, f"its elements are of type 0x{kind:02x}, not unsigned bytes (0x08)")
    start = 4 + 4 * dimensions
    if dimensions == 0 or len(content) < start:
        raise _damaged(path, "its header is incomplete")
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) - start != prod(shape):
        raise _damaged(path, f"it holds {len(content) - start} values where its header promises {prod(shape)}")
    # The copy is what makes the array writable: the bytes object beneath it is not.
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy())


def _damaged(path: Path, why: str) -> GenlabError:
    return GenlabError(f"{path}: damaged, {why}; delete it so that it is fetched again, or copy it anew")
