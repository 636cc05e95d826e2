"""The end of a sweep: one table over all its jobs, and failures with their reasons."""

import math
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, flag_override
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from genlab.composition.catalogue import GROUPS
from genlab.composition.compose import with_typed_length
from genlab.composition.own_code import allow_composed
from genlab.composition.words import as_typed
from genlab.errors import GenlabError, complain
from genlab.metrics.rounding import plain as plain_number
from genlab.metrics.rounding import rounded
from genlab.sweeping.launchers import SWEEPER, require_plugins
from genlab.tracking.next_steps import below_each_other, to_type
from genlab.tracking.own_folder import discard_if_empty
from genlab.tracking.run_folder import RunFolder

MOST_COLUMNS = 4
MOST_JOBS = 10_000
WIDEST = 10_000  # characters of a table of any width


class Summary(Callback):
    """Hydra calls this in the process that starts the sweep, with every launcher."""

    under_way: ClassVar[Path | None] = None
    """Folder of the sweep that this process has started, until it ends."""
    quiet: ClassVar[bool] = False
    """Whether the end of a sweep is shown by someone else."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        Summary.under_way = Path(config.hydra.sweep.dir)
        _refuse_missing(config)
        words = settle_experiment(config)
        _refuse_too_many(words, config.hydra.sweeper._target_)
        if config.hydra.job.name == "train" and config.hydra.sweeper._target_ != SWEEPER:  # which checks its own values
            _refuse_mistakes(words)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder, Summary.under_way = Summary.under_way, None
        told = Summary.quiet or config.hydra.sweeper._target_ == SWEEPER
        if folder is not None and not told and summarise(folder, config.hydra.job.name):
            raise SystemExit(1)


def _refuse_missing(config: DictConfig) -> None:
    """End the sweep where its launcher or its sweeper is not installed."""
    try:
        require_plugins(config.hydra)
    except GenlabError as error:  # Hydra would make a warning of it
        complain(str(error))
        discard_unbegun()
        raise SystemExit(2) from None


def settle_experiment(config: DictConfig) -> list[str]:
    """The overrides of the jobs: what an experiment sweeps over (hydra.sweeper.params), and the command line, which wins.

    An experiment may sweep over other experiments. Then its own name is no override of its jobs, and they are told that they
    are jobs of a sweep.
    """
    task = as_typed(config.hydra.overrides.task)
    params = dict(config.hydra.sweeper.get("params") or {})
    if "experiment" in params:
        task = [word for word in task if word.partition("=")[0] != "experiment"]
        with flag_override(config, ["struct", "readonly"], False):
            config.hydra.overrides.task = task
            config.hydra.overrides.hydra = [*as_typed(config.hydra.overrides.hydra), "hydra.mode=MULTIRUN"]
    typed = {word.lstrip("+").partition("=")[0] for word in task}
    return [f"{key}={value}" for key, value in params.items() if key not in typed] + task


def _refuse_too_many(overrides: list[str], sweeper: str) -> None:
    """End a sweep of more than MOST_JOBS jobs, which Hydra would write down one by one before it starts the first.

    Other sweepers than Hydra's own draw from the values, as many as they are told to.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if sweeper != "hydra._internal.core_plugins.basic_sweeper.BasicSweeper":
        return
    jobs, largest, most = 1, "", 0
    for override in OverridesParser.create().parse_overrides(overrides):
        values = number_of_values(override)
        jobs *= values
        if values > most:
            largest, most = str(override.input_line), values
    if jobs > MOST_JOBS:
        complain(f"{largest}: a sweep of {jobs:,} jobs; genlab starts {MOST_JOBS:,} at most: name fewer values")
        discard_unbegun()
        raise SystemExit(2)


def number_of_values(override: Override) -> int:
    """How many values an override sweeps over; 1 where it does not, or where only Hydra can tell."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return len(value.list)
    if not isinstance(value, RangeSweep) or value.start is None or value.stop is None:
        return 1
    values = (value.stop - value.start) / value.step if value.step else math.inf
    return math.ceil(max(0.0, min(values, 1e18)))  # also of an endless one


def _refuse_mistakes(overrides: list[str]) -> None:
    """End the sweep before its first job, where one of its values is a mistake that can be found without data.

    Each value is tried with the first of the others. Sweepers other than Hydra's own have a syntax of their own: their values
    are not tried.
    """
    from hydra import compose
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from genlab.composition.explain import explain
    from genlab.config.schema import plain
    from genlab.experiment.experiment import Experiment

    choices = []
    for override in OverridesParser.create().parse_overrides(overrides):
        if not override.is_sweep_override():
            choices.append([override.input_line or ""])
        elif override.is_discrete_sweep():
            key = override.get_key_element()
            choices.append([f"{key}={value}" for value in override.sweep_string_iterator()])
        else:
            return
    first = [values[0] for values in choices]
    for k, values in enumerate(choices):
        for value in values if k == 0 else values[1:]:
            chosen = [*first[:k], value, *first[k + 1 :]]
            try:
                composed = with_typed_length(plain(compose("train", chosen)), chosen)
                allow_composed(composed)
                Experiment(composed)
            except Exception as error:
                line = explain(error, "train", chosen)
                if line is not None:
                    complain(line)
                    discard_unbegun()
                    raise SystemExit(2) from None


def discard_unbegun() -> None:
    """Remove the folder of a sweep that failed before its first job, where it holds nothing but Hydra's own note."""
    folder, Summary.under_way = Summary.under_way, None
    if folder is not None and folder.is_dir() and [path.name for path in folder.glob("*")] in ([], ["multirun.yaml"]):
        (folder / "multirun.yaml").unlink(missing_ok=True)
        discard_if_empty(folder)


