"""What the runner adds to a model's own loop: the real one, run for a short while with all its logging on."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from genlab.benchmark.hardware import synchronize
from genlab.data.dataset import Dataset
from genlab.errors import InterruptedRun
from genlab.experiment.experiment import Parts, check_experiment
from genlab.models.base import Model
from genlab.tracking.console import console
from genlab.tracking.run_folder import RunFolder
from genlab.training.trainer import Loop


class Laps:
    """Seconds of every call of the methods it watches, each without the watched calls within."""

    def __init__(self, where: torch.device) -> None:
        self.where = where
        self.seconds: dict[str, list[float]] = {}
        self._within = [0.0]

    def watch(self, owner: object, method: str, name: str) -> None:
        call: Callable[..., Any] = getattr(owner, method)

        def timed(*args: Any, **options: Any) -> Any:
            self._within.append(0.0)
            start = time.perf_counter()
            try:
                return call(*args, **options)
            finally:
                synchronize(self.where)  # so that nobody waits for what another one started
                taken = time.perf_counter() - start
                self.seconds.setdefault(name, []).append(taken - self._within.pop())
                self._within[-1] += taken

        setattr(owner, method, timed)


@contextmanager
def unseen() -> Iterator[None]:
    """What the console shows is laid out as ever, but not written: lines of a benchmark's training are nobody's concern."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def runner_cost(
    model: Model, dataset: Dataset, parts: Parts, config: Mapping[str, Any], examples: int
) -> dict[str, float]:
    """Seconds for every example seen that a whole training spends on `logging` and on `evaluation`.

    The runner trains on `examples` examples in a folder of its own, where each kind of event happens at least once; what
    one of them takes is then spread over the examples between two of them in the training that `config` describes.
    `logging` is records, TensorBoard, pictures, checkpoints, progress and rates; `evaluation` is the validation split.
    On a GPU everything is waited for, and the figures are upper bounds.
    """
    train = {**config["train"], "epochs": None, "examples": examples, "log_every": max(1, examples // 8)}
    train |= dict.fromkeys(("eval_every", "sample_every", "checkpoint_every"), max(1, examples // 2))
    short = {**config, "train": train}
    laps = Laps(parts.device.resolve())
    with tempfile.TemporaryDirectory(prefix="genlab-benchmark-") as folder:
        run = RunFolder(Path(folder))
        run.create(short)
        loop = Loop(model, dataset, check_experiment(short).training, parts.device, run, short, examples)
        for method, name in {
            "fit": "runner",
            "_next": "updates",
            "_training_scalars": "means",
            "_show": "pictures",
            "save": "checkpoint",
            "_validate": "best",
            "evaluate": "evaluation",
        }.items():
            laps.watch(loop, method, name)
        laps.watch(loop.tracker, "record", "record")
        try:
            with unseen():
                loop.fit()
        except InterruptedRun as stop:
            raise InterruptedRun(
                f"{stop.args[0].split(' ')[0]}: the benchmark keeps nothing", stop.signal_number
            ) from None
    every = parts.training.cadence(len(dataset.train), parts.length(dataset))
    once = {name: min(seconds) for name, seconds in laps.seconds.items()}  # a first time sets libraries up
    typical = {name: fmean(seconds) for name, seconds in laps.seconds.items()}
    best = max(laps.seconds.get("best", [0.0]))  # where the loss did not improve, nothing was written
    logging = (
        once["runner"] / examples
        + (typical.get("means", 0.0) + typical["record"]) / every["log"]
        + once["pictures"] / every["sample"]
        + once["checkpoint"] / every["checkpoint"]
        + best / every["eval"]
    )
    validating = laps.seconds["evaluation"][:-1]  # the last one is that of the test split
    return {"logging": logging, "evaluation": min(validating, default=0.0) / every["eval"]}
