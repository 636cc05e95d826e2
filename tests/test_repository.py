"""Checks before a commit and in continuous integration: they need no network, and they are the same as by hand."""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.helpers.processes import REPOSITORY


@pytest.fixture(scope="module")
def check_files() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_files", REPOSITORY / ".ci" / "check_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"one\ntwo\n", None),
        (b"", None),
        (b"\0 no text ", None),
        (b"one\ntwo", "does not end in one newline"),
        (b"one\n\n", "does not end in one newline"),
        (b"one \ntwo\n", "line 1 ends in a space"),
        (b"one\n<<<<<<< main\n", "line 2 is left from a merge"),
        (b"1" * 600_000 + b"\n", "600,001 bytes"),
    ],
)
def test_a_fault_of_a_file_is_named(
    content: bytes, fault: str | None, check_files: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    assert check_files.main([str(path)]) == (fault is not None)
    out = capsys.readouterr().out
    assert out.count("\n") == (fault is not None)
    assert (fault or "") in out


@pytest.mark.skipif(not (REPOSITORY / ".git").exists(), reason="this is no checkout")
def test_no_file_has_a_fault(check_files: ModuleType) -> None:
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout.split("\0")
    assert check_files.main([str(REPOSITORY / name) for name in listed if name]) == 0


def read(name: str) -> Any:
    return yaml.safe_load((REPOSITORY / name).read_text())


def test_hooks_need_no_network_and_what_they_start_is_there() -> None:
    for repository in read(".pre-commit-config.yaml")["repos"]:
        assert repository["repo"] == "local"
        for hook in repository["hooks"]:
            python, *words = shlex.split(hook["entry"])
            assert (hook["language"], python) == ("system", ".venv/bin/python")
            if words[0] == "-m":
                assert importlib.util.find_spec(words[1]) is not None
            else:
                assert (REPOSITORY / words[0]).exists()


def test_continuous_integration_runs_the_check_on_the_oldest_python() -> None:
    job = read(".github/workflows/ci.yaml")["jobs"]["check"]
    assert job["steps"][-1]["run"] == "bash .ci/run"
    (version,) = (step["with"]["python-version"] for step in job["steps"] if "python-version" in step.get("with", {}))
    assert f'requires-python = ">={version}"' in (REPOSITORY / "pyproject.toml").read_text()
    assert sys.version_info >= tuple(int(part) for part in version.split("."))
