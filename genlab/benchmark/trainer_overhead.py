"""The overhead of the trainer: what it adds to a model's own loop, measured in a short training with all its logging on."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from genlab.benchmark.hardware import synchronize
from genlab.errors import InterruptedRun
from genlab.experiment.experiment import Experiment
from genlab.tracking.console import console
from genlab.tracking.run_folder import RunFolder
from genlab.training.trainer import Trainer

PARTS = {
    "fit": "trainer",
    "training_scalars": "means",
    "show_samples": "pictures",
    "save": "checkpoint",
    "validate": "best",
    "evaluate": "evaluation",
}
"""Method of a trainer -> what its seconds are counted as."""


class Stopwatch:
    """Seconds of every call of the methods it watches, without those of watched calls within it."""

    def __init__(self, where: torch.device) -> None:
        self.where = where
        self.seconds: dict[str, list[float]] = {}
        """Name -> seconds of each call."""
        self._within = [0.0]

    def watch(self, owner: object, method: str, name: str) -> None:
        """Time every call of `owner.method` from now on, as `name`."""
        call: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **options: Any) -> Any:
            self._within.append(0.0)
            start = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                synchronize(self.where)  # so that no call waits for the kernels of another one
                taken = time.perf_counter() - start
                self.seconds.setdefault(name, []).append(taken - self._within.pop())
                self._within[-1] += taken

        setattr(owner, method, timed)


@contextmanager
def quiet_console() -> Iterator[None]:
    """Within the block the console lays out what it shows, at its usual cost, but writes nothing."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def trainer_overhead(experiment: Experiment, examples: int) -> dict[str, float]:
    """Seconds that a whole training spends on `logging` and on `evaluation`, for every example that it sees.

    The trainer trains on `examples` examples in a folder of its own, where each kind of event happens at least once. The time
    of one event is then spread over the examples between two of them in the training that the experiment describes.
    `logging` is records, TensorBoard, pictures, checkpoints, progress and rates; `evaluation` is the validation split.
    On a GPU everything is waited for, so that the results are upper bounds. The model goes on training.
    """
    seldom = max(1, examples // 2)
    keys: dict[str, Any] = {"epochs": None, "examples": examples, "log_every": max(1, examples // 8)}
    keys |= dict.fromkeys(("eval_every", "sample_every", "checkpoint_every"), seldom)
    config = {**experiment.config, "tracker": None, "train": {**experiment.config["train"], **keys}}
    stopwatch = Stopwatch(experiment.device.resolve())
    with tempfile.TemporaryDirectory(prefix="genlab-benchmark-") as folder:
        run = RunFolder(Path(folder))
        run.create(config)
        short = replace(experiment.train, **keys)
        trainer = Trainer(experiment.model, experiment.dataset, short, experiment.device, run, config, examples)
        for method, name in PARTS.items():
            stopwatch.watch(trainer, method, name)
        stopwatch.watch(trainer.updates, "next", "updates")
        stopwatch.watch(trainer.tracker, "record", "record")
        try:
            with quiet_console():
                trainer.fit()
        except InterruptedRun as stop:
            raise InterruptedRun(
                f"{stop.args[0].split(' ')[0]}: the benchmark keeps nothing", stop.signal_number
            ) from None
    every = experiment.train.cadence(len(experiment.dataset.train), experiment.examples)
    once = {name: min(seconds) for name, seconds in stopwatch.seconds.items()}  # the first time sets libraries up
    typical = {name: fmean(seconds) for name, seconds in stopwatch.seconds.items()}
    best = max(stopwatch.seconds.get("best", [0.0]))  # where the loss did not improve, nothing was written
    logging = (
        once["trainer"] / examples
        + (typical.get("means", 0.0) + typical["record"]) / every.log
        + once["pictures"] * (len(every.sample) + 1) / experiment.examples
        + once["checkpoint"] / every.checkpoint
        + best / every.eval
    )
    validating = stopwatch.seconds["evaluation"][:-1]  # the last one is that of the test split
    return {"logging": logging, "evaluation": min(validating, default=0.0) / every.eval}
