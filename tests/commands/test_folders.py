"""Every command has a folder of its own, also where two start in the same second."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from genlab.tracking.own_folder import own_folder
from tests.helpers.processes import call, info, trained

TINY = ["train.examples=200", "train.batch_size=100", "model.hidden=[4]"]


class Still(datetime):
    """A clock of which every reading is the same."""

    @classmethod
    def now(cls, tz: object = None) -> "Still":
        return cls(2026, 1, 2, 3, 4, 5)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hydra.core.utils.datetime", Still)
    return tmp_path


def test_trainings_and_sweeps_of_the_same_second_each_have_a_folder(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert call(["train", *TINY], capsys).code == 0
        assert call(["train", "-m", "seed=0,1", *TINY, "--anew"], capsys).code == 0
    single, sweeps = here / "outputs/train/vae-digits", here / "outputs/train/sweep"
    stamp = "2026-01-02_03-04-05"
    assert sorted(path.name for path in sweeps.iterdir()) == [stamp, f"{stamp}_2"]
    first, second = sorted(path.name for path in single.iterdir())
    assert second == f"{first}_2"
    assert [info(run)["state"] for run in trained(here)] == ["finished"] * 6
    assert call(["sample", "run=latest", "n=4"], capsys).code == 0
    assert call(["sample", "run=latest", "n=4"], capsys).code == 0
    assert len(list((here / "outputs/sample/vae-digits").iterdir())) == 2


def test_a_folder_that_the_user_names_is_taken_as_it_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine").mkdir()
    assert call(["train", *TINY, "hydra.run.dir=mine"], capsys).code == 0
    outcome = call(["train", *TINY, "hydra.run.dir=mine"], capsys)
    assert outcome.code == 2
    assert "holds a run already" in outcome.err
    assert [path.name for path in here.iterdir()] == ["mine"]


def test_of_many_that_ask_for_the_same_folder_each_gets_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: own_folder(tmp_path / "a" / "run"), range(24)))
    assert len(set(found)) == 24
    assert all(path.is_dir() for path in found)
