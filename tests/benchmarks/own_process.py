"""A loop in a process of its own, as whoever writes it runs it: only genlab's keep freed memory as genlab's commands do."""

import importlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

import torch

from genlab.numerics.freed_memory import keep_freed_memory
from tests.benchmarks.contest import Options, Seconds

OURS = ("genlab", "bare", "products")
"""How the names of loops begin that stand for genlab and for what its machine allows."""

Loop = Callable[[int], Seconds]


@contextmanager
def in_own_processes(family: str, names: Sequence[str], options: Options) -> Iterator[Mapping[str, Loop]]:
    """The loops of these names of a family, each behind a pipe; their processes end with the block."""
    with ExitStack() as ends:
        yield {name: ends.enter_context(_started(family, name, options)) for name in names}


@contextmanager
def _started(family: str, name: str, options: Options) -> Iterator[Loop]:
    context = multiprocessing.get_context("spawn")  # a copy of this process could not start torch's threads
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, family, name, options, torch.get_num_threads()))
    process.start()
    there.close()

    def loop(images: int) -> Seconds:
        here.send(images)
        try:
            seconds: Seconds = here.recv()
        except EOFError:
            raise RuntimeError(f"the process of the loop '{name}' of {family} ended") from None
        return seconds

    try:
        yield loop
    finally:
        here.close()
        process.join()


def _serve(pipe: Connection, family: str, name: str, options: Options, threads: int) -> None:
    if name.startswith(OURS):
        keep_freed_memory()
    torch.set_num_threads(threads)
    loop = importlib.import_module(f"tests.benchmarks.{family}").contest(options).loops[name]
    while True:
        try:
            images = pipe.recv()
        except EOFError:
            return
        seconds = loop(images)
        assert torch.get_num_threads() == threads, "no loop may change the number of threads"
        pipe.send(seconds)
