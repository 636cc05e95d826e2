"""Printed commands work as printed: with the program as this shell finds it, and quoted."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from genlab.tracking.next_steps import below_each_other, to_type

BESIDE = Path(sys.executable).parent
INSTALLED = pytest.mark.skipif(not (BESIDE / "genlab").exists(), reason="genlab is not installed beside this Python")


@INSTALLED
def test_on_the_path_the_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(BESIDE), prepend=os.pathsep)
    assert to_type("evaluate", "run=a/b") == "genlab evaluate run=a/b"


@INSTALLED
def test_elsewhere_it_is_the_path_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    line = to_type("list", "devices")
    assert shlex.split(line) == [str(BESIDE / "genlab"), "list", "devices"]
    assert "device=" in subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
    monkeypatch.chdir(BESIDE.parent.parent)
    assert shlex.split(to_type("list"))[0] == str((BESIDE / "genlab").relative_to(BESIDE.parent.parent))


@INSTALLED
def test_another_genlab_on_the_path_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "genlab").write_text("#!/bin/sh\n")
    (tmp_path / "genlab").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shlex.split(to_type("list"))[0] != "genlab"
    (tmp_path / "genlab").unlink()
    (tmp_path / "genlab").symlink_to(BESIDE / "genlab")
    assert to_type("list") == "genlab list"


def test_words_with_spaces_or_brackets_are_quoted() -> None:
    assert to_type("sample", "run=my runs/1", "labels=[3,8]").endswith(" sample 'run=my runs/1' 'labels=[3,8]'")
    assert below_each_other(["a", "b"]).split() == ["a", "b"]
