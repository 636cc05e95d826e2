"""genlab train: compose -> build -> run."""

from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from genlab.commands.job import hydra_files, in_sweep, run_job
from genlab.commands.sweep_job import train_job
from genlab.composition.words import as_typed
from genlab.interface.training_run import train_run
from genlab.sweeping.launchers import SWEEPER
from genlab.tracking.sweep_folder import SweepFolder
from genlab.tracking.trash import OUTPUTS


@hydra.main(version_base="1.3", config_path="pkg://genlab.conf", config_name="train")
def main(config: DictConfig) -> float | None:
    return run_job(train, config)


def train(config: dict[str, Any], folder: Path) -> float:
    if not in_sweep():
        return train_run(config, folder, hydra_files())
    full = HydraConfig.get()
    if full.sweeper._target_ == SWEEPER:
        from genlab.sweeping.trial_job import train_trial

        return train_trial(full.sweeper, config, folder, hydra_files())
    here = Path(full.runtime.cwd)
    sweep, outputs = SweepFolder(here / full.sweep.dir), OUTPUTS if here == Path.cwd() else here / OUTPUTS
    return train_job(config, folder, hydra_files(), as_typed(full.overrides.task), sweep, outputs)
