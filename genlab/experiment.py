"""From a configuration to the objects of an experiment: the same steps for training, resuming and sampling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import yaml

from genlab import checkpoint
from genlab.config import build, check, locate
from genlab.data.source import Dataset, prepare
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError, did_you_mean
from genlab.models.base import Model
from genlab.optimizers import Recipe
from genlab.parallel import Device
from genlab.random import derive
from genlab.tracking.run_folder import RunFolder
from genlab.training import Preferred, Training

Config = Mapping[str, Any]

SECTIONS = ("preferred", "dataset", "model", "optimizer", "device", "train")


@dataclass(frozen=True)
class Parts:
    """What could be built and checked from the configuration alone, before any data is read."""

    device: Device
    training: Training
    recipe: Recipe
    default_examples: int

    def length(self, dataset: Dataset) -> int:
        """Length of the training in examples. Raises GenlabError where it does not fit the batch size."""
        return self.training.total(len(dataset.train), self.default_examples)


def check_experiment(config: Config) -> Parts:
    """Find every mistake that can be found without data. Raises GenlabError for the first."""
    for section in SECTIONS:
        if not isinstance(config.get(section), Mapping):
            raise GenlabError(f"{section}={config.get(section)}: name one of those that genlab list shows")
    seed = config.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise GenlabError(f"seed={seed}: should be an integer, 0 or larger")
    known = {"seed", *SECTIONS}
    for key in config:
        if key not in known:
            raise GenlabError(f"{key} is not a key of the configuration; {did_you_mean(str(key), known)}")
    check(config["dataset"], "dataset", _target(config, "dataset"), prepare)
    check(config["model"], "model", _target(config, "model"))
    device = make_device(config["device"])
    (length,) = check(config["train"], "train", Training)
    (preferred,) = check(config["preferred"], "preferred", Preferred)
    recipe = make_recipe(config)
    # A model's preferred length is meant for one evaluation of the loss a step; L-BFGS makes many of each batch.
    return Parts(device, Training(**length), recipe, preferred["examples"] // recipe.evaluations)


def _target(config: Config, section: str) -> Any:
    return locate(config[section].get("_target_"), section)


def make_device(section: Config) -> Device:
    (keys,) = check(section, "device", Device)
    device = Device(**keys)
    device.resolve()
    return device


def make_recipe(config: Config) -> Recipe:
    target = _target(config, "optimizer")
    own, shared = check(config["optimizer"], "optimizer", target, Recipe)
    return Recipe(create=target(**own), **shared)


def make_dataset(config: Config) -> Dataset:
    """Read the data. Raises GenlabError where they are missing or damaged."""
    target = _target(config, "dataset")
    own, shared = check(config["dataset"], "dataset", target, prepare)
    return prepare(target(**own), **shared)


def make_model(config: Config, data: DataSpec) -> Model:
    """The untrained model on the CPU, its initial parameters a function of the seed."""
    torch.manual_seed(derive(config["seed"], "parameters"))
    model = build(config["model"], "model", data=data, optimizer=make_recipe(config))
    assert isinstance(model, Model), "a target under genlab.models is a Model"
    return model


def read_config(run: RunFolder) -> dict[str, Any]:
    """The resolved configuration of a run. Raises GenlabError where the file is damaged."""
    path = run.path / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise GenlabError(f"{path} cannot be read ({str(error).splitlines()[0]}); restore it, or train again") from None
    if not isinstance(config, dict):
        raise GenlabError(f"{path} holds no configuration; restore it, or train again")
    return config


def open_model(run: RunFolder, device: Device, which: str) -> tuple[Model, dict[str, Any]]:
    """The trained model of a run on `device`, and its checkpoint (`which` is last or best). Needs no data."""
    state = checkpoint.load(run.checkpoints / f"{which}.pt")
    model = make_model(state["config"], DataSpec.from_state_dict(state["data"]))
    try:
        model.load_state_dict(state["model"])
    except (RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise GenlabError(
            f"run={run.path}: its checkpoint does not fit this version of genlab ({reason}); train again"
        ) from None
    device.place(model)
    model.eval()
    return model, state
