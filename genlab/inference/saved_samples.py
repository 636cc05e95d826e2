"""What `genlab sample` leaves as numbers: arrays in samples.npz, and of tables a table."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genlab.data.spec import DataSpec


def save_arrays(folder: Path, arrays: Mapping[str, npt.NDArray[Any]], data: DataSpec) -> list[Path]:
    """Write samples.npz, and samples.csv where the components of the data have names; returns these files.

    All values are in the units of the user. A table has a row for each sample, and a last column of labels where there are any.
    """
    files = [folder / "samples.npz"]
    np.savez_compressed(files[0], **arrays)  # type: ignore[arg-type]
    if data.component_names is not None and "samples" in arrays:
        files.append(folder / "samples.csv")
        labels = arrays.get("labels")
        with files[1].open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow([*data.component_names, *(() if labels is None else ("label",))])
            rows = arrays["samples"].tolist()
            writer.writerows(
                rows if labels is None else [[*row, label] for row, label in zip(rows, labels, strict=True)]
            )
    return files
