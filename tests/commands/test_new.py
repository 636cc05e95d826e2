"""genlab new model NAME: files that train, are tested, and are in the form of the house, on pictures and on vectors."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from genlab.cli import main
from tests.helpers.processes import REPOSITORY, assert_refused, call, environment, files, info, succeed

FILES = {"mine.py", "conf/model/mine.yaml", "test_mine.py"}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_what_it_prints_can_be_typed(tmp_path: Path) -> None:
    said = succeed(["new", "model", "mine"], tmp_path).out
    assert set(files(tmp_path)) == FILES
    steps = [
        line.removeprefix("  next").strip()
        for line in said.splitlines()
        if " model=mine" in line or " -m pytest" in line
    ]
    assert len(steps) == 4
    for step in steps:
        program = shlex.split(step)
        if program[-1].startswith("test_"):
            command = program
        else:
            words = program[program.index("genlab") + 1 :] if "genlab" in program else program[1:]
            length = [] if "--help" in words else ["train.examples=1000"]
            command = [sys.executable, "-m", "genlab", *words, *length]
        ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=240, check=False)
        assert ended.returncode == 0, f"{step}\n{ended.stdout}{ended.stderr}"
    runs = sorted(path.parent.parent.name for path in tmp_path.glob("outputs/train/*/*/run.json"))
    assert runs == ["mine-digits", "mine-toy2d"]


def test_its_files_are_in_the_form_of_the_house(tmp_path: Path) -> None:
    assert main(["new", "model", "my_model2", "--folder", "of mine"]) == 0
    written = [str(path) for path in sorted((tmp_path / "of mine").glob("*.py"))]
    assert [Path(path).name for path in written] == ["my_model2.py", "test_my_model2.py"]
    assert "class MyModel2(GenerativeModel)" in Path(written[0]).read_text()
    rules = ["--select", "E,F,W,I,UP,B,C4,SIM,PTH,RUF,PT,N"]
    for check in (["check", *rules], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--isolated", "--line-length", "130", *written]
        ended = subprocess.run(command, cwd=tmp_path / "of mine", capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_its_types_are_right(tmp_path: Path) -> None:
    assert main(["new", "model", "mine"]) == 0
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--allow-untyped-calls",
        "--follow-imports=silent",
        "mine.py",
        "test_mine.py",
    ]
    env = environment(MYPYPATH=str(REPOSITORY))  # mypy does not follow how pip links an editable installation
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_test_that_it_writes_can_fail(tmp_path: Path) -> None:
    assert main(["new", "model", "mine"]) == 0
    family = tmp_path / "mine.py"
    family.write_text(family.read_text().replace("t * u, t) - (u - z)", "t * u, t) - (z - u)"))
    command = [sys.executable, "-m", "pytest", "-q", "test_mine.py"]
    assert subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, check=False).returncode == 1


@pytest.mark.slow
def test_it_learns_real_vectors(tmp_path: Path) -> None:
    assert main(["new", "model", "mine"]) == 0
    succeed(
        [
            "train",
            "model=mine",
            "dataset=gaussian",
            "--config-dir",
            "conf",
            "train.examples=60000",
            "hydra.run.dir=run",
        ],
        tmp_path,
    )
    # A velocity of 0 has the loss 2; the best one for independent components pi/2, the integral of 1/(t^2 + (1 - t)^2).
    assert info(tmp_path / "run")["results"]["test/loss"]["value"] < 1.6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model", "Mine"], ["did you mean 'mine'?"]),
        (["model", "my-model"], ["did you mean 'my_model'?"]),
        (["model", "3d"], ["small letters"]),
        (["model", "class"], ["no word of Python"]),
        (["model", "x" * 41], ["40 characters"]),
        (["model", "vae"], ["model=vae is there already"]),
        (["model", "json"], ["import json means", "my_json"]),
        (["model"], ["one name", "given: none"]),
        (["model", "a", "b"], ["one name", "a, b"]),
        (["dataset", "a"], ["new dataset", "only a model"]),
        (["model", "a", "--folder"], ["--folder needs a value"]),
        (["model", "a", "--force"], ["--force is not a flag"]),
        (["model", "a", "--folder", "file"], ["file is a file"]),
    ],
)
def test_mistakes_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: list[str]
) -> None:
    (tmp_path / "file").write_text("text")
    assert_refused(call(["new", *words], capsys), *said)
    assert set(files(tmp_path)) == {"file"}


@pytest.mark.parametrize("there", sorted(FILES))
def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    assert_refused(call(["new", "model", "mine"], capsys), there, "already")
    assert {name: text for name, text in files(tmp_path).items() if text} == {there: b"mine"}
