"""An experiment: what a configuration describes, checked once and built once.

Training, resuming, benchmarks and trained runs (opening.py) all start from the same object:

    experiment = Experiment(config)        # every mistake that can be found without data is found here
    experiment.build()                     # reads the data, fixes the length, makes the model
    experiment.trainer(run).fit()
"""

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from genlab.config.schema import check, family_of
from genlab.config.targets import ALLOW, locate, packages_of
from genlab.config.types import Seed
from genlab.data.dataset import Dataset, RawData
from genlab.data.download import foreign_root
from genlab.data.spec import DataSpec
from genlab.data.splits import prepare
from genlab.errors import GenlabError, did_you_mean
from genlab.experiment.sharing import check_batches, check_shares
from genlab.models.base import Model
from genlab.networks.whole_batch_norm import take_whole_batches
from genlab.numerics import ranks
from genlab.numerics.memory import WithinMemory, check_memory_of_training
from genlab.numerics.rng import derive
from genlab.optimizers.recipe import Recipe
from genlab.tracking.other_trackers import kinds_of
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.run_names import of_config
from genlab.training.devices import Device
from genlab.training.follower import Follower
from genlab.training.lowest_loss import check_patience
from genlab.training.sections import Preferences, TrainSection
from genlab.training.trainer import Trainer

Config = Mapping[str, Any]

FEW_LABELS_EPOCHS = 300
"""On 100 digits of MNIST the error stands still after 150 passes, and after 3000 it is the same."""

SECTIONS = ("preferred", "dataset", "model", "optimizer", "device", "train")


