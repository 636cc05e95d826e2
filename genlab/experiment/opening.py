"""Opening a trained run: its configuration, and its model with the parameters of a checkpoint. It needs no data."""

from dataclasses import dataclass
from typing import Any, Literal

import yaml

from genlab.data.dataset import Dataset
from genlab.data.spec import DataSpec
from genlab.errors import GenlabError
from genlab.experiment.experiment import Experiment
from genlab.models.base import Model
from genlab.tracking.run_folder import RunFolder
from genlab.training import checkpoint
from genlab.training.devices import Device

Which = Literal["last", "best"]


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

    def whole_dataset(self) -> Dataset:
        """The data of the run with all their labels, whatever `dataset.labelled` left of them for the training."""
        section = {**self.experiment.config["dataset"], "labelled": None}
        return Experiment({**self.experiment.config, "dataset": section}, self.experiment.device).dataset


def open_run(run: RunFolder, device: Device, which: Which) -> TrainedRun:
    """Open `run` on `device` at its last or its best checkpoint.

    Raises GenlabError where the checkpoint is missing, damaged, or does not fit this version of genlab.
    """
    state = checkpoint.load(run.checkpoints / f"{which}.pt")
    experiment = Experiment(state["config"], device)
    model = experiment.untrained(DataSpec.from_state_dict(state["data"]))
    try:
        model.load_state_dict(state["model"])
    except (RuntimeError, IndexError) as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise GenlabError(
            f"run={run.path}: its checkpoint does not fit this version of genlab ({reason}); train again"
        ) from None
    device.place(model)
    model.eval()
    return TrainedRun(run, experiment, model, state["examples"] if "examples" in state else state["batches"]["seen"])


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
