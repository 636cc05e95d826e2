"""Many figures, drawn by all cores at once: matplotlib itself uses one."""

import contextlib
import multiprocessing
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from genlab.numerics.processor import cores
from genlab.plots.light_font import families
from genlab.plots.style import Drawing
from genlab.tracking.progress import step

FEW = 8
"""Figures for which no other process is started."""

Task = Callable[[], Drawing]


def draw_all(tasks: Sequence[Task], title: str) -> list[Drawing]:
    """What the tasks return, in their order; `title` is that of the progress.

    Copies of this process share the tasks where it can be copied safely: on Linux, with a single thread and without torch.
    What a copy does not bring, because it was ended, is drawn here.
    """
    found: dict[int, Drawing] = {}
    with step(title, len(tasks)) as doing:
        alone = len(tasks) <= FEW or sys.platform != "linux" or threading.active_count() > 1 or "torch" in sys.modules
        if not alone:
            families()  # the copies have the font, too
            for place, drawing in _shared_out(tasks, min(cores(), len(tasks))):
                found[place] = drawing
                doing.advance()
        for place, task in enumerate(tasks):
            if place not in found:
                found[place] = task()
                doing.advance()
    return [found[place] for place in range(len(tasks))]


def _shared_out(tasks: Sequence[Task], copies: int) -> Any:
    """(Place of a task, its drawing) as they come."""
    context = multiprocessing.get_context("fork")
    open_ends: list[Connection] = []
    for first in range(copies):
        here, there = context.Pipe(duplex=False)
        context.Process(target=_draw, args=(tasks, range(first, len(tasks), copies), there), daemon=True).start()
        there.close()
        open_ends.append(here)
    while open_ends:
        for end in wait(open_ends):
            assert isinstance(end, Connection)
            try:
                yield end.recv()
            except EOFError:
                open_ends.remove(end)


def _draw(tasks: Sequence[Task], places: Sequence[int], end: Connection) -> None:
    """In a copy. A task that fails is left to the first process, which says why."""
    with contextlib.suppress(Exception, KeyboardInterrupt):
        for place in places:
            end.send((place, tasks[place]()))
