"""Samples from elsewhere: tables with columns by name, and channels in any place."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars
import pytest
import torch

from genlab.data.spec import DataSpec
from genlab.data.units import Units
from genlab.errors import GenlabError
from genlab.evaluation.given_samples import read_samples
from genlab.inference.saved_samples import save_arrays

RNG = np.random.default_rng(0)
NAMES = ("dwarf", "giant")
VALUES = torch.from_numpy(RNG.normal(size=(30, 2)))
LABELS = RNG.integers(0, 2, 30)
UNITS = Units(torch.tensor([10.0, -3.0]).double(), torch.tensor([2.0, 0.5]).double())


def spec(shape: tuple[int, ...] = (2,), *, table: bool = True) -> DataSpec:
    return DataSpec(
        "table",
        shape,
        "real",
        None,
        2 if table else None,
        -1.0,
        1.0,
        mean=torch.zeros(shape),
        std=torch.ones(shape),
        class_names=NAMES if table else None,
        component_names=("mass", "radius") if table else None,
        units=UNITS if table else None,
    )


def write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], separator: str = ",") -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows([header, *rows])
    return path


def test_what_genlab_sample_writes_is_read(tmp_path: Path) -> None:
    words = np.array(NAMES)[LABELS]
    files = save_arrays(tmp_path, {"samples": spec().in_units(VALUES).numpy(), "labels": words}, spec())
    assert [file.name for file in files] == ["samples.npz", "samples.csv"]
    for file in files:
        found = read_samples(file, spec())
        assert torch.allclose(found.x, VALUES.float(), atol=1e-5)
        assert found.labels is not None
        assert found.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("name", ["s.tsv", "s.csv", "s.parquet"])
def test_columns_are_found_by_name_and_labels_beside_them(tmp_path: Path, name: str) -> None:
    values = spec().in_units(VALUES).numpy()
    rows = [[NAMES[k], radius, mass] for k, (mass, radius) in zip(LABELS.tolist(), values.tolist(), strict=True)]
    header = ["kind", "radius", "mass"]
    if name.endswith("parquet"):
        polars.DataFrame(rows, header, orient="row").write_parquet(tmp_path / name)
    else:
        write(tmp_path / name, header, rows, "\t" if name.endswith("tsv") else ",")
    found = read_samples(tmp_path / name, spec())
    assert torch.allclose(found.x, VALUES.float(), atol=1e-5)
    assert found.labels is not None
    assert found.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (("mass", "size"), (1.0, 2.0), "lacks radius of the columns mass, radius; it holds mass, size"),
        (("mass", "radius"), (1.0, "far"), "column radius holds text, such as 'far'"),
        (("mass", "radius"), (1.0, ""), "column radius lacks 30 of 30 values"),
        (("mass", "radius", "kind"), (1.0, 2.0, "nova"), "has no class nova"),
        (("mass", "radius", "kind"), (1.0, 2.0, ""), "30 rows have no label"),
    ],
)
def test_mistakes_in_tables_are_named(
    tmp_path: Path, header: Sequence[str], row: Sequence[object], message: str
) -> None:
    file = write(tmp_path / "s.csv", header, [row] * 30)
    with pytest.raises(GenlabError, match=message) as caught:
        read_samples(file, spec())
    assert str(caught.value).startswith(f"samples={file}")


def test_a_table_is_for_runs_of_tables(tmp_path: Path) -> None:
    file = write(tmp_path / "s.csv", ["a", "b"], [[1, 2]] * 30)
    with pytest.raises(GenlabError, match=r"samples are read from a .npy, .npz, .pt, .h5 or .mat file; write one"):
        read_samples(file, spec(table=False))


@pytest.mark.parametrize("shape", [(2, 9), (3, 4, 5)])
def test_channels_may_be_the_last_axis(tmp_path: Path, shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=(30, *shape)).astype(np.float32)
    np.save(tmp_path / "first.npy", x)
    np.save(tmp_path / "last.npy", np.moveaxis(x, 1, -1))
    for name in ("first", "last"):
        assert torch.equal(read_samples(tmp_path / f"{name}.npy", spec(shape, table=False)).x, torch.from_numpy(x))
