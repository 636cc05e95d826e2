"""How the threads of one operation wait for each other.

They wait in a busy loop. On a machine with other work this takes the core from the thread they wait for: five times slower was
seen. OpenMP reads how long they turn when torch loads it, once for the process.
"""

import os
import sys

KEY, TURNS = "GOMP_SPINCOUNT", "3000"


def sleep_soon() -> None:
    """Threads sleep after 3,000 turns, in this process and those that it starts, unless the user has chosen."""
    os.environ.setdefault(KEY, TURNS)


def import_torch() -> None:
    """The same in a process whose environment stays as it is; nothing where torch is there already."""
    if "torch" in sys.modules or KEY in os.environ:
        return
    sleep_soon()
    try:
        import torch  # noqa: F401
    finally:
        del os.environ[KEY]
