"""The 8x8 handwritten digits that scikit-learn ships: always there, no network, seconds to train on.

1797 images with grey values 0..16 (Alpaydin & Kaynak 1998, the test part of UCI's optical recognition of handwritten
digits). Its file is read directly, since importing scikit-learn takes longer than training on it.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genlab.data.dataset import RawData
from genlab.data.examples import Examples
from genlab.errors import GenlabError

COLUMNS = 64 + 1  # the pixels, then the class


def digits() -> RawData:
    """Images (1797, 1, 8, 8) of 17 grey levels, in ten classes; no official test split."""
    table = _table()
    images = table[:, :-1].to(torch.uint8).reshape(-1, 1, 8, 8)
    return RawData("digits", Examples(images, table[:, -1].contiguous()), None, levels=17, num_classes=10)


def _table() -> Tensor:
    """The published table, int64, shape (1797, 65)."""
    package = importlib.util.find_spec("sklearn")
    if package is None:
        raise GenlabError("dataset=digits: scikit-learn, which ships it, is missing; pip install scikit-learn")
    for folder in package.submodule_search_locations or ():
        try:
            table = np.loadtxt(Path(folder) / "datasets" / "data" / "digits.csv.gz", delimiter=",")
        except (OSError, ValueError):
            continue
        if table.shape[1:] == (COLUMNS,):
            return torch.from_numpy(table).long()

    from sklearn.datasets import load_digits  # a release that keeps its files elsewhere

    pixels, classes = load_digits(return_X_y=True)
    return torch.from_numpy(np.column_stack([pixels, classes])).long()