def summarise(folder: Path, command: str) -> int:
    """Print the table of a sweep of `command` in `folder`, and return the number of failed jobs."""
    from genlab.tracking.console import console, fact

    jobs = sorted((RunFolder(p.parent) for p in folder.glob("*/run.json")), key=lambda job: _number(job.path))
    infos = [job.info() for job in jobs]
    states = [job.state for job in jobs]
    overrides = [_overrides(info) for info in infos]
    varied = [key for key in _keys(overrides) if len({o.get(key) for o in overrides}) > 1]
    measures = _in_turns([list(info.get("results", {})) for info in infos])
    rows = [
        ([str(_number(job.path)), *(chosen.get(key, "") for key in varied), state], info)
        for job, chosen, info, state in zip(jobs, overrides, infos, states, strict=True)
    ]
    for columns in range(MOST_COLUMNS, -1, -1):  # as many measures as the screen is wide enough for
        table = _table(["job", *varied, "state"], rows, measures[:columns])
        if Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum <= console.width:
            break
    console.print(table)
    failures = [(job, state) for job, state in zip(jobs, states, strict=True) if state != "finished"]
    for job, state in failures:
        console.print(f"job {_number(job.path)} {state}: {job.error}", style="red", markup=False)
    if picture := draw_sweep(folder, jobs, [_label(chosen, varied) for chosen in overrides]):
        fact("curves", str(picture))
    fact("folder", str(folder))
    finished = [chosen for chosen, state in zip(overrides, states, strict=True) if state == "finished"]
    if steps := next_steps(command, folder, [chosen.get("run", "latest") for chosen in finished]):
        fact("next", below_each_other(steps))
    return len(failures)


def _table(heads: Sequence[str], rows: Sequence[tuple[list[str], dict[str, Any]]], measures: Sequence[str]) -> Table:
    """A line a job: what it is, its `measures`, and the seconds that it took."""
    table = Table(title=f"sweep of {len(rows)} jobs", title_justify="left", box=None, pad_edge=False)
    for head in heads:
        table.add_column(head)
    for head in (*measures, "seconds"):
        table.add_column(head, justify="right", no_wrap=True)
    for cells, info in rows:
        results, cost = info.get("results", {}), info.get("cost", {})
        found = [results.get(measure) for measure in measures]
        shown = [plain_number(rounded(result["value"], result["stderr"])) if result else "" for result in found]
        table.add_row(*map(escape, [*cells, *shown]), f"{cost['seconds']:,.1f}" if cost else "")
    return table


def next_steps(command: str, folder: Path, runs: list[str]) -> list[str]:
    """What to type after a sweep of `command` in `folder`, whose finished jobs were about `runs`."""
    if not runs:
        return []
    if command == "train":
        return [to_type("compare", folder), to_type("dashboard", folder)]
    return [to_type("compare", *dict.fromkeys(runs))] if command == "evaluate" else []


def _label(chosen: Mapping[str, str], varied: Sequence[str]) -> str:
    """'adam', or 'k=5, seed=1': what is particular to a job. The choice in a group needs no key."""
    return ", ".join(
        chosen[key] if key in GROUPS else f"{key.rpartition('.')[2]}={chosen[key]}" for key in varied if key in chosen
    )


def draw_sweep(folder: Path, jobs: Sequence[RunFolder], labels: Sequence[str]) -> Path | None:
    """sweep_curves.png: the learning curves of all jobs of a sweep of trainings, and its caption."""
    from genlab.config.targets import locate
    from genlab.experiment.opening import read_config
    from genlab.plots.captions import write_captions
    from genlab.plots.images import save_png
    from genlab.report.sweep_curves import Job, read_records, sweep_curves

    found = []
    for job, label in zip(jobs, labels, strict=True):
        if records := read_records(job.metrics):
            family = locate(read_config(job)["model"]["_target_"], "model")
            found.append(Job(label, records, getattr(family, "charts", {})))
    picture = sweep_curves(found)
    if picture is None:
        return None
    save_png(folder / "sweep_curves.png", picture)
    write_captions(folder)
    return folder / "sweep_curves.png"


def _overrides(info: dict[str, Any]) -> dict[str, str]:
    lines = info.get("overrides", [])
    return {key.lstrip("+"): value for key, _, value in (str(line).partition("=") for line in lines)}


def _keys(dictionaries: list[Any]) -> list[str]:
    return list(dict.fromkeys(key for dictionary in dictionaries for key in dictionary))


def _in_turns(lists: list[list[str]]) -> list[str]:
    """The first of each list, then the second of each, ...: so families that measure different things have a column each."""
    return list(dict.fromkeys(name for rank in zip_longest(*lists) for name in rank if name is not None))


def _number(job: Path) -> int:
    head = job.name.partition("_")[0]
    return int(head) if head.isdigit() else 0
