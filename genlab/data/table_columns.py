"""What a column of a table holds: numbers, or labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "--", "?", ".", "missing", "#n/a", "-nan")
"""What stands for a value that is missing, in small letters."""
TRUE, FALSE = ("true", "yes"), ("false", "no")

Numbers = NDArray[np.float64]


def numbers_in(column: Any, decimal: str) -> tuple[Numbers, list[str]]:
    """Numbers (N,) with NaN for what is missing or no number, and the texts that are no numbers."""
    import polars

    if column.dtype in (polars.Categorical, polars.Enum):
        column = column.cast(polars.String)
    if column.dtype != polars.String:
        if column.dtype.is_numeric() or column.dtype == polars.Boolean:
            return column.cast(polars.Float64).fill_null(float("nan")).to_numpy().copy(), []
        return np.full(len(column), np.nan), [str(value) for value in column.drop_nulls().to_list()]
    text = column.str.strip_chars()
    small = text.str.to_lowercase()
    text = text.set(small.is_in(MISSING) | text.is_null(), None)
    text = text.set(small.is_in(TRUE).fill_null(False), "1").set(small.is_in(FALSE).fill_null(False), "0")
    plain = text
    if decimal == ",":
        thousands = text.str.contains(r"^[+-]?\d{1,3}(\.\d{3})+(,\d*)?$").fill_null(False)
        plain = text.zip_with(~thousands, text.str.replace_all(".", "", literal=True)).str.replace(
            ",", ".", literal=True
        )
    numbers = plain.cast(polars.Float64, strict=False)
    wrong = text.filter(numbers.is_null() & text.is_not_null()).to_list()
    return numbers.fill_null(float("nan")).to_numpy().copy(), wrong


def labels_in(column: Any) -> list[Any]:
    """Labels, None where one is missing."""
    import polars

    if column.dtype.is_numeric() or column.dtype == polars.Boolean:
        return [None if value is None or value != value else value for value in column.to_list()]
    text = column.cast(polars.String).str.strip_chars()
    found = [
        None if value is None or value == "" or value.lower() in ("nan", "na", "null") else value for value in text
    ]
    try:
        numbers = [None if value is None else float(value) for value in found]
    except ValueError:
        return found
    return numbers
