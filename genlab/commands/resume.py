"""genlab resume RUN: go on exactly where a run stopped, with the configuration that it has; or train a finished run on."""

import re
import sys
from typing import Any

import yaml

from genlab.composition.words import exists
from genlab.data.places import PLACES, foreign_root_of, moved
from genlab.errors import GenlabError, InterruptedRun
from genlab.tracking.next_steps import to_type

USAGE = """\
usage: genlab resume RUN [key=value ...]
       RUN is a run folder, a name, or 'latest', the newest that has not finished

  genlab resume latest                      goes on exactly where it stopped
  genlab resume RUN train.epochs=40         trains a run on, finished or not, to a greater length
  genlab resume RUN train.patience=null     the keys that may change: the length (train.epochs, train.examples), the cadences
                                            (train.log_every, eval_every, sample_every, checkpoint_every), train.patience
  genlab resume RUN dataset.root=~/data     where its data lie now (dataset.path, dataset.root, dataset.labels)
  genlab resume RUN --config-dir conf       a run of a model of your own, with its files beside conf/ (or allow=mine.Mine)

Another rate, data set or seed makes a new run; it starts from the parameters of this one by: genlab train init=RUN key=value"""
FOLDERS = ("--config-dir", "-cd")


def main(arguments: list[str]) -> int:
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)
        return 0
    arguments = [word for word in _without_folders(arguments) if word != "--"]
    overrides = [word for word in arguments if is_override(word)]
    runs = [word.removeprefix("run=") for word in arguments if word not in overrides] or overrides[:1]
    if len(runs) != 1:
        raise GenlabError(
            f"resume takes one run folder, or 'latest' (given: {', '.join(runs) or 'none'}); write {to_type('resume', 'RUN')}"
        )
    try:
        resume(runs[0], overrides)
    except InterruptedRun as stop:
        print(f"genlab: {stop}", file=sys.stderr)
        return 128 + stop.signal_number
    return 0


def _without_folders(arguments: list[str]) -> list[str]:
    """`arguments` without --config-dir, whose modules and targets are known already (own_code.py)."""
    rest, found = list(arguments), []
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if name not in FOLDERS:
            found.append(word)
        elif not equals and rest:
            rest.pop(0)
    return found


def is_override(word: str) -> bool:
    """Whether a word is key=value, and no run: a path may hold a '=' too."""
    key, equals, _ = word.partition("=")
    return bool(equals) and key != "run" and re.fullmatch(r"\+*[\w.]+", key) is not None and not exists(word)


def resume(name: str, overrides: list[str]) -> None:
    """Train a run to its end. Raises GenlabError where it cannot be resumed, or where `overrides` would change it."""
    from genlab.config.targets import words_that_allow
    from genlab.experiment.experiment import Experiment
    from genlab.experiment.lengthening import CHANGEABLE, train_on, waits, with_training
    from genlab.experiment.opening import read_config
    from genlab.experiment.starting import copy_start
    from genlab.interface.session import train_to_the_end
    from genlab.tracking.console import console, prose
    from genlab.tracking.which_run import find_run
    from genlab.training import checkpoint

    given = dict(pair for word in overrides if (pair := _of_section(word, "dataset", PLACES)) is not None)
    trained = dict(pair for word in overrides if (pair := _of_section(word, "train", CHANGEABLE)) is not None)
    run = find_run(name, wanted="any" if trained else "resumable")
    config = read_config(run)
    others = [
        word
        for word in overrides
        if not _of_section(word, "dataset", PLACES) and not _of_section(word, "train", CHANGEABLE)
    ]
    refuse_other(config, others, name)
    if trained:
        config = with_training(config, {key: _value(f"train.{key}", text) for key, text in trained.items()})
    if given:
        config["dataset"] = moved(config.get("dataset") or {}, given)
    if (host := run.elsewhere) is not None:
        console.print(
            f"warning: {run.path} runs on {host}; stop it there, if it still does",
            style="yellow",
            markup=False,
        )
    if run.state == "finished" and config.get("train") == read_config(run).get("train"):
        state = checkpoint.load(run.last) if run.last.exists() else None
        if state is None or (config.get("train") == state["config"].get("train") and not waits(state)):
            own = words_that_allow(config)
            print(
                f"{run.path} is finished already; sample from it with: {to_type('sample', f'run={run.path}', *own)}, "
                f"or train it on with: {to_type('resume', run.path, *own)} train.epochs=N"
            )
            return
    experiment = Experiment(config, foreign_root=foreign_root_of(config.get("dataset"), given))
    experiment.build()
    if run.last.exists():
        with run.training():
            changed = train_on(experiment, run)
        if changed:
            prose(f"{run.path} {changed}")
    else:  # the run stopped before its first checkpoint
        copy_start(experiment)
    if given or (trained and not run.last.exists()):
        run.write_config(experiment.config)
    train_to_the_end(experiment, run)


def _of_section(override: str, section: str, keys: tuple[str, ...]) -> tuple[str, str] | None:
    """Key and value of an override of one of the `keys` of a section; None for any other."""
    key, _, value = override.lstrip("+").partition("=")
    place, _, name = key.partition(".")
    return (name, value) if place == section and name in keys else None


def _value(key: str, text: str) -> Any:
    """What Hydra would make of the text of a value."""
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[index, call-overload]
    except Exception:
        raise GenlabError(f"{key}={text}: this cannot be read; write a number, as in {key}=40") from None


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
            f"leave it out, or start a new run from its parameters: {to_type('train', f'init={run}')} key=value"
        )
