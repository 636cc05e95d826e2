"""Files that several processes write: whole at every moment, and one process after the other."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

MOST_WAITING = 10.0  # seconds for another process that writes the same file


def write_atomically(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Within the block no other process is in such a block of the same folder, where this system can tell.

    The folder itself is locked, which leaves no file. Whoever waits longer than MOST_WAITING goes on: a process that was stopped
    meanwhile must not end a training.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # whoever writes there next says why
        yield
        return
    try:
        deadline = time.monotonic() + MOST_WAITING
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(handle)
