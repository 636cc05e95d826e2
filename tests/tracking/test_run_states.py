"""Which runs run, which are interrupted, and which one is the latest: with processes that are killed."""

import os
import platform
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from genlab.commands.sweep_table import summarise
from genlab.errors import GenlabError
from genlab.report.page import _facts
from genlab.report.read_runs import Run, read_run
from genlab.tracking import run_folder, shared_files
from genlab.tracking.run_folder import KILLED, RunFolder
from genlab.tracking.which_run import find_run
from tests.helpers.processes import REPOSITORY, environment, info
from tests.helpers.support import configure

HOLD = """
import sys, time
from pathlib import Path
from genlab.tracking.run_folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
run.create({"seed": 0})
with run.training():
    print("holds", flush=True)
    time.sleep(600)
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    """A process that trains the new run `folder`, as far as anybody else can tell."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=REPOSITORY)
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    return process


def test_a_run_whose_process_was_killed_is_interrupted(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    try:
        assert run.state == "running"
        assert run.state == "running"  # looking leaves the lock where it is
        assert run.error is None
        assert info(run.path)["process"]["pid"] == process.pid
        with pytest.raises(GenlabError, match=f"another process \\({process.pid} on "), run.training():
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert info(run.path)["state"] == "running"  # nobody was left to write anything else
    assert RunFolder(run.path).error == KILLED
    assert run.state == "interrupted"
    assert info(run.path)["state"] == "interrupted"  # whoever looks first puts it right
    assert info(run.path)["error"] == KILLED


def test_another_process_with_the_same_number_is_not_the_one_that_was_killed(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "running")
    run.note(process={**info(run.path)["process"], "pid": os.getpid()})  # which is alive
    assert RunFolder(run.path).state == "interrupted"


def test_a_folder_that_can_only_be_read_is_told_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(tmp_path / "run", "running")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("genlab.tracking.run_folder.write_atomically", refuse)
    assert (run.state, run.error) == ("interrupted", KILLED)


@pytest.mark.parametrize("reader", ["latest", "resumable", "table", "page", "sweep"])
def test_no_reader_takes_a_killed_run_for_a_running_one(
    reader: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made(tmp_path / "train" / "0_a", "running")
    run.write_config(configure())
    if reader in ("latest", "resumable"):
        find_run("latest", tmp_path, wanted="resumable" if reader == "resumable" else "finished")
    elif reader == "sweep":
        summarise(run.path.parent, "train")
    else:
        read = read_run(run.path)
        assert isinstance(read, Run)
        assert (read.state if reader == "table" else _facts(read)["state"]) == "interrupted"
        assert read.error == KILLED
    assert info(run.path)["state"] == "interrupted"
    assert "running" not in capsys.readouterr().out


def test_a_folder_is_a_run_once_all_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it is laid out, it can be laid out again; once it is a run, a second one is refused."""
    written = []

    def stops(path: Path, text: str) -> None:
        written.append(path.name)
        if path.name == "overrides.yaml":
            path.with_name(path.name + ".partial").write_text(text[:3])
            raise KeyboardInterrupt
        original(path, text)

    original = shared_files.write_atomically
    with monkeypatch.context() as killed:
        killed.setattr(run_folder, "write_atomically", stops)
        with pytest.raises(KeyboardInterrupt):
            RunFolder(tmp_path / "run").create({"seed": 0}, {"overrides.yaml": "[]\n"})
    assert "config.yaml" in written
    assert not (tmp_path / "run" / "run.json").exists()
    run = RunFolder(tmp_path / "run")
    run.create({"seed": 1}, {"overrides.yaml": "[]\n"})
    with run.training():
        assert list(run.path.rglob("*.partial")) == []
    with pytest.raises(GenlabError, match="holds a run already"):
        RunFolder(run.path).create({"seed": 2})
    assert info(run.path)["seed"] == 1


def test_a_run_of_another_machine_runs_as_far_as_anybody_here_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as there:
        there.setattr(platform, "node", lambda: "node017")
        elsewhere = made(tmp_path / "run", "running")
    assert elsewhere.state == "running"
    os.utime(elsewhere.path / "run.json", (0, 1e9))
    os.utime(elsewhere.last, (0, 1e9 + 3600))
    assert elsewhere.elsewhere == f"node017, which last wrote at {datetime.fromtimestamp(1e9 + 3600):%Y-%m-%d %H:%M}"
    here = made(tmp_path / "mine", "running")
    assert here.state == "interrupted"
    assert here.elsewhere is None
    seen_there = made(tmp_path / "other", "running")
    monkeypatch.setattr(platform, "node", lambda: "node018")
    assert seen_there.state == "running"


def test_an_older_run_that_does_not_say_where_it_ran_is_what_it_says(tmp_path: Path) -> None:
    run = made(tmp_path / "run", "running")
    (run.path / "run.json").write_text('{"state": "running"}')
    assert run.state == "running"


def test_this_process_knows_that_it_trains_a_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.create({"seed": 0})
    assert run.state == RunFolder(run.path).state == "running"
    with run.training():
        assert run.state == RunFolder(run.path).state == "running"
        with FileLock(tmp_path / "other"):
            pass
    assert RunFolder(run.path).state == "interrupted"


# latest


def made(folder: Path, state: Any, checkpoint: bool = True) -> RunFolder:
    """A run in that state whose process has ended."""
    run = RunFolder(folder)
    run.create({"seed": 0})
    with run.training():
        if checkpoint:
            run.last.touch()
        run.note(state=state)
    return run


def test_latest_is_the_newest_run_that_has_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, state in (("a", "finished"), ("b", "finished"), ("c", "failed"), ("d", "interrupted"), ("e", "running")):
        made(tmp_path / "train" / name, state)
    assert find_run("latest", tmp_path).path.name == "b"
    assert capsys.readouterr().out == ""
    assert find_run("latest", tmp_path, wanted="any").path.name == "e"


def test_resume_takes_the_newest_that_can_go_on(tmp_path: Path) -> None:
    made(tmp_path / "train" / "a", "interrupted")
    made(tmp_path / "train" / "b", "running")  # whose process is gone
    made(tmp_path / "train" / "c", "finished")
    assert find_run("latest", tmp_path, wanted="resumable").path.name == "b"
    trains = made(tmp_path / "train" / "d", "running")
    with trains.training():
        assert find_run("latest", tmp_path, wanted="resumable").path.name == "b"


def test_where_no_run_has_finished_one_line_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "train" / "a", "failed")
    made(tmp_path / "train" / "b", "interrupted")
    made(tmp_path / "train" / "c", "failed", checkpoint=False)
    for _ in range(2):  # a command asks more than once
        assert find_run("latest", tmp_path).path.name == "b"
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "run=latest: no run has finished; this is the newest of the others, interrupted: " in out


def test_where_nothing_will_do_the_error_says_what_there_is(tmp_path: Path) -> None:
    made(tmp_path / "train" / "a", "failed", checkpoint=False)
    with pytest.raises(
        GenlabError, match=r"no run has finished, and none has a checkpoint; the newest, .*a, is failed"
    ):
        find_run("latest", tmp_path)
    made(tmp_path / "other" / "train" / "b", "finished")
    with pytest.raises(GenlabError, match=r"no run to go on with; the newest, .*b, is finished"):
        find_run("latest", tmp_path / "other", wanted="resumable")
