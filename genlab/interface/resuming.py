"""Going on with a run: exactly where it stopped, or to a greater length."""

from typing import Any

import yaml

from genlab.config.targets import words_that_allow
from genlab.data.places import PLACES, foreign_root_of, moved
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.experiment.lengthening import CHANGEABLE, train_on, waits, with_training
from genlab.experiment.opening import read_config
from genlab.experiment.starting import copy_start
from genlab.interface.session import train_to_the_end
from genlab.tracking.console import console, prose
from genlab.tracking.next_steps import to_type
from genlab.tracking.which_run import find_run
from genlab.training import checkpoint


def resume(name: str, overrides: list[str], shell: bool = True) -> float:
    """Train a run to its end, or on, where `overrides` make it longer; returns the best validation loss.

    In a `shell` the report ends with commands to type. Raises GenlabError where the run cannot be resumed, or where `overrides`
    would change it.
    """
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
            console.print(
                f"{run.path} is finished already; sample from it with: {to_type('sample', f'run={run.path}', *own)}, "
                f"or train it on with: {to_type('resume', run.path, *own)} train.epochs=N",
                markup=False,
            )
            return float("nan")
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
    return train_to_the_end(experiment, run, shell)


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
