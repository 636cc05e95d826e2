"""Tables in files: CSV and its kin, with the separators and decimal signs in use, and Parquet.

The separator is the one of tab, `;`, `|` and `,` (in this order) that all lines have equally often, or else white space. Where
it is none of the commas, numbers such as 1,5 have a decimal comma, and points are between thousands. The first line is the header
unless it holds numbers where the second one does.
"""

import csv
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlab.errors import GenlabError

TEXT, PARQUET = (".csv", ".tsv", ".tab", ".txt", ".dat"), (".parquet", ".pq")
FORMATS = "a .csv, .tsv or .parquet file"
SEPARATORS = "\t;|,"
SEEN = 100  # lines that decide

NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*|\s*[+-]?(nan|inf(inity)?)\s*", re.IGNORECASE)
COMMA = re.compile(r"\s*[+-]?(\d+|\d{1,3}(\.\d{3})+),\d*([eE][+-]?\d+)?\s*|\s*[+-]?,\d+\s*")


@dataclass(frozen=True)
class Table:
    frame: Any
    """A polars DataFrame whose columns are called 0, 1, ...: text as it is written, or the types of Parquet."""
    names: tuple[str, ...]
    """Of the columns, as the header has them; column_1, column_2, ... without one."""
    has_header: bool
    decimal: str
    """Between the whole part of a number and the rest."""
    remarks: tuple[str, ...]


def is_table_file(path: Path) -> bool:
    """Whether the name of a file is that of a table."""
    return _suffix(path) in TEXT + PARQUET


def _suffix(path: Path) -> str:
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def read_table(key: str, path: str, separator: str | None, decimal: str | None, header: bool | None) -> Table:
    """The table in the file `path`; what is None is found. Raises GenlabError, which names `key`, where there is none."""
    try:
        import polars
    except ImportError as error:
        raise GenlabError(f"{key}={path}: tables are read by polars; pip install polars") from error
    try:
        file = Path(path).expanduser()
        if file.is_dir():
            raise GenlabError(f"{key}={path}: is a folder; name {FORMATS}")
        if _suffix(file) not in TEXT + PARQUET and file.exists():
            raise GenlabError(
                f"{key}={path}: is no table by its name; name {FORMATS}, or take dataset=array for arrays"
            )
        content = gzip.decompress(file.read_bytes()) if file.suffix.lower() == ".gz" else file.read_bytes()
        if _suffix(file) in PARQUET:
            frame = polars.read_parquet(io.BytesIO(content))
            names = tuple(frame.columns)
            return Table(frame.rename({name: str(k) for k, name in enumerate(names)}), names, True, ".", ())
    except FileNotFoundError as error:
        raise GenlabError(f"{key}={path}: there is no such file; name {FORMATS}") from error
    except (OSError, RuntimeError, EOFError, polars.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:150]
        raise GenlabError(f"{key}={path}: cannot be read ({reason}); name {FORMATS}") from error
    return _of_text(content, f"{key}={path}", separator, decimal, header)


def _of_text(content: bytes, where: str, separator: str | None, decimal: str | None, header: bool | None) -> Table:
    import polars

    text = _decoded(content, where)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise GenlabError(f"{where}: is empty; name a file with a row for each example")
    sign = separator or _separator(lines[:SEEN])
    if sign == " ":
        lines, sign = [" ".join(line.split()) for line in lines], " "
    rows = list(csv.reader(lines[:SEEN], delimiter=sign))
    width = len(rows[0])
    short = next((k for k, row in enumerate(rows) if len(row) != width), None)
    if short is not None:
        raise GenlabError(
            f"{where}: line {short + 1} has {len(rows[short])} columns and the first one {width}, separated by "
            f"{_called(sign)}; mend it, or set dataset.separator"
        )
    has_header = _first_is_header(rows) if header is None else header
    if len(lines) <= has_header:
        raise GenlabError(f"{where}: has a header and no rows; name a file with a row for each example")
    names = tuple(name.strip() for name in rows[0]) if has_header else tuple(f"column_{k + 1}" for k in range(width))
    comma = decimal == "," if decimal else sign != "," and any(COMMA.fullmatch(cell) for row in rows for cell in row)
    try:
        frame = polars.read_csv(
            io.BytesIO("\n".join(lines[has_header:]).encode()),
            has_header=False,
            separator=sign,
            infer_schema=False,
            new_columns=[str(k) for k in range(width)],
        )
    except polars.exceptions.PolarsError as error:
        reason = " ".join(str(error).split(";")[0].split())[:150]
        raise GenlabError(
            f"{where}: cannot be read as a table ({reason}); mend it, or set dataset.separator"
        ) from error
    remarks = []
    if comma or (sign not in ",\t" and width > 1):
        remarks.append(f"{where}: columns are separated by {_called(sign)}" + (", and 1,5 means 1.5" if comma else ""))
    if not has_header and header is None:
        remarks.append(
            f"{where}: the first line holds numbers, so the columns are called {names[0]} to {names[-1]}; dataset.header=true "
            "takes it for their names"
        )
    return Table(frame, names, has_header, "," if comma else ".", tuple(remarks))


def _decoded(content: bytes, where: str) -> str:
    """Text as UTF-8, as UTF-16 where it says so, or else as Windows and older instruments write it."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if b"\0" in content[:4096]:
        raise GenlabError(f"{where}: is no text; name {FORMATS}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _separator(lines: Sequence[str]) -> str:
    """The sign between columns, as those lines have it equally often; a comma for a single column."""
    for sign in SEPARATORS:
        counts = {len(row) for row in csv.reader(lines, delimiter=sign)}
        if len(counts) == 1 and counts != {1}:
            return sign
    words = {len(line.split()) for line in lines}
    if len(words) == 1 and words != {1} and all(NUMBER.fullmatch(word) for word in lines[-1].split()):
        return " "
    often = {sign: sum(line.count(sign) for line in lines) for sign in SEPARATORS}
    most = max(often, key=lambda sign: often[sign])
    single = all(NUMBER.fullmatch(line) for line in lines[1:])
    return ";" if single or not often[most] else most


def _first_is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether no column has a number in both the first line and the second, or an only line is text."""
    first, second = rows[0], rows[1] if len(rows) > 1 else rows[0]
    return not any(NUMBER.fullmatch(a) and NUMBER.fullmatch(b) for a, b in zip(first, second, strict=True))


def _called(sign: str) -> str:
    return {"\t": "tabs", " ": "spaces"}.get(sign, f"'{sign}'")
