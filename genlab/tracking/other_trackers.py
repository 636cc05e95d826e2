"""Trackers of others beside TensorBoard: `tracker=mlflow`, `tracker=wandb`, each through its own library, offline first.

A run of genlab is one run there, also after it was resumed: run.json keeps its id. It is given the configuration, name,
tags and note, every record of metrics.jsonl (the step is the number of examples), pictures, the state at the end, and what
`genlab evaluate` measures. What fails there (a disk, a network) ends no training: one line says so, and metrics.jsonl has
everything.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from genlab.errors import GenlabError, did_you_mean
from genlab.tracking import mlflow_tracker, run_names, wandb_tracker
from genlab.tracking.console import console
from genlab.tracking.run_folder import RunFolder

KINDS = ("mlflow", "wandb")
ID = re.compile(r"[\w-]{1,64}")


class OtherTracker(Protocol):
    """One run in a tracker of another project. Any method may raise whatever its library raises."""

    @property
    def id(self) -> str:
        """What finds it again."""

    def record(self, values: Mapping[str, float], step: int) -> None: ...

    def picture(self, path: Path, step: int) -> None: ...

    def end(self, state: str) -> None: ...


OPENERS: dict[str, Callable[..., OtherTracker]] = {
    "mlflow": mlflow_tracker.MLflowTracker,
    "wandb": wandb_tracker.WandbTracker,
}


def kinds_of(value: object) -> list[str]:
    """The trackers that the key `tracker` names: null, one, or a list. Raises GenlabError for one that there is not."""
    found = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
    for kind in found:
        if kind not in KINDS:
            raise GenlabError(f"tracker={kind}: there is no such tracker; {did_you_mean(str(kind), (*KINDS, 'null'))}")
    return list(dict.fromkeys(map(str, found)))


def require_installed(value: object) -> None:
    """Raises GenlabError where the library of a tracker is missing; nothing is imported."""
    for kind in kinds_of(value):
        if find_spec(kind) is None:
            raise GenlabError(f"tracker={kind}: {kind} is not installed; install it with: pip install 'genlab[{kind}]'")


class OtherTrackers:
    """Those of one run, for one session of its training or for one evaluation. Errors end a tracker, and nothing else."""

    def __init__(self, run: RunFolder, config: Mapping[str, Any], again: bool) -> None:
        """`again` is for a run that is resumed or evaluated: it goes on with the id that run.json has."""
        self.run, self._open = run, dict[str, OtherTracker]()
        known = run.info().get("trackers") if again else None
        known = known if isinstance(known, Mapping) else {}
        names = run_names.of_info(run.info())
        for kind in kinds_of(config.get("tracker")):
            identity = known.get(kind)
            given = str(identity.get("id")) if isinstance(identity, Mapping) else ""
            given = given if ID.fullmatch(given) else ""  # run.json can come from anyone

            def start(kind: str = kind, given: str = given) -> None:
                require_installed(kind)
                self._open[kind] = OPENERS[kind](run.path, config, names, given)

            self._guard(kind, start)
        if self._open:
            run.note(trackers={**known, **{kind: {"id": tracker.id} for kind, tracker in self._open.items()}})

    def record(self, values: Mapping[str, float], step: int) -> None:
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        self._each(lambda tracker: tracker.record(finite, step))

    def pictures(self, paths: Iterable[Path], step: int) -> None:
        for path in paths if self._open else ():
            self._each(partial(_send_picture, path, step))

    def end(self, state: str) -> None:
        self._each(lambda tracker: tracker.end(state))
        self._open.clear()

    def _each(self, act: Callable[[OtherTracker], None]) -> None:
        for kind, tracker in list(self._open.items()):
            self._guard(kind, partial(act, tracker))

    def _guard(self, kind: str, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # whatever a library raises: it is not worth a training
            self._open.pop(kind, None)
            reason = next(iter(str(error).splitlines()), "")[:200] or type(error).__name__
            console.print(
                f"warning: tracker={kind} is given up ({reason}); {self.run.metrics} has everything",
                style="yellow",
                markup=False,
            )


def _send_picture(path: Path, step: int, tracker: OtherTracker) -> None:
    tracker.picture(path, step)


def send_evaluation(
    run: RunFolder,
    config: Mapping[str, Any],
    entries: Mapping[str, Mapping[str, Any]],
    pictures: Sequence[Path],
    step: int,
) -> None:
    """Measures of `genlab evaluate` (as metrics.json has them) and its pictures, to the trackers of the training."""
    known = run.info().get("trackers")
    if not isinstance(known, Mapping) or not known:
        return
    trackers = OtherTrackers(run, {**config, "tracker": [kind for kind in KINDS if kind in known]}, again=True)
    values: dict[str, float] = {}
    for name, entry in entries.items():
        for suffix, key in (("", "value"), ("_stderr", "stderr")):
            if isinstance(entry.get(key), int | float):
                values[f"{name}{suffix}"] = float(entry[key])
    trackers.record(values, step)
    trackers.pictures(pictures, step)
    trackers.end(run.state)


def state_after(error: BaseException | None, stopped: type[BaseException]) -> str:
    """The state of a training that ended so; `stopped` is what a signal raises."""
    if error is None:
        return "finished"
    return "interrupted" if isinstance(error, stopped | KeyboardInterrupt) else "failed"