class Experiment:
    """Device, optimizer, length, data and model of one configuration.

    The data are read, and the model is made, when they are first asked for. Both may be set instead, to something that no
    configuration describes.
    """

    def __init__(self, config: Config, device: Device | None = None, foreign_root: str | None = None) -> None:
        """Checks the whole configuration. Raises GenlabError for the first mistake.

        `device` takes the place of the section of this name: a trained run may be opened on another machine. Nothing is written
        into `foreign_root` (data/download.py).
        """
        self.foreign_root = foreign_root
        _check_keys(config)
        (top,) = check({"seed": config.get("seed")}, "", _seed)
        self.seed: int = top["seed"]
        self.facts: dict[str, Any] = {}
        """What run.json says of the experiment beside its configuration."""
        if found := packages_of(config):
            self.facts["packages"] = found
        self._source, self._source_keys, self._preparation = _with_target(config, "dataset", prepare)
        self._family, self._model_keys = _with_target(config, "model", base=Model)
        self.device = device or Device.of(config["device"])
        (train,) = check(config["train"], "train", TrainSection)
        (preferred,) = check(config["preferred"], "preferred", Preferences)
        self.preferences = Preferences(**preferred)
        algorithm, algorithm_keys, shared = _with_target(config, "optimizer", Recipe)
        self.recipe = Recipe(create=algorithm(**algorithm_keys), **shared)
        self.train = TrainSection(**train)
        check_batches(self._family, self.train, self.processes)
        self.config: dict[str, Any] = {
            **config,
            **top,
            "dataset": {**config["dataset"], **self._source_keys, **self._preparation},
            "model": {**config["model"], **self._model_keys},
            "optimizer": {**config["optimizer"], **algorithm_keys, **shared},
            "train": {**config["train"], **train},
        }

    @cached_property
    def dataset(self) -> Dataset:
        """The data, on the device. Raises GenlabError where they are missing or damaged."""
        token = foreign_root.set(self.foreign_root)
        try:
            raw = self._source(**self._source_keys)
        finally:
            foreign_root.reset(token)
        if not isinstance(raw, RawData):
            raise GenlabError(f"dataset._target_={self.config['dataset']['_target_']} does not return a RawData")
        dataset = prepare(raw, **self._preparation)
        if self._needs_every_label:
            dataset = dataset.labelled_only()
        return dataset.to(self.device.resolve())

    @property
    def _needs_every_label(self) -> bool:
        """Whether the model is given the class of each example that it trains on."""
        conditional = getattr(self._family, "needs_labels", False) or self._model_keys.get("conditional") is True
        return conditional and not getattr(self._family, "uses_unlabelled", False)

    @cached_property
    def examples(self) -> int:
        """Length of the training in examples. Raises GenlabError where it does not fit the batch size."""
        return self.length_of(self.train)

    def length_of(self, train: TrainSection) -> int:
        """Length in examples that such a section gives the training."""
        closed_form = bool(getattr(self._family, "closed_form", False))
        return train.length(len(self.dataset.train), self.preferred_examples, cut_last=closed_form)

    @cached_property
    def preferred_examples(self) -> int:
        """The length that the model prefers with these data and this optimizer, in examples."""
        epoch, preferred = len(self.dataset.train), self.preferences
        # A model's preferred length is meant for one evaluation of the loss a step; L-BFGS makes many of each batch.
        length = preferred.examples // self.recipe.evaluations
        if preferred.epochs is not None:
            length = preferred.epochs * epoch
        if self._preparation.get("labelled") is not None and getattr(self._family, "needs_labels", False):
            length = min(length, max(FEW_LABELS_EPOCHS * epoch, self.train.batch_size))
        return length

    @cached_property
    def model(self) -> Model:
        """The untrained model for the data of the experiment, on the CPU."""
        return self.untrained(self.dataset.spec)

    def untrained(self, data: DataSpec) -> Model:
        """A new model of data of this specification, on the CPU. Its initial parameters are a function of the seed.

        Raises GenlabError where the family cannot model such data, or needs larger batches.
        """
        torch.manual_seed(derive(self.seed, "parameters"))
        with WithinMemory(self._named):
            model: Model = self._family(data=data, optimizer=self.recipe, **self._model_keys)
        if self.train.batch_size < model.least_batch:
            raise GenlabError(
                f"train.batch_size={self.train.batch_size}: an update of this model takes {model.least_batch} examples "
                "or more; set a larger batch"
            )
        return model

    @property
    def _named(self) -> str:
        """The network, as a message names it."""
        widths = self._model_keys.get("hidden")
        return f"model={family_of(self._family.__name__)}" + ("" if widths is None else f" with model.hidden={widths}")

    @property
    def start(self) -> str | None:
        """The run whose parameters a family that can start from another takes; a user's own model may have such a key, too."""
        return self._model_keys.get("start") if hasattr(self._family, "start_from") else None

    def set_model_keys(self, **keys: Any) -> None:
        """Add keys to the model's section that follow from something outside of the configuration (starting.py)."""
        self.config = {**self.config, "model": {**self.config["model"], **keys}}
        self._model_keys |= keys

    def build(self) -> None:
        """Prepare the device, read the data, fix the length and make the model.

        Raises GenlabError for every mistake that the data bring to light. Nothing is written.
        """
        self.device.prepare()
        _ = self.dataset, self.examples, self.model
        if self.device.resolve().type == "cpu":
            check_memory_of_training(self.model, self._named)
        check_shares(self.model, self.train, self.processes, self.device.shard)
        self.config["device"] = {**self.config["device"], "processes": self.processes}
        check_patience(self.train.patience, self.model, self.dataset, self.seed)

    @property
    def processes(self) -> int:
        """How many processes share each batch of the training."""
        return self.device.processes_for(self.train.batch_size)

    def begin_training(self) -> None:
        """Move the model to the device, and start the stream of random numbers that its training draws from."""
        if self.processes > 1:
            take_whole_batches(self.model)
        self.device.place(self.model)
        ranks.hand_out([*self.model.parameters(), *self.model.buffers()])
        torch.manual_seed(derive(self.seed, "training"))

    def trainer(self, run: RunFolder) -> Trainer:
        """What trains the model in the folder `run`, from its last checkpoint if there is one.

        Processes that take part in the training follow from here on. Raises GenlabError where that checkpoint is damaged, or is
        one of another configuration.
        """
        ranks.tell(
            {
                "config": self.config,
                "last": str(run.last.absolute()) if run.last.exists() else None,
                "path": sys.path,
                "allow": os.environ.get(ALLOW),
            }
        )
        self.begin_training()
        if self.facts:
            run.note(**self.facts)
        return Trainer(
            self.model,
            self.dataset,
            self.train,
            self.device,
            run,
            self.config,
            self.examples,
            preferred=self.preferred_examples,
        )

    def follower(self, last: Path | None) -> Follower:
        """What takes part in a training that another process leads, from the checkpoint `last` if there is one."""
        self.begin_training()
        return Follower(self.model, self.dataset, self.train, self.device, self.config, self.examples, last)


def _check_keys(config: Config) -> None:
    """Raises GenlabError where a section is missing, or a key is unknown."""
    for section in SECTIONS:
        if not isinstance(config.get(section), Mapping):
            raise GenlabError(f"{section}={config.get(section)}: name one of those that genlab list shows")
    of_config(config)
    kinds_of(config.get("tracker"))
    if not isinstance(config.get("init"), str | None):
        raise GenlabError(f"init={config['init']}: name a run, or 'latest', as in init=latest")
    known = {"seed", "name", "tag", "note", "tracker", "init", *SECTIONS}
    for key in config:
        if key not in known:
            raise GenlabError(f"{key} is not a key of the configuration; {did_you_mean(str(key), known)}")


def _seed(*, seed: Seed) -> None:
    """The schema of the seed, which belongs to no section."""


def _with_target(
    config: Config, section: str, *others: Callable[..., Any], base: type | None = None
) -> tuple[Any, ...]:
    """The `_target_` of a section, its own arguments, and those of each of the `others` that share the section.

    Raises GenlabError where it is no class that can be made and is derived from `base`.
    """
    target = locate(config[section].get("_target_"), section)
    if base is not None and not (
        inspect.isclass(target) and issubclass(target, base) and not inspect.isabstract(target)
    ):
        name = f"{base.__module__}.{base.__name__}"
        raise GenlabError(
            f"{section}._target_={config[section]['_target_']} is no subclass of {name} with all its methods"
        )
    return target, *check(config[section], section, target, *others)
