"""Runs that are killed at every kind of moment and resumed (tests/kills): a short part of the campaign, and the whole of it."""

import re
import subprocess
import sys

import pytest

from tests.helpers.processes import REPOSITORY, environment
from tests.kills.variants import VARIANTS

FEW = ("ae-denoising", "diffusion-learned", "wgan-clipping")


def campaign(*words: str) -> str:
    """What `python -m tests.kills WORDS` prints; fails where a run differs from the undisturbed one."""
    command = [sys.executable, "-m", "tests.kills", *words]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()[-1]


@pytest.mark.slow
def test_runs_that_are_killed_and_resumed_are_those_that_were_not() -> None:
    """At the very start and after the last update, while a checkpoint and a record are written, after a random time."""
    said = campaign(*FEW, "--kills", "8")
    assert said.startswith(f"{8 * len(FEW)} kills (")
    assert said.endswith(f" of {len(FEW)} variants; 0 runs differ")
    for kind in ("checkpoint", "end", "event", "record", "time"):
        assert re.search(rf"\b[1-9]\d* {kind}", said), said


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_killed_twenty_times(variant: str) -> None:
    said = campaign(variant, "--kills", "20")
    assert said.startswith("20 kills (")
