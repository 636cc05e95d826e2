"""genlab resume RUN: go on exactly where a run stopped, with the configuration that it has."""

import re
import sys

import yaml

from genlab.composition.words import exists
from genlab.data.places import PLACES, foreign_root_of, moved
from genlab.errors import GenlabError, InterruptedRun

USAGE = (
    "usage: genlab resume RUN     RUN is a run folder, or 'latest', the newest that has not finished; "
    "with dataset.path or dataset.root, where its data lie now"
)


def main(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)
        return 0
    arguments = [word for word in arguments if word != "--"]
    overrides = [word for word in arguments if is_override(word)]
    runs = [word.removeprefix("run=") for word in arguments if word not in overrides] or overrides[:1]
    if len(runs) != 1:
        raise GenlabError(f"resume takes one run folder, or 'latest' (given: {', '.join(runs) or 'none'}); {USAGE}")
    try:
        resume(runs[0], overrides)
    except InterruptedRun as stop:
        print(f"genlab: {stop}", file=sys.stderr)
        return 128 + stop.signal_number
    return 0


def is_override(word: str) -> bool:
    """Whether a word is key=value, and no run: a path may hold a '=' too."""
    key, equals, _ = word.partition("=")
    return bool(equals) and key != "run" and re.fullmatch(r"\+*[\w.]+", key) is not None and not exists(word)


def resume(name: str, overrides: list[str]) -> None:
    """Train a run to its end. Raises GenlabError where it cannot be resumed, or where `overrides` would change it."""
    from genlab.experiment.experiment import Experiment
    from genlab.experiment.opening import read_config
    from genlab.experiment.starting import copy_start
    from genlab.interface.session import train_to_the_end
    from genlab.tracking.console import console
    from genlab.tracking.next_steps import to_type
    from genlab.tracking.which_run import find_run

    run = find_run(name, wanted="resumable")
    config = read_config(run)
    refuse_other(config, [word for word in overrides if _place(word) is None], name)
    given = dict(pair for word in overrides if (pair := _place(word)) is not None)
    if given:
        config["dataset"] = moved(config.get("dataset") or {}, given)
    if (host := run.elsewhere) is not None:
        console.print(
            f"warning: {run.path} runs on {host}; stop it there, if it still does",
            style="yellow",
            markup=False,
        )
    if run.state == "finished":
        print(f"{run.path} is finished already; sample from it with: {to_type('sample', f'run={run.path}')}")
        return
    experiment = Experiment(config, foreign_root=foreign_root_of(config.get("dataset"), given))
    experiment.build()
    if given:
        run.write_config(experiment.config)
    if not run.last.exists():  # the run stopped before its first checkpoint
        copy_start(experiment)
    train_to_the_end(experiment, run)


def _place(override: str) -> tuple[str, str] | None:
    """Key and value of an override that says where the data lie; None for any other."""
    key, _, value = override.partition("=")
    section, _, name = key.partition(".")
    return (name, value) if section == "dataset" and name in PLACES else None


def refuse_other(config: dict[str, object], overrides: list[str], run: str) -> None:
    """A resumed run is the same run: raises GenlabError where an override would change its configuration."""
    changes = []
    for override in overrides:
        key, _, text = override.lstrip("+").partition("=")
        value: object = config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, dict):  # a group, chosen by its name
            value = value.get("name", str(value.get("_target_", "")).rpartition(".")[2].lower())
        try:
            wanted = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise GenlabError(f"{override}: this cannot be read ({str(error).splitlines()[0]}); leave it out") from None
        if value != wanted:
            changes.append(f"{key}: {value} -> {text}")
    if changes:
        raise GenlabError(
            f"run={run} goes on with its own configuration, and this differs: {'; '.join(changes)}; "
            "leave it out, or start a new run with genlab train"
        )
