"""Arrays that come and go in the thousands take the same memory."""

import platform
import resource
import subprocess
import sys

import pytest

from genlab.numerics.freed_memory import CHOICES
from tests.helpers.processes import environment

TURNS, ARRAYS, BYTES = 20, 16, 2**21

TOUCHED = f"""
import resource, sys
import numpy as np
import genlab
{{first}}
for turn in range({TURNS} + 1):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [np.ones({BYTES}, np.uint8) for _ in range({ARRAYS})]
    del held
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str, **chosen: str) -> int:
    """Pages that the system had to find for arrays made in turns, after the first turn."""
    env = {key: value for key, value in environment().items() if key not in CHOICES} | chosen
    code = TOUCHED.format(first=first)
    return int(subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the GNU C library")
def test_freed_memory_is_used_again() -> None:
    pages = TURNS * ARRAYS * BYTES // resource.getpagesize()
    kept = "from genlab.numerics.freed_memory import keep_freed_memory; keep_freed_memory()"
    assert faults("genlab.load; import torch") < pages / 100, "in Python"
    assert faults(kept) < pages / 100, "what the commands call"
    assert faults(kept, MALLOC_TRIM_THRESHOLD_="1000000") > pages / 4, "the user has chosen"
    assert faults("") > pages / 4
