"""The end of a sweep: one table over all its jobs, failures with their reasons, and the columns of TensorBoard's table."""

import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar

import yaml
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, flag_override
from rich.table import Table

from genlab.commands.job import discard_if_empty
from genlab.commands.list import GROUPS
from genlab.tracking.run_folder import RunFolder

MOST_COLUMNS = 4


class Summary(Callback):
    """Hydra calls this in the process that starts the sweep, with every launcher."""

    under_way: ClassVar[Path | None] = None
    """Folder of the sweep that this process has started, until it ends."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        Summary.under_way = Path(config.hydra.sweep.dir)
        words = settle_experiment(config)
        if config.hydra.job.name == "train":
            _refuse_mistakes(words)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder, Summary.under_way = Summary.under_way, None
        if folder is not None and summarise(folder):
            raise SystemExit(1)


def settle_experiment(config: DictConfig) -> list[str]:
    """The overrides of the jobs: what an experiment sweeps over (hydra.sweeper.params), and the command line, which wins.

    An experiment may sweep over other experiments. Then its own name is no override of its jobs, and they are told that they
    are jobs of a sweep.
    """
    task = list(config.hydra.overrides.task)
    params = dict(config.hydra.sweeper.get("params") or {})
    if "experiment" in params:
        task = [word for word in task if word.partition("=")[0] != "experiment"]
        with flag_override(config, ["struct", "readonly"], False):
            config.hydra.overrides.task = task
            config.hydra.overrides.hydra = [*config.hydra.overrides.hydra, "hydra.mode=MULTIRUN"]
    typed = {word.lstrip("+").partition("=")[0] for word in task}
    return [f"{key}={value}" for key, value in params.items() if key not in typed] + task


def _refuse_mistakes(overrides: list[str]) -> None:
    """End the sweep before its first job, where one of its values is a mistake that can be found without data.

    Each value is tried with the first of the others. Sweepers other than Hydra's own have a syntax of their own: their values
    are not tried.
    """
    from hydra import compose
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from genlab.commands.explain import explain
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
                Experiment(plain(compose("train", chosen)))
            except Exception as error:
                line = explain(error, "train", chosen)
                if line is not None:
                    print(f"genlab: error: {line}", file=sys.stderr)
                    discard_unbegun()
                    raise SystemExit(2) from None


def discard_unbegun() -> None:
    """Remove the folder of a sweep that failed before its first job, where it holds nothing but Hydra's own note."""
    folder, Summary.under_way = Summary.under_way, None
    if folder is not None and [path.name for path in folder.glob("*")] == ["multirun.yaml"]:
        (folder / "multirun.yaml").unlink()
        discard_if_empty(folder)


def summarise(folder: Path) -> int:
    """Print the table of the sweep in `folder`, tell TensorBoard its columns, and return the number of failed jobs."""
    from genlab.tracking.console import console

    jobs = sorted((RunFolder(p.parent) for p in folder.glob("*/run.json")), key=lambda job: _number(job.path))
    infos = [job.info() for job in jobs]
    configs = [yaml.safe_load(p.read_text()) for p in (job.path / "config.yaml" for job in jobs) if p.exists()]
    overrides = [_overrides(info) for info in infos]
    varied = [key for key in _keys(overrides) if len({o.get(key) for o in overrides}) > 1]
    measures = _in_turns([list(info.get("results", {})) for info in infos])
    table = Table(title=f"sweep of {len(jobs)} jobs", title_justify="left", box=None, pad_edge=False)
    for column in ("job", *varied, "state"):
        table.add_column(column)
    for measure in measures[:MOST_COLUMNS]:
        table.add_column(measure, justify="right", no_wrap=True)
    table.add_column("seconds", justify="right")
    for job, chosen, info in zip(jobs, overrides, infos, strict=True):
        results, cost = info.get("results", {}), info.get("cost", {})
        cells = [str(_number(job.path)), *(chosen.get(key, "") for key in varied), str(info.get("state"))]
        for measure in measures[:MOST_COLUMNS]:
            result = results.get(measure)
            cells.append(f"{result['value']:.5g} ± {result['stderr']:.2g}" if result else "")
        table.add_row(*cells, f"{cost['seconds']:,.1f}" if cost else "")
    console.print(table)
    failures = [(job, info) for job, info in zip(jobs, infos, strict=True) if info.get("state") != "finished"]
    for job, info in failures:
        console.print(f"job {_number(job.path)} {info.get('state')}: {info.get('error')}", style="red", markup=False)
    if picture := draw_sweep(folder, jobs, [_label(chosen, varied) for chosen in overrides]):
        console.print(f"  curves       {picture}", markup=False)
    console.print(f"  folder       {folder}\n  next         genlab dashboard {folder}", markup=False)
    if configs:
        _write_columns(folder, configs, varied, measures)
    return len(failures)


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


def _write_columns(folder: Path, configs: list[dict[str, Any]], first: list[str], measures: list[str]) -> None:
    """Make every hyperparameter that differs between the jobs a column of TensorBoard's table; those swept over come `first`."""
    from genlab.tracking.events import EventWriter
    from genlab.tracking.tracker import hyperparameters

    flat = [hyperparameters(config) for config in configs]
    taken = {key: [values[key] for values in flat if key in values] for key in _keys(flat)}
    differing = [key for key, values in taken.items() if len(set(values)) > 1 or len(values) < len(flat)]
    columns = dict.fromkeys([key for key in first if key in taken] + differing or ["seed"])
    writer = EventWriter(folder)
    writer.hparams_columns({key: taken[key] for key in columns if key in taken}, measures)
    writer.close()


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
