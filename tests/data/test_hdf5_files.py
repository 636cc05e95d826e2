"""Arrays in HDF5 files and in MATLAB files of both kinds: which variable, which labels, and what is wrong with them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from genlab.data.array_files import is_array_file, read_arrays
from genlab.data.dataset import RawData
from genlab.data.sources.array import array
from genlab.errors import GenlabError
from tests.helpers.support import tensor

X = np.arange(24.0).reshape(6, 4)
WORDS = ["star", "galaxy", "star", "quasar", "galaxy", "star"]


def load(path: Path, key: str | None = None, labels: str | None = None) -> RawData:
    return array(path=str(path), key=key, labels=labels, observables=None, temperature=None)


def hdf5(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name.replace("__", "/")] = values
    return path


def test_variables_have_the_names_of_other_files(tmp_path: Path) -> None:
    assert is_array_file(Path("a.hdf5"))
    assert is_array_file(Path("a.mat"))
    assert tensor(load(hdf5(tmp_path / "one.h5", events=X)).train).tolist() == X.tolist()
    raw = load(hdf5(tmp_path / "xy.h5", x=X, y=WORDS))
    assert raw.class_names == ("galaxy", "quasar", "star")
    split = load(hdf5(tmp_path / "split.h5", x_train=X, y_train=[0, 1, 1, 0, 1, 0], x_test=X[:2], y_test=[1, 0]))
    assert split.test is not None
    assert (len(split.train), len(split.test), split.num_classes) == (6, 2, 2)
    assert load(hdf5(tmp_path / "group.h5", run1__x=X, run1__y=WORDS)).num_classes == 3


def test_a_variable_is_named_by_its_path(tmp_path: Path) -> None:
    file = hdf5(tmp_path / "many.h5", run1__x=X, run2__x=2 * X, run2__kinds=WORDS, time=np.arange(3))
    with pytest.raises(
        GenlabError, match=r"holds the arrays run1/x \(6, 4\), .*time \(3,\); name one with dataset.key=NAME"
    ):
        load(file)
    with pytest.raises(GenlabError, match=r"dataset.key=run3/x: .* holds run1/x \(6, 4\)"):
        load(file, key="run3/x")
    raw = load(file, key="run2/x", labels="run2/kinds")
    assert tensor(raw.train).tolist() == (2 * X).tolist()
    assert raw.class_names == ("galaxy", "quasar", "star")
    with pytest.raises(GenlabError, match=r"dataset.labels=kind: there is no such file, and .* holds"):
        load(file, key="run2/x", labels="kind")


def test_only_what_is_used_is_read(tmp_path: Path) -> None:
    file = hdf5(tmp_path / "a.h5", x=X, mixed=np.array([("a", 1)], dtype=[("name", "S1"), ("n", "i4")]))
    found = read_arrays("dataset.path", str(file))
    assert list(found) == ["x"], "a compound type is no array of numbers"
    assert found["x"].tolist() == X.tolist()


def test_files_of_matlab_up_to_version_7(tmp_path: Path) -> None:
    cell = np.array(WORDS, dtype=object)
    savemat(tmp_path / "a.mat", {"x": X, "y": cell})
    raw = load(tmp_path / "a.mat")
    assert tensor(raw.train).tolist() == X.tolist()
    assert raw.class_names == ("galaxy", "quasar", "star")
    savemat(tmp_path / "b.mat", {"x": X, "y": np.array([1, 2, 3, 3, 2, 1])})  # a row, as MATLAB has them
    assert load(tmp_path / "b.mat").class_names == ("1", "2", "3")
    savemat(tmp_path / "c.mat", {"images": np.zeros((6, 5, 4)), "other": X})
    with pytest.raises(GenlabError, match=r"images \(6, 5, 4\), other \(6, 4\)"):
        load(tmp_path / "c.mat")


def test_files_of_matlab_7_3_have_their_axes_turned(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        for name, values, kind in (("x", X.T, "double"), ("y", np.array([[1, 2, 1, 3, 2, 1]], np.uint8).T, "uint8")):
            file[name] = values
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
        file["#refs#/a"] = np.zeros((2, 2))
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    with (tmp_path / "a.mat").open("r+b") as raw_file:
        raw_file.write(header)
    raw = load(tmp_path / "a.mat")
    assert tensor(raw.train).tolist() == X.tolist()
    assert raw.class_names == ("1", "2", "3")


@pytest.mark.parametrize("name", ["bad.h5", "bad.mat", "bad.hdf5"])
@pytest.mark.parametrize("content", [b"", b"not a file of arrays", b"\x89HDF\r\n\x1a\n" + 40 * b"\0"])
def test_files_that_are_none(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenlabError, match=f"dataset.path=.*{name}: cannot be read"):
        load(tmp_path / name)
    with pytest.raises(GenlabError, match="there is no such file"):
        load(tmp_path / f"gone{name}")
    (tmp_path / f"folder{name}").mkdir()
    with pytest.raises(GenlabError, match="is a folder"):
        load(tmp_path / f"folder{name}")
