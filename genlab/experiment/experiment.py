"""From a configuration to the objects of an experiment: the same steps for training, resuming and sampling."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import yaml

from genlab.config.schema import build, check
from genlab.config.targets import locate
from genlab.data.dataset import Dataset, prepare
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError, did_you_mean
from genlab.models.base import Model
from genlab.numerics.rng import derive
from genlab.optimizers.recipe import Recipe
from genlab.tracking.run_folder import RunFolder
from genlab.training import checkpoint
from genlab.training.devices import Device
from genlab.training.length import Preferred, Training

Config = Mapping[str, Any]

FEW_LABELS_EPOCHS = 300
"""On 100 digits of MNIST the error stands still after 150 passes, and after 3000 it is the same."""

SECTIONS = ("preferred", "dataset", "model", "optimizer", "device", "train")


@dataclass(frozen=True)
class Parts:
    """What could be built and checked from the configuration alone, before any data is read."""

    device: Device
    training: Training
    recipe: Recipe
    default_examples: int
    default_epochs: int | None
    """In the place of `default_examples`, where a model prefers a number of passes."""
    closed_form: bool
    few_labels: bool
    """Whether the default length is limited to FEW_LABELS_EPOCHS passes."""

    def length(self, dataset: Dataset) -> int:
        """Length of the training in examples. Raises GenlabError where it does not fit the batch size."""
        epoch = len(dataset.train)
        default = self.default_examples if self.default_epochs is None else self.default_epochs * epoch
        if self.few_labels:
            default = min(default, max(FEW_LABELS_EPOCHS * epoch, self.training.batch_size))
        return self.training.total(epoch, default, cut=self.closed_form)


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
    family = _target(config, "model")
    check(config["model"], "model", family)
    device = make_device(config["device"])
    (length,) = check(config["train"], "train", Training)
    (preferred,) = check(config["preferred"], "preferred", Preferred)
    recipe = make_recipe(config)
    # A model's preferred length is meant for one evaluation of the loss a step; L-BFGS makes many of each batch.
    examples, epochs = preferred["examples"] // recipe.evaluations, preferred.get("epochs")
    closed_form = bool(getattr(family, "closed_form", False))
    few = config["dataset"].get("labelled") is not None and bool(getattr(family, "needs_labels", False))
    return Parts(device, Training(**length), recipe, examples, epochs, closed_form, few)


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
    dataset = prepare(target(**own), **shared)
    return dataset.labelled_only() if _needs_every_label(config) else dataset


def _needs_every_label(config: Config) -> bool:
    """Whether the model is told the class of each example that it trains on."""
    family = _target(config, "model")
    told = getattr(family, "needs_labels", False) or config["model"].get("conditional") is True
    return told and not getattr(family, "uses_unlabelled", False)


def make_model(config: Config, data: DataSpec) -> Model:
    """The untrained model on the CPU, its initial parameters a function of the seed."""
    torch.manual_seed(derive(config["seed"], "parameters"))
    model = build(config["model"], "model", data=data, optimizer=make_recipe(config))
    assert isinstance(model, Model), "a target under genlab.models is a Model"
    if (size := config["train"]["batch_size"]) < model.least_batch:
        raise GenlabError(
            f"train.batch_size={size}: an update of this model takes {model.least_batch} examples or more; set a larger batch"
        )
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
