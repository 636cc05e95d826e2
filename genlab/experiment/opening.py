"""Opening a trained run: its configuration, and its model with the parameters of a checkpoint. It needs no data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from genlab.data.dataset import Dataset
from genlab.data.places import PLACES, foreign_root_of, moved
from genlab.data.spec import DataSpec
from genlab.data.units_of_run import in_units_of, numbered_as
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.models.base import Model
from genlab.tracking.run_folder import RunFolder
from genlab.tracking.untrusted import read_yaml
from genlab.training import checkpoint
from genlab.training.devices import Device

Which = Literal["auto", "last", "best"]
"""A checkpoint; auto: the best where train.patience stopped the run, for the sake of which it did, and else the last."""
MOST_NAMED = 6  # classes in a message


@dataclass(frozen=True)
class TrainedRun:
    """A run folder, opened on a device."""

    run: RunFolder
    experiment: Experiment
    """That of the run, on this device. Its data are read when they are asked for."""
    model: Model
    """With the parameters of the checkpoint, on the device, in evaluation mode."""
    examples: int
    """Number of training examples that the model has seen."""
    which: Literal["last", "best"] = "last"
    """The checkpoint."""

    def whole_dataset(self) -> Dataset:
        """The data of the run with all their labels, whatever `dataset.labelled` left of them for the training."""
        section = {**self.experiment.config["dataset"], "labelled": None}
        config, device, root = self.experiment.config, self.experiment.device, self.experiment.foreign_root
        return self.fitting(Experiment({**config, "dataset": section}, device, root).dataset)

    def fitting(self, dataset: Dataset) -> Dataset:
        """`dataset` in the units of the model. Raises GenlabError where it is not what the model was trained on."""
        own = self.model.data
        dataset = numbered_as(in_units_of(dataset, own), own)
        found = dataset.spec
        renamed = None not in (found.class_names, own.class_names) and found.class_names != own.class_names
        if (found.shape, found.support, found.num_classes) != (own.shape, own.support, own.num_classes) or renamed:
            here = ", ".join(
                f"dataset.{k}={v}" for k, v in self.experiment.config["dataset"].items() if k in PLACES and v
            )
            raise GenlabError(
                f"{here or 'dataset'}: these data are {_describe(found)}, and the run was trained on {_describe(own)}; "
                "name the data of the run"
            )
        return dataset


def _describe(data: DataSpec) -> str:
    classes = "without classes" if data.num_classes is None else f"of {data.num_classes} classes"
    if data.class_names is not None:
        shown = ", ".join(data.class_names[:MOST_NAMED]) + (", ..." if len(data.class_names) > MOST_NAMED else "")
        classes += f" ({shown})"
    return f"{'x'.join(map(str, data.shape))}, {data.support}, {classes}"


def open_run(
    run: RunFolder, device: Device, which: Which, places: Mapping[str, Any] = MappingProxyType({})
) -> TrainedRun:
    """Open `run` on `device` at one of its checkpoints; `places` of the dataset section say where its data lie now.

    Raises GenlabError where the checkpoint is missing, damaged, or does not fit this version of genlab.
    """
    path = run.best if which == "best" else run.last
    state = checkpoint.load(path)
    if which == "auto" and state.get("stopped_early") is True:
        path = run.best
        state = checkpoint.load(path)
    with checkpoint.fitting(path):
        config = state["config"]
        dataset = moved(config["dataset"], places)
        experiment = Experiment({**config, "dataset": dataset}, device, foreign_root_of(dataset, places))
        model = experiment.untrained(DataSpec.from_state_dict(state["data"]))
        model.load_state_dict(state["model"])
        examples = int(state["examples"] if "examples" in state else state["batches"]["seen"])
    device.place(model)
    model.eval()
    return TrainedRun(run, experiment, model, examples, "best" if path == run.best else "last")


def read_config(run: RunFolder) -> dict[str, Any]:
    """The resolved configuration of a run. Raises GenlabError where the file is damaged."""
    path = run.path / "config.yaml"
    try:
        config = read_yaml(path)
    except (OSError, GenlabError) as error:
        raise GenlabError(f"{error}; restore it, or train again") from None
    if not isinstance(config, dict):
        raise GenlabError(f"{path} holds no configuration; restore it, or train again")
    return config
