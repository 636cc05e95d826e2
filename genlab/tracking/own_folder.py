"""A folder of its own for every command: two that start in the same second get two names."""

from itertools import count
from pathlib import Path


def own_folder(wanted: Path) -> Path:
    """Make the folder `wanted`, or where it is there already `wanted_2`, `wanted_3`, ...; returns the one that was made.

    Of two processes that ask for the same, each gets one.
    """
    for number in count(1):
        folder = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("numbers do not end")


def discard_if_empty(folder: Path) -> None:
    """Remove the folder that Hydra made for a job that never began, and the folders above it, where they are empty."""
    for path in [folder, *list(folder.parents)[:2]]:
        if path == Path():
            return
        try:
            path.rmdir()
        except OSError:
            return
