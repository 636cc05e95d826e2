"""genlab train: compose -> build -> run."""

from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from genlab.commands.job import hydra_files, run_job
from genlab.interface.training_run import train_run
from genlab.sweeping.launchers import SWEEPER


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="train")
def main(config: DictConfig) -> float | None:
    return run_job(train, config)


def train(config: dict[str, Any], folder: Path) -> float:
    sweeper = HydraConfig.get().sweeper
    if sweeper._target_ == SWEEPER:
        from genlab.sweeping.trial_job import train_trial

        return train_trial(sweeper, config, folder, hydra_files())
    return train_run(config, folder, hydra_files())
