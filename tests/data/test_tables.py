"""dataset=table: CSV, TSV and Parquet as people have them, and what is wrong with them."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
import torch

from genlab.data.class_choice import counts
from genlab.data.dataset import RawData
from genlab.data.sources.table import table as table_of
from genlab.data.splits import prepare
from genlab.data.table_files import is_table_file
from genlab.errors import LONGEST_LINE, GenlabError
from tests.helpers.support import tensor

table = partial(
    table_of, columns=None, label=None, missing=None, separator=None, decimal=None, header=None, standardise="auto"
)
KINDS = ["galaxy", "star", "quasar"] * 10
X = np.random.default_rng(0).normal(size=(30, 2)).round(3)
PLAIN = "mass,radius,kind\n" + "\n".join(f"{a},{b},{kind}" for (a, b), kind in zip(X, KINDS, strict=True))


def read(folder: Path, content: str | bytes, name: str = "t.csv", **keys: Any) -> RawData:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return table(path=str(folder / name), **keys)


def test_columns_of_numbers_are_examples_and_one_column_is_the_class(tmp_path: Path) -> None:
    raw = read(tmp_path, PLAIN, label="kind")
    assert raw.component_names == ("mass", "radius")
    assert raw.class_names == ("galaxy", "quasar", "star")
    assert torch.equal(tensor(raw.train), torch.from_numpy(X))
    assert raw.train.y is not None
    assert raw.train.y[:3].tolist() == [0, 2, 1]
    assert counts(raw, ()) == ["classes: galaxy 10, quasar 10, star 10"]
    swapped = read(tmp_path, PLAIN, columns=["radius", "mass"])
    assert torch.equal(tensor(swapped.train), torch.from_numpy(X[:, ::-1].copy()))
    assert read(tmp_path, PLAIN).remarks == (
        f"dataset.path={tmp_path}/t.csv: column kind is left out, being text, empty or an index",
    )


@pytest.mark.parametrize(
    ("content", "name", "x"),
    [
        ("a;b\n1,5;2\n-0,25;1e3\n", "t.csv", [[1.5, 2], [-0.25, 1000]]),
        ("a;b\n1.234,5;2.300\n2,25;4\n", "t.csv", [[1234.5, 2300], [2.25, 4]]),
        ("a\tb\n1.5\t2\n3\t4\n", "t.tsv", [[1.5, 2], [3, 4]]),
        ("a|b\n1.5|2\n3|4\n", "t.txt", [[1.5, 2], [3, 4]]),
        (" 1.5   2\n 3     4e0\n", "t.dat", [[1.5, 2], [3, 4]]),
        ("# from the detector\na,b\n1.5,2\n\n3,4\n", "t.csv", [[1.5, 2], [3, 4]]),
        ('"a","b, in m"\n"1.5","2"\n"3","4"\n', "t.csv", [[1.5, 2], [3, 4]]),
        ("x\n1,5\n2,25\n", "t.csv", [[1.5], [2.25]]),
        ("x\n1.5\n2.25\n", "t.csv", [[1.5], [2.25]]),
        ("1.5,2\n3,4\n", "t.csv", [[1.5, 2], [3, 4]]),
        (",a,b\n0,1.5,2\n1,3,4\n", "t.csv", [[1.5, 2], [3, 4]]),
        ("a,b\n1.5,true\n3,false\n", "t.csv", [[1.5, 1], [3, 0]]),
        ("\ufeffa;b\r\n1,5;2\r\n3,0;4\r\n", "t.csv", [[1.5, 2], [3, 4]]),
    ],
)
def test_separators_decimal_signs_and_headers_are_found(content: str, name: str, x: Any, tmp_path: Path) -> None:
    assert tensor(read(tmp_path, content, name).train).tolist() == x


def test_old_encodings_compression_and_parquet(tmp_path: Path) -> None:
    import gzip

    assert read(tmp_path, "länge;b\n1,5;2\n3,5;4\n".encode("cp1252")).component_names == ("länge", "b")
    assert read(tmp_path, "länge;b\n1,5;2\n3,5;4\n".encode("utf-16")).component_names == ("länge", "b")
    assert is_table_file(Path("t.csv.gz"))
    assert tensor(read(tmp_path, gzip.compress(b"a,b\n1.5,2\n3,4\n"), "t.csv.gz").train).tolist() == [[1.5, 2], [3, 4]]
    frame = polars.DataFrame({"a": [1.0, 2.0, 4.0], "b": [1, 2, 3], "kind": ["x", "y", "x"], "on": [True, False, True]})
    frame.write_parquet(tmp_path / "p.parquet")
    raw = table(path=str(tmp_path / "p.parquet"), label="kind")
    assert tensor(raw.train).tolist() == [[1, 1, 1], [2, 2, 0], [4, 3, 1]]
    assert raw.class_names == ("x", "y")


def test_a_missing_header_is_said_and_columns_are_numbered(tmp_path: Path) -> None:
    iris = "5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n7.0,3.2,Iris-versicolor\n"
    for label in ("column_3", 3):
        raw = read(tmp_path, iris, label=label)
        assert (raw.component_names, raw.class_names) == (("column_1", "column_2"), ("Iris-setosa", "Iris-versicolor"))
        assert "columns are called column_1 to column_3; dataset.header=true" in raw.remarks[0]
    assert read(tmp_path, "2019,2020\n1.5,2\n3,4\n", header=True).component_names == ("2019", "2020")


def test_rows_that_lack_a_value_are_named_or_left_out(tmp_path: Path) -> None:
    content = "a,b,c,kind\n1,,3,x\n4,5,NA,y\n7,8,9,x\n1,2,4,\n5,3,6,y\n"
    with pytest.raises(
        GenlabError, match=r"values are missing \(b 1, c 1, kind 1\) in 3 of 5 rows; dataset.missing=drop"
    ):
        read(tmp_path, content, label="kind")
    with pytest.raises(GenlabError, match=r"'dataset.columns=\[a\]'"):
        read(tmp_path, content)
    raw = read(tmp_path, content, label="kind", missing="drop")
    assert tensor(raw.train).tolist() == [[7, 8, 9], [5, 3, 6]]
    assert any("3 of 5 rows lack a value, and are left out" in line for line in raw.remarks)
    with pytest.raises(GenlabError, match=r"column a holds text in 1 of 3 rows, such as 'oops'; dataset.missing=drop"):
        read(tmp_path, "a,b\n1,2\noops,5\n7,8\n")
    assert tensor(read(tmp_path, "a,b\n1,2\noops,5\n7,8\n", missing="drop").train).tolist() == [[1, 2], [7, 8]]


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        ("", {}, "is empty"),
        ("a,b\n", {}, "has a header and no rows"),
        ("a,a,b\n1,2,3\n4,5,6\n", {}, "two columns called a"),
        ("a,a,b\n1,2,3\n4,5,6\n", {"columns": ["a"]}, "dataset.columns=a: .* holds 2 columns of this name"),
        ("a,b\n1,2\n3,4,5\n", {}, "line 3 has 3 columns and the first one 2"),
        ("a,b\nx,y\nz,w\n", {}, "no column of numbers"),
        ("a\n1\n1\n", {}, "no column varies"),
        ("a,b\n1,inf\n2,3\n", {}, "column b is infinite in 1 rows"),
        (PLAIN, {"label": "kidn"}, "did you mean 'kind'"),
        (PLAIN, {"columns": ["mass", "radus"]}, "did you mean 'radius'"),
        (
            PLAIN,
            {"columns": ["mass", "kind"]},
            r"column kind holds text in 30 of 30 rows.*'dataset.columns=\[mass,radius\]'",
        ),
        (PLAIN, {"columns": ["mass", "kind"], "label": "kind"}, "kind, which is dataset.label"),
        (PLAIN, {"label": "mass"}, "labels such as .* are no whole numbers"),
        (PLAIN, {"separator": ";;"}, "is one sign or its name"),
        (b"\x89PNG\0\0", {}, "is no text"),
    ],
)
def test_mistakes_are_one_line(content: str | bytes, keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(GenlabError, match=message) as caught:
        read(tmp_path, content, **keys)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < LONGEST_LINE


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    for path, message in (
        (None, "set dataset.path"),
        ("gone.csv", "no such file"),
        (".", "is a folder"),
        ("a.npy", "dataset=array"),
    ):
        with pytest.raises(GenlabError, match=message):
            table(path=path and str(tmp_path / path))


def test_tables_are_standardised_but_for_zeros_and_ones(tmp_path: Path) -> None:
    def spec(content: str, **keys: Any) -> Any:
        return prepare(read(tmp_path, content, **keys), binarize="none", dequantize=False, validation=2, test=2).spec

    found = spec(PLAIN)
    assert torch.allclose(found.mean, torch.zeros(2), atol=1e-6)
    assert torch.allclose(found.std, torch.ones(2))
    assert found.units is not None
    assert spec(PLAIN, standardise=False).units is None
    binary = "a,b\n" + "0,1\n1,1\n1,0\n0,0\n" * 5
    assert (spec(binary).units, spec(binary).support) == (None, "binary")
    assert spec(binary, standardise=True).units is not None
