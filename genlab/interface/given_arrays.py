"""Arrays that Python gives as data, kept in a file of their own, so that the command line finds the data of such a run."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from genlab.errors import GenlabError

FOLDER = Path("outputs/data")


@dataclass(frozen=True)
class Kept:
    """The .npz file that holds given arrays."""

    file: Path
    new: bool
    """Whether it was not there before."""

    def in_words(self, line: str) -> str:
        """A message about the file as one about what was given."""
        return re.sub(rf"(dataset\.path=)?{re.escape(str(self.file.absolute()))}", "data", line)


def keep(data: object, labels: object = None) -> Kept:
    """Write `data` and `labels` to a file whose name is a hash of their content, unless it is there.

    `data` is an array (n, ...), or a mapping with x_train (y_train) and x_test (y_test), as dataset=array takes them. Raises
    GenlabError where it is none.
    """
    if isinstance(data, Mapping):
        if labels is not None:
            raise GenlabError(
                "labels: data holds several arrays; put y_train and y_test beside x_train and x_test there"
            )
        arrays = {str(name): _array(f"data['{name}']", values) for name, values in data.items()}
    else:
        arrays = {"x": _array("data", data)} | ({} if labels is None else {"y": _array("labels", labels)})
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    file = FOLDER / f"{digest.hexdigest()[:16]}.npz"
    new = not file.exists()
    if new:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.stem}.{os.getpid()}.npz")
        np.savez(partial, **arrays)  # type: ignore[arg-type]
        partial.replace(file)
    return Kept(file, new)


def _array(name: str, values: object) -> npt.NDArray[Any]:
    if isinstance(values, torch.Tensor):
        halves = values.dtype in (torch.bfloat16, torch.float16)  # numpy has no bfloat16
        return (values.float() if halves else values).detach().cpu().numpy()
    array = np.asarray(values)
    if array.dtype == object:  # a table's column of text
        texts = all(isinstance(value, str) for value in array.flat)
        if not texts:
            kinds = ", ".join(sorted({type(value).__name__ for value in array.flat}))
            raise GenlabError(f"{name}: holds Python objects ({kinds}); give numbers, or texts as labels")
        array = array.astype(str)
    if array.ndim == 0:
        raise GenlabError(f"{name}={values!r}: is no array of examples; give an array (n, ...) of numpy or torch")
    return array
