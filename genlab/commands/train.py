"""genlab train: compose -> build -> run."""

from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from genlab.commands.job import hydra_files, run_job
from genlab.interface.training_run import train_run


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="train")
def main(config: DictConfig) -> float | None:
    return run_job(train, config)


def train(config: dict[str, Any], folder: Path) -> float:
    return train_run(config, folder, hydra_files())
