"""genlab train: compose -> build -> run."""

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from genlab.commands.job import hydra_files, run_job


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="train")
def main(config: DictConfig) -> float | None:
    return run_job(train, config)


def train(config: dict[str, Any], folder: Path) -> float:
    """Train the experiment that `config` describes in the new run folder `folder`; returns the best validation loss.

    Raises GenlabError for a mistake, before anything is written.
    """
    from genlab.data.places import absolute
    from genlab.experiment.experiment import Experiment
    from genlab.experiment.starting import copy_start, describe_start
    from genlab.tracking.other_trackers import require_installed
    from genlab.tracking.run_folder import RunFolder

    experiment = Experiment(config)
    require_installed(config.get("tracker"))
    describe_start(experiment)
    experiment.build()
    copy_start(experiment)
    experiment.config["dataset"] = absolute(experiment.config["dataset"])
    run = RunFolder(folder)
    run.create(experiment.config, hydra_files())
    from genlab.commands.session import train_to_the_end

    return train_to_the_end(experiment, run)
