"""Names of runs: given with name=, kept in run.json, and understood wherever a run is named."""

from pathlib import Path

import pytest

from genlab.commands import dashboard
from genlab.errors import GenlabError
from genlab.report.find import _expand
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.run_names import check_name
from genlab.tracking.which_run import find_run, shortest_name
from tests.helpers.processes import assert_refused, call, info, trained


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def a_run(folder: str, name: str | None = None) -> RunFolder:
    run = RunFolder(Path("outputs/train/vae-digits") / folder)
    run.create({"seed": 0, "name": name})
    return run


def test_a_run_is_found_by_its_name_or_that_of_its_folder() -> None:
    wide, other, _ = a_run("1", "wide"), a_run("2", "two"), a_run("two")
    assert find_run("wide").path == wide.path
    assert find_run("two").path == other.path  # a given name comes before that of a folder
    assert find_run("1").path == wide.path
    assert shortest_name(wide) == "wide"
    with pytest.raises(GenlabError, match="no run of this name"):
        find_run("narrow")


def test_a_name_that_several_runs_have_is_refused_with_their_folders() -> None:
    first, second = a_run("1", "wide"), a_run("2", "wide")
    with pytest.raises(GenlabError, match="2 runs have this name") as refused:
        find_run("wide")
    assert str(first.path) in str(refused.value)
    assert str(second.path) in str(refused.value)
    second.end("finished")
    assert shortest_name(first) == str(first.path)
    assert shortest_name(second) == "latest"


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a=b", "latest", "x" * 41, ["a"], True, "a\nb", "vae*", "-x", "~a"])
def test_what_cannot_be_a_name(name: object) -> None:
    with pytest.raises(GenlabError, match="name="):
        check_name(name)


@pytest.mark.parametrize("name", [None, "wide net", 7, "beta=4".replace("=", " "), "été"])
def test_what_can_be_a_name(name: object) -> None:
    check_name(name)


def test_a_part_of_a_folders_name_that_no_other_run_has() -> None:
    early, late = a_run("2026-11-29_17-06-30_lr-1"), a_run("2026-11-29_18-10-00")
    job, twin = a_run("sweep/2026-11-20_10-00-00/0_seed-1"), a_run("sweep/2026-11-21_10-00-00/0_seed-1")
    assert find_run("17-06-30", wanted="any").path == early.path
    assert find_run("2026-11-29_18", wanted="any").path == late.path
    assert find_run("2026-11-20_10-00-00/0_seed-1", wanted="any").path == job.path
    assert find_run("11-21_10-00-00/0_seed", wanted="any").path == twin.path
    with pytest.raises(GenlabError, match="2 runs have this name"):
        find_run("2026-11-29")
    with pytest.raises(GenlabError, match="2 runs have this name"):
        find_run("0_seed-1")
    with pytest.raises(GenlabError, match="no run of this name"):
        find_run("-30")  # too short to stand for a run


def test_a_name_wins_over_a_folder_that_is_no_run(here: Path) -> None:
    run = a_run("1", "data")
    (here / "data").mkdir()
    assert find_run("data").path == run.path
    with pytest.raises(GenlabError, match="did you mean 'data'"):
        find_run("dota")


def test_the_dashboard_and_compare_take_names(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run("1", "wide")
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, words: started.append(words))
    dashboard.main(["wide", "--port", "1"])
    assert f"--logdir={run.path}" in started[0]
    (here / "outputs" / ".trash").mkdir()
    dashboard.main(["outputs"])
    assert "--logdir_spec=train:outputs/train" in started[1]
    assert _expand("wide") == [run.path]


def test_the_end_of_a_training_names_its_run_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = call(["train", "name=small", "train.examples=200", "model.hidden=[8]"], capsys)
    assert outcome.code == 0
    (run,) = trained(here)
    assert info(run)["name"] == "small"
    assert run.name.endswith("_small_examples-200_hidden-8")
    assert outcome.out.count(run.name) == 1
    assert "genlab evaluate run=small" in outcome.out
    assert call(["sample", "run=small", "n=4"], capsys).code == 0


def test_a_bad_name_is_refused_before_anything_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(call(["train", "name=a/b"], capsys), "name=a/b", "without '/'")
    assert not trained(here)
