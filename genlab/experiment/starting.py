"""Starting from another run (model.start): its network is written into the configuration, its parameters are copied once.

So nothing that comes after the first checkpoint needs that run any more: not resuming, not sampling, not evaluating.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from genlab.config.schema import family_of
from genlab.errors import GenlabError
from genlab.experiment.experiment import open_model
from genlab.models.abilities import Pretrains
from genlab.models.base import Model
from genlab.models.discriminative.classifier import Classifier
from genlab.networks.trunk import Trunk, describe, trunk_of
from genlab.tracking.run_folder import RunFolder, find_run
from genlab.training.devices import Device

CPU = Device(name="cpu", precision="fp32", compile=False, threads=None, processes=1)


def settle(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the run that model.start names found, and its network described in model.trunk.

    Raises GenlabError where there is no such run, or none that has features to lend.
    """
    name = config["model"].get("start")
    if name is None:
        return dict(config)
    run = _find(name)
    model, state, _ = _open(run)
    trunk = describe(state["config"]["model"], model.data)
    return {**config, "model": {**config["model"], "start": str(run.path), "trunk": trunk}}


def inherit(model: Model, config: Mapping[str, Any]) -> None:
    """Give the untrained `model` what the run of model.start has learned; nothing where there is none."""
    name = config["model"].get("start")
    if name is not None:
        assert isinstance(model, Classifier), "only a classifier has model.start"
        _, _, trunk = _open(_find(name))
        model.start_from(trunk)


def _find(name: str) -> RunFolder:
    try:
        return _newest() if name == "latest" else find_run(name)
    except GenlabError as error:
        raise GenlabError(str(error).replace("run=", "model.start=", 1)) from None


def _newest(outputs: Path = Path("outputs")) -> RunFolder:
    """The run started last that has not itself a model.start: in a sweep, the job before is not what one means."""
    found: list[tuple[str, RunFolder]] = []
    for note in (outputs / "train").glob("**/run.json"):
        run = RunFolder(note.parent)
        try:
            model = yaml.safe_load((run.path / "config.yaml").read_text())["model"]
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            continue
        if "start" not in model:
            found.append((str(run.info().get("started", "")), run))
    if not found:
        raise GenlabError(
            f"run=latest: there is no run to start from under {outputs / 'train'}; train one with genlab train model=vae"
        )
    return max(found, key=lambda entry: entry[0])[1]


def _open(run: RunFolder) -> tuple[Model, dict[str, Any], Trunk]:
    """The trained model on the CPU, its checkpoint and what it lends."""
    try:
        model, state = open_model(run, CPU, "last")
    except GenlabError as error:
        raise GenlabError(f"model.start={run.path}: {error}") from None
    if state["config"]["model"].get("conditional") is True and not isinstance(model, Pretrains):
        raise GenlabError(
            f"model.start={run.path}: its encoder is told the class of an example; "
            "start from a run with model.conditional=false"
        )
    trunk = trunk_of(model)
    if trunk is None:
        raise GenlabError(
            f"model.start={run.path}: model={family_of(type(model).__name__)} has no encoder to start from; "
            "name a run of a family that has one, such as model=vae, ae or rbm"
        )
    return model, state, trunk
