"""The user's own table: a CSV, TSV or Parquet file with a row for each example.

`columns` are the components of an example, in this order; null for all columns of numbers but the label. `label` is the column of
classes, text or whole numbers. Rows that lack a value are named, and left out with `missing=drop`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from genlab.data.arrays import arrays_as_raw
from genlab.data.dataset import RawData
from genlab.data.table_columns import Numbers, labels_in, numbers_in
from genlab.data.table_files import FORMATS, Table, read_table
from genlab.errors import GenlabError, did_you_mean

SIGNS = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|", "point": "."}
"""Names of signs that a shell would take for itself."""
MOST_NAMED = 4  # columns in a message

Column = str | int


def table(
    *,
    path: str | None,
    columns: Annotated[list[Column], Field(min_length=1)] | None,
    label: Column | None,
    missing: Literal["drop"] | None,
    separator: Annotated[str, Field(min_length=1)] | None,
    decimal: Literal["comma", "point"] | None,
    header: bool | None,
    standardise: bool | Literal["auto"],
) -> RawData:
    """The rows of the file `path` as vectors of its `columns`, with classes from the column `label`."""
    if not path:
        raise GenlabError(f"dataset.path=null: set dataset.path to {FORMATS}")
    where = f"dataset.path={path}"
    sign = None if separator is None else SIGNS.get(separator, separator)
    if sign is not None and len(sign) != 1:
        raise GenlabError(f"dataset.separator={separator}: is one sign or its name ({', '.join(SIGNS)}); null finds it")
    found = read_table("dataset.path", path, sign, None if decimal is None else SIGNS[decimal], header)
    of_label = None if label is None else _place(found, label, "dataset.label", where)
    values, remarks = _components(found, columns, of_label, where, drop=missing == "drop")
    names = list(values)
    x = np.stack(list(values.values()), 1)
    y = None if of_label is None else labels_in(found.frame[str(of_label)])
    if np.isinf(x).any():
        k = int(np.isinf(x).any(0).argmax())
        raise GenlabError(
            f"{where}: column {names[k]} is infinite in {int(np.isinf(x[:, k]).sum()):,} rows; mend them, or choose columns "
            "without it"
        )
    lacking = np.isnan(x)
    rows = np.asarray(lacking.any(1))
    if y is not None:
        rows |= np.array([value is None for value in y])
    if rows.any():
        if missing is None:
            raise GenlabError(_of_missing(where, names, lacking, None if y is None else (label, y), int(rows.sum())))
        if rows.all():
            raise GenlabError(
                f"{where}: no row has a value in all of {len(names)} columns; choose some with dataset.columns"
            )
        remarks.append(f"{where}: {int(rows.sum()):,} of {len(x):,} rows lack a value, and are left out")
        x, y = x[~rows], None if y is None else [value for value, out in zip(y, rows.tolist(), strict=True) if not out]
    constant = [name for name, column in zip(names, x.T, strict=True) if (column == column[0]).all()]
    if len(constant) == len(names):
        raise GenlabError(f"{where}: no column varies; choose others with dataset.columns")
    if constant:
        vary = "varies" if len(constant) == 1 else "vary"
        remarks.append(f"{where}: {_listed(constant)} never {vary}; dataset.columns leaves out what carries nothing")
    raw = arrays_as_raw(
        x,
        None if y is None else np.array(y),
        kind="vectors",
        name="table",
        where=where,
        where_labels=f"dataset.label={label}",
        component_names=names,
        standardise=standardise,
    )
    mode = "table" if standardise == "auto" else standardise
    return RawData(**{**vars(raw), "standardise": mode, "remarks": (*found.remarks, *remarks, *raw.remarks)})


def _components(
    found: Table, columns: Sequence[Column] | None, label: int | None, where: str, *, drop: bool
) -> tuple[dict[str, Numbers], list[str]]:
    """Numbers of each column, with NaN for what is missing, and what to say of columns that are left out."""
    chosen: list[int] = []
    if columns is None:
        chosen = [k for k in range(len(found.names)) if k != label]
    else:
        chosen = [_place(found, column, "dataset.columns", where) for column in columns]
        if label in chosen:
            raise GenlabError(
                f"dataset.columns: holds {found.names[label]}, which is dataset.label; leave it out of one"
            )
    values: dict[str, Numbers] = {}
    left: list[str] = []
    for k in chosen:
        name, (numbers, text) = found.names[k], numbers_in(found.frame[str(k)], found.decimal)
        present = int((~np.isnan(numbers)).sum())
        if columns is None and (len(text) > present or not present or _is_index(name, numbers)):
            left.append(name or "(the index)")
            continue
        if text and not (drop and len(text) <= present):
            some = f"text in {len(text):,} of {len(numbers):,} rows, such as {str(text[0])[:20]!r}"
            leave = "dataset.missing=drop leaves these rows out, or " if present >= len(text) else ""
            others = _as_in(found, label, without=name)
            raise GenlabError(f"{where}: column {name} holds {some}; {leave}choose columns with {others}")
        if name in values:
            raise GenlabError(f"{where}: holds two columns called {name}; rename one, or choose columns without it")
        values[name] = numbers
    if not values:
        raise GenlabError(f"{where}: has no column of numbers beside {_listed(left)}; name a file that has")
    if left:
        words = (
            "are left out, being text, empty or an index"
            if len(left) > 1
            else "is left out, being text, empty or an index"
        )
        return values, [f"{where}: {_listed(left)} {words}"]
    return values, []


def _is_index(name: str, numbers: Numbers) -> bool:
    """Whether a column without a name counts the rows, as pandas writes one."""
    return name in ("", "Unnamed: 0", "__index_level_0__") and bool((np.diff(numbers) == 1).all())


def _place(found: Table, column: Column, key: str, where: str) -> int:
    """The place of the column of this name. Raises GenlabError where there is none, or several."""
    name = f"column_{column}" if str(column).isdigit() and not found.has_header else str(column)
    places = [k for k, other in enumerate(found.names) if other == name]
    if len(places) == 1:
        return places[0]
    if places:
        raise GenlabError(f"{key}={name}: {where} holds {len(places)} columns of this name; rename them")
    raise GenlabError(f"{key}={name}: {where} has no such column; {did_you_mean(name, found.names)}")


def _of_missing(
    where: str, names: Sequence[str], lacking: Any, label: tuple[Column | None, Sequence[Any]] | None, rows: int
) -> str:
    """One line: which columns lack how many values, and what to do."""
    counts = {name: int(number) for name, number in zip(names, lacking.sum(0), strict=True) if number}
    if label is not None and (n := sum(value is None for value in label[1])):
        counts[str(label[0])] = n
    worst = sorted(counts, key=lambda name: -counts[name])
    shown = ", ".join(f"{name} {counts[name]:,}" for name in worst[:MOST_NAMED])
    more = f" and {len(worst) - MOST_NAMED} more columns" if len(worst) > MOST_NAMED else ""
    whole = [name for name in names if name not in counts]
    few = f"{','.join(whole[:3])}{',...' if len(whole) > 3 else ''}"
    others = f", or choose columns with 'dataset.columns=[{few}]'" if whole and lacking.any() else ""
    return (
        f"{where}: values are missing ({shown}{more}) in {rows:,} of {len(lacking):,} rows; dataset.missing=drop leaves these "
        f"rows out{others}"
    )


def _as_in(found: Table, label: int | None, *, without: str) -> str:
    others = [name for k, name in enumerate(found.names) if k != label and name not in ("", without)]
    return f"'dataset.columns=[{','.join(others[:3])}{',...' if len(others) > 3 else ''}]'"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
    return f"column{'s' if len(names) > 1 else ''} {shown}" if names else "the label"
