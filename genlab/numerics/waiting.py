"""How the threads of one operation wait for each other.

They turn in a busy loop, and sleep after some turns of it. To wake a thread that sleeps takes longer than a small operation, so
on an idle machine they had better turn. Beside other work that takes the core from the thread they wait for: five times slower
was seen. OpenMP reads the number of turns when torch loads it, once for the process. So the machine is looked at right before.
"""

import os
import sys
import time
from pathlib import Path

KEY = "GOMP_SPINCOUNT"
SOON, LATE = "3000", "300000"
"""Turns before a thread sleeps: beside other work, and on an idle machine, as OpenMP has it by itself."""
LOOKS, APART = 5, 0.002  # and seconds between them: a moment's work of another process does not count


def wait_as_fits() -> None:
    """Threads wait as fits the machine at this moment, in this process and those that it starts, unless the user has chosen."""
    if KEY not in os.environ:
        os.environ[KEY] = LATE if is_idle() else SOON


def is_idle(file: Path = Path("/proc/loadavg")) -> bool:
    """Whether no other thread runs on this machine; false where the system does not tell."""
    try:
        for look in range(LOOKS):
            if int(file.read_text().split()[3].partition("/")[0]) <= 1:  # this one
                return True
            if look + 1 < LOOKS:
                time.sleep(APART)
    except (OSError, ValueError, IndexError):
        pass
    return False


def import_torch() -> None:
    """The same in a process whose environment stays as it is; nothing where torch is there already."""
    if "torch" in sys.modules or KEY in os.environ:
        return
    wait_as_fits()
    try:
        import torch  # noqa: F401
    finally:
        del os.environ[KEY]
