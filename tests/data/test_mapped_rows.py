"""Arrays larger than memory: a .npy file that stays on disk gives what the same array in memory gives."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genlab.data.mapped_rows import MappedRows
from genlab.data.sources.array import array
from genlab.errors import GenlabError
from tests.helpers.processes import call, records

KEYS: dict[str, Any] = {"labels": None, "observables": None, "temperature": None}


def images(folder: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    np.save(folder / "x.npy", values)
    return folder / "x.npy"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_rows_are_those_of_the_array(dtype: str, tmp_path: Path) -> None:
    path = images(tmp_path)
    if dtype == "float32":
        np.save(path, np.load(path).reshape(300, -1).astype(np.float32))
    on_disk, in_memory = (array(path=str(path), memory_limit_gb=limit, **KEYS) for limit in (0.0, 1.0))
    assert isinstance(on_disk.train.x, MappedRows)
    assert isinstance(in_memory.train.x, Tensor)
    assert on_disk.levels == in_memory.levels
    index = torch.randperm(300)[:50]
    expected = in_memory.train.take(index)
    assert torch.equal(on_disk.train.take(index), expected)
    on_disk.train.x.prefetch(index)
    assert torch.equal(on_disk.train.take(index), expected)


def test_a_run_is_the_same_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = images(tmp_path)
    words = ["train", "model=vae", "dataset=array", f"dataset.path={path}", "train.examples=1280", "model.hidden=[16]"]
    for name, limit in (("disk", 0), ("memory", 1)):
        more = [f"dataset.memory_limit_gb={limit}", f"hydra.run.dir={tmp_path / name}"]
        outcome = call([*words, *more], capsys)
        assert outcome.code == 0, outcome.err
    losses = [[r.get("train/loss") for r in records(tmp_path / name)] for name in ("disk", "memory")]
    assert losses[0] == losses[1]
    assert len(losses[0]) > 5


@pytest.mark.parametrize(
    ("values", "keys", "said"),
    [
        (np.zeros((20, 3), np.int32), {}, "save it as uint8"),
        (np.zeros((20, 3), np.float32), {"standardise": True}, "dataset.standardise=true"),
        (np.zeros((20, 8, 8), np.uint8), {"range": [0.0, 9.0]}, "dataset.range="),
        (np.array([[0.0], [1.0], [np.nan]] * 9, np.float32), {}, "not finite"),
    ],
)
def test_what_cannot_stay_on_disk_is_said(values: np.ndarray, keys: dict, said: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(GenlabError, match=said):
        array(path=str(tmp_path / "x.npy"), memory_limit_gb=0.0, **KEYS, **keys)
